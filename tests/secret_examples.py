"""Texts with and without secrets. The SDK and the collector are tested against the same ones.

No secret here is one: each is put together of a prefix and `WORD`.
"""

from __future__ import annotations

from typing import Final

WORD: Final = "kX9w2LmQ7pR4sT8vB3nZ"
HEX: Final = "0123456789abcdef" * 2

SHAPES: Final = {
    # By their own form, whatever stands around them: (a text around {}, the secret).
    "openai": ("key {}", f"sk-proj-{WORD}"),
    "openai, without a project": ("key {}", f"sk-{WORD}"),
    "anthropic": ("key {}", f"sk-ant-api03-{WORD}"),
    "stripe": ("key {}", f"sk_live_{WORD}"),
    "stripe webhook": ("key {}", f"whsec_{WORD}"),
    "github": ("key {}", f"ghp_{WORD}{WORD}"),
    "github, fine-grained": ("key {}", f"github_pat_{WORD}_{WORD}"),
    "gitlab": ("key {}", f"glpat-{WORD}"),
    "slack": ("key {}", f"xoxb-123456789012-{WORD}"),
    "slack app": ("key {}", f"xapp-1-A0-123456-{WORD}"),
    "slack hook": ("https://hooks.slack.com/{}", f"services/T000/B000/{WORD}"),
    "discord hook": ("https://discord.com/api/webhooks/{}", f"123456789/{WORD}{WORD}"),
    "telegram hook": ("https://api.telegram.org/bot{}/sendMessage", f"123456:{WORD}{WORD}"),
    "google": ("key {}", f"AIza{WORD}{WORD[:15]}"),
    "google oauth": ("key {}", f"ya29.a0{WORD}"),
    "google client": ("key {}", f"GOCSPX-{WORD}"),
    "google refresh": ("key {}", f"1//0g{WORD}{WORD}"),
    "aws": ("key {}", "AKIAIOSFODNN7EXAMPLE"),
    "npm": ("key {}", f"npm_{WORD}{WORD[:16]}"),
    "pypi": ("key {}", f"pypi-{WORD}"),
    "hugging face": ("key {}", f"hf_{WORD}"),
    "sendgrid": ("key {}", f"SG.{WORD}.{WORD}"),
    "groq": ("key {}", f"gsk_{WORD}"),
    "xai": ("key {}", f"xai-{WORD}"),
    "vault": ("key {}", f"hvs.CAES{WORD}"),
    "databricks": ("key {}", f"dapi{HEX}"),
    "shopify": ("key {}", f"shpat_{HEX}"),
    "digitalocean": ("key {}", f"dop_v1_{HEX}{HEX}"),
    "docker": ("key {}", f"dckr_pat_{WORD}"),
    "tavily": ("key {}", f"tvly-dev-{WORD}"),
    "perplexity": ("key {}", f"pplx-{WORD}{WORD}"),
    "langsmith": ("key {}", f"lsv2_pt_{HEX}_0a1b2c3d4e"),
    "replicate": ("key {}", f"r8_{WORD}{WORD[:17]}"),
    "pinecone": ("key {}", f"pcsk_{WORD}_{WORD}"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", f"MII{WORD}\n{WORD}="),
    "private key, escaped": (r"-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", rf"MII{WORD}\n{WORD}"),
    "private key without end": ("-----BEGIN EC PRIVATE KEY-----\n{}", f"MHc{WORD}\n{WORD}"),
    "private key of pgp": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}", f"lQ{WORD}\n={WORD}"),
    "url": ("postgresql+psycopg://app:{}@db.internal:5432/app", "hunter2"),
    "url without a user": ("redis://:{}@cache:6379/0", "hunter2"),
    "url in quotes": ('{{"endpoint": "https://app:{}@sentry.example"}}', "hunter2"),
}

NAMED: Final = {
    # By what stands around them.
    "bearer": ("Authorization: Bearer {}", "abcdefghijkl"),
    "bearer in a sentence": ("sent bearer {} to it", "mF_9.B5f-4.1JqM"),
    "bearer in lower case only": ("curl -H 'authorization: bearer {}'", "abcdefghijklmnop"),
    "basic": ("with Basic {}", "dXNlcjpwYXNzd29yZA=="),
    "jwt": ("token is {}.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    "assignment": ("PASSWORD={} ./run", "hunter2"),
    "assignment in quotes": ("password = '{}'", "hunter 2 hunter"),
    "query": ("GET /?api_key={}&unit=c", WORD),
    "json": ('{{"apiKey": "{}", "unit": "c"}}', WORD),
    "json in json": (r'{{"body": "{{\"client_secret\": \"{}\"}}"}}', WORD),
    "python": ("{{'access_token': '{}'}}", WORD),
    "camel case": ('"clientSecret":"{}"', WORD),
    "cookie": ("Cookie: a=b; session={}", WORD),
}

NAMED_HERE: Final = {
    # The SDK finds these too. The collector's patterns have no way to say them.
    "basic without padding": ("Basic {} was refused", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
    "basic in a header": ('{{"Authorization": "Basic {}"}}', "abcdefgh"),
    "another scheme": ("Authorization: Token {}", "f00"),
    "digest": ('Authorization: Digest username="bob", response="{}"', "6629fae49393a05397450978507c4ef1"),
    "jwt after an underscore": ("session_{}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"),
    "url with a strange password": ("amqp://app:{}@queue", "p@ss:w&rd!"),
    "url with a slash": ("postgres://app:{}@db/x", "pa/ss1"),
    "url with a question mark": ("postgres://app:{}@db/x", "pa?ss1"),
    "url with a hash": ("postgres://app:{}@db.internal:5432/x?a=b", "pa#ss1"),
    "dsn": ("https://{}@o1.ingest.sentry.io/2", HEX),
    "assignment with a colon": ("passwd: {}", "hunter2"),
    "assignment with an arrow": ("password => {}", "hunter2"),
    "assignment with an arrow, in quotes": ("'password' => '{}'", "hunter2"),
    "assignment in yaml": ("password: |\n  {}\nunit: c", "hunter2"),
    "assignment, folded in yaml": ("password: >-\n  {}\nunit: c", "hunter2"),
    "assignment, encoded": ("body=password%3D{}", "hunter2"),
    "assignment with spaces": ("password={}", "a1b2 c3d4 e5f6"),
    "assignment and another": ("password={} user=bob", "hunter2 hunter3"),
    "assignment with backslashes": ("password=\\\\{}", "hunter2"),
    "json with an escape": ('{{"secret": "{}"}}', r"hun\"ter2"),
    "yaml": ("private-key: {}\nunit: c", WORD),
    "set-cookie": ("Set-Cookie: sid={}; HttpOnly", WORD),
    "several": ("token={0} password={0}", WORD),
    "a pair of a header": ("[('authorization', 'Token {}')]", "f00d1234"),
    "a pair of a header in bytes": ("[(b'authorization', b'Token {}')]", "f00d1234"),
    "a pair of a header in a list": ('["x-api-key", "{}"]', "f00d1234"),
    "pass": ("pass={}", "hunter2"),
    "session": ("session={}", WORD),
    "session in json": ('{{"session": "{}"}}', "hunter2"),
    "jwt by name": ('{{"jwt": "{}"}}', "hunter2"),
    "dsn by name": ("DSN={}", "hunter2"),
    "connection string": ('{{"connection_string": "{}"}}', "hunter2"),
    "connection string of azure": ("AccountName=x;AccountKey={};EndpointSuffix=y", f"{WORD}=="),
    "webhook": ('webhook_url: "{}"', "https://example.com/h/hunter2"),
    "cvv": ('{{"cvv": "{}"}}', "739"),
    "ssn": ("ssn={}", "078-05-1120"),
    "sas": ("https://x.blob.core.windows.net/c?sv=1&sig={}&se=2", f"{WORD}%3D"),
    "presigned": ("https://s3.example/x?X-Amz-Signature={}&a=b", HEX),
    "key in a query": ("https://maps.example/api?key={}", WORD),
    "code in a query": ("https://app.example/callback?code={}&state=1", WORD),
    "option": ("mysql --password {} -h db", "hunter2"),
    "option with an equals sign": ("x --api-key={} -h db", "hunter2"),
    "curl": ("curl -u bob:{} https://example.com", "hunter2"),
    "name and value": ('{{"name": "DB_PASSWORD", "value": "{}"}}', "hunter2"),
    "name and value in python": ("{{'name': 'DB_PASSWORD', 'value': '{}'}}", "hunter2"),
    "azure header": ("Ocp-Apim-Subscription-Key: {}", HEX),
}

PROSE: Final = [
    "The weather in Oslo is sunny, 21 degrees.",
    "max_tokens: 100, prompt_tokens=12, completion tokens: 40",
    "a token ring, the token, tokens; a secret garden and the cookie jar",
    "Password required. Reset your password at https://example.com/reset?step=2",
    "https://example.com:8443/a:b/c@d?user=me@example.com#x:y@z",
    "see http://localhost:4318 or mailto:ada@example.com",
    "basic understanding of bearer instruments; Basic Authentication, basic read/write, a bearer.",
    "BASIC PROGRAMMING and Basic arithmetic: bearer bonds",
    "task-force desk-ordering risk-sk-sk, ask-me-anything-about-this-and-that",
    "eye exam, eyJ, keyJnothing",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "SELECT token_count FROM usage WHERE author = 'Ada' AND pinned",
    "npm_config, hf_hub, SG.1, pypi-index, AKIA, xai, gsk_short, sk-short",
    "TypeError: 'NoneType' object is not subscriptable",
    '{"city": "Oslo", "tokenizer": "cl100k"}',
]

PROSE_HERE: Final = [
    # The SDK leaves these alone too. The collector, which sees less of a text, does not.
    "cookie: 12 chocolate chips",
    "def f(token: str) -> None: ...",
    "def login(self, password: str, token: str | None = None): ...",
    '{"token_symbol": "ETH", "authorization_status": "granted", "tokens": 12, "cookies": 12}',
    '{"session_id": "s-1", "pin": "left"}',
    "the secret: be kind; a password: something to remember",
    "authorization: required, token: optional",
    "https://example.com/list?page=2&code=404",
    "[token, password]",
]
