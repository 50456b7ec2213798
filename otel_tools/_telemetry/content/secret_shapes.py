"""The shapes of secrets: what is recognised by its own form, whatever stands around it.

Sources: the providers' documentation of their keys, and the rules of gitleaks and detect-secrets.
``collector/README.md`` says what is covered. `SHAPES` is also the source of the collector's list
(``collector/config.yaml``), which a test holds equal to it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SHAPES", "Shape", "hide_shapes", "hide_tokens", "hide_url_secrets"]

REDACTED: Final = "[REDACTED]"

_WORD: Final = r"[A-Za-z0-9]"
_DASHED: Final = r"[A-Za-z0-9_-]"


class Shape(NamedTuple):
    """Keys with a prefix of their own.

    Attributes:
        owner: Who gives such keys out.
        prefix: The fixed text that each begins with.
        body: What follows: a pattern that Python's ``re`` and RE2 read alike.
    """

    owner: str
    prefix: str
    body: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """For Python: possessive, so linear; not in the middle of a word."""
        boundary = f"(?<![A-Za-z0-9]{re.escape(self.prefix)})" if self.prefix[0].isalnum() else ""
        # Fixed text first: `re` looks for it many times faster than for anything else.
        return re.compile(f"{re.escape(self.prefix)}{boundary}{self.body}")

    @property
    def re2(self) -> str:
        """For the collector."""
        return f"{re.escape(self.prefix).replace(chr(92) + '-', '-')}{self.body}"


SHAPES: Final = (
    Shape("OpenAI", "sk-proj-", _DASHED + "{16,}"),
    Shape("OpenAI", "sk-svcacct-", _DASHED + "{16,}"),
    Shape("OpenAI", "sk-admin-", _DASHED + "{16,}"),
    Shape("Anthropic", "sk-ant-", _DASHED + "{16,}"),
    Shape("OpenRouter", "sk-or-", _DASHED + "{16,}"),
    Shape("Langfuse", "sk-lf-", _DASHED + "{16,}"),
    Shape("OpenAI and others", "sk-", _WORD + "{20,}"),
    Shape("Stripe", "sk_live_", _WORD + "{10,}"),
    Shape("Stripe", "sk_test_", _WORD + "{10,}"),
    Shape("Stripe", "rk_live_", _WORD + "{10,}"),
    Shape("Stripe", "rk_test_", _WORD + "{10,}"),
    Shape("Stripe", "pk_live_", _WORD + "{10,}"),
    Shape("Stripe", "whsec_", r"[A-Za-z0-9+/=_-]{16,}"),
    Shape("GitHub", "ghp_", _WORD + "{16,}"),
    Shape("GitHub", "gho_", _WORD + "{16,}"),
    Shape("GitHub", "ghu_", _WORD + "{16,}"),
    Shape("GitHub", "ghs_", _WORD + "{16,}"),
    Shape("GitHub", "ghr_", _WORD + "{16,}"),
    Shape("GitHub", "github_pat_", r"[A-Za-z0-9_]{20,}"),
    Shape("GitLab", "glpat-", _DASHED + "{16,}"),
    Shape("GitLab", "gldt-", _DASHED + "{16,}"),
    Shape("GitLab", "glrt-", _DASHED + "{16,}"),
    Shape("GitLab", "glptt-", _DASHED + "{16,}"),
    Shape("Slack", "xoxb-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxp-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxa-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxe-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxe.", r"[A-Za-z0-9.-]{10,}"),
    Shape("Slack", "xoxo-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxr-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxs-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxc-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "xoxd-", r"[A-Za-z0-9%-]{10,}"),
    Shape("Slack", "xapp-", r"[A-Za-z0-9-]{10,}"),
    Shape("Slack", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9_/+-]{10,}"),
    Shape("Discord", "discord.com/api/webhooks/", r"[0-9]{5,}/[A-Za-z0-9_-]{10,}"),
    Shape("Discord", "discordapp.com/api/webhooks/", r"[0-9]{5,}/[A-Za-z0-9_-]{10,}"),
    Shape("Telegram", "api.telegram.org/bot", r"[0-9]{5,}:[A-Za-z0-9_-]{20,}"),
    Shape("Microsoft Teams", "webhook.office.com/webhookb2/", r"[A-Za-z0-9@/-]{20,}"),
    Shape("Google", "AIza", _DASHED + "{30,}"),
    Shape("Google", "ya29.", _DASHED + "{16,}"),
    Shape("Google", "GOCSPX-", _DASHED + "{16,}"),
    Shape("Google", "1//0", _DASHED + "{20,}"),
    Shape("AWS", "AKIA", r"[A-Z0-9]{12,}"),
    Shape("AWS", "ASIA", r"[A-Z0-9]{12,}"),
    Shape("AWS", "ABIA", r"[A-Z0-9]{16,}"),
    Shape("AWS", "ACCA", r"[A-Z0-9]{16,}"),
    Shape("npm", "npm_", _WORD + "{30,}"),
    Shape("PyPI", "pypi-", _DASHED + "{16,}"),
    Shape("RubyGems", "rubygems_", r"[a-f0-9]{40,}"),
    Shape("Hugging Face", "hf_", _WORD + "{20,}"),
    Shape("Hugging Face", "api_org_", _WORD + "{20,}"),
    Shape("SendGrid", "SG.", r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    Shape("Groq", "gsk_", _WORD + "{20,}"),
    Shape("xAI", "xai-", _WORD + "{20,}"),
    Shape("Tavily", "tvly-", _DASHED + "{16,}"),
    Shape("Perplexity", "pplx-", _WORD + "{20,}"),
    Shape("LangSmith", "lsv2_", r"(?:pt|sk)_[A-Za-z0-9_]{16,}"),
    Shape("Replicate", "r8_", _WORD + "{20,}"),
    Shape("Pinecone", "pcsk_", r"[A-Za-z0-9_]{20,}"),
    Shape("Databricks", "dapi", r"[a-f0-9]{32}(?:-[0-9])?"),
    Shape("HashiCorp Vault", "hvs.", _DASHED + "{20,}"),
    Shape("HashiCorp Vault", "hvb.", _DASHED + "{20,}"),
    Shape("Shopify", "shpat_", r"[A-Fa-f0-9]{16,}"),
    Shape("Shopify", "shpss_", r"[A-Fa-f0-9]{16,}"),
    Shape("Shopify", "shpca_", r"[A-Fa-f0-9]{16,}"),
    Shape("Shopify", "shppa_", r"[A-Fa-f0-9]{16,}"),
    Shape("DigitalOcean", "dop_v1_", r"[a-f0-9]{32,}"),
    Shape("DigitalOcean", "doo_v1_", r"[a-f0-9]{32,}"),
    Shape("DigitalOcean", "dor_v1_", r"[a-f0-9]{32,}"),
    Shape("Docker", "dckr_pat_", _DASHED + "{16,}"),
    Shape("Docker", "dckr_oat_", _DASHED + "{16,}"),
    Shape("Atlassian", "ATATT3", r"[A-Za-z0-9_=-]{20,}"),
    Shape("Notion", "ntn_", _WORD + "{30,}"),
    Shape("Linear", "lin_api_", _WORD + "{20,}"),
    Shape("Figma", "figd_", _DASHED + "{20,}"),
    Shape("New Relic", "NRAK-", r"[A-Z0-9]{20,}"),
    Shape("Grafana", "glsa_", r"[A-Za-z0-9_]{20,}"),
    Shape("Grafana", "glc_", r"[A-Za-z0-9+/=]{20,}"),
    Shape("Sentry", "sntrys_", r"[A-Za-z0-9+/=_-]{20,}"),
    Shape("Sentry", "sntryu_", r"[a-f0-9]{32,}"),
    Shape("PlanetScale", "pscale_tkn_", r"[A-Za-z0-9_.-]{20,}"),
    Shape("PlanetScale", "pscale_pw_", r"[A-Za-z0-9_.-]{20,}"),
    Shape("Square", "EAAA", _DASHED + "{50,}"),
    Shape("Mailgun", "key-", r"[a-f0-9]{32}"),
    Shape("Postman", "PMAK-", r"[a-f0-9]{20,}(?:-[a-f0-9]{20,})?"),
    Shape("age", "AGE-SECRET-KEY-1", r"[A-Z0-9]{40,}"),
)
"""Keys with a prefix of their own."""

_SIGNS: Final = ("_", "-", ".", "/")


def _by_sign() -> dict[str, list[Shape]]:
    """The shapes by a sign in their prefix: a text without the sign need not be searched for them."""
    groups: dict[str, list[Shape]] = {}
    for shape in SHAPES:
        groups.setdefault(next((sign for sign in _SIGNS if sign in shape.prefix), ""), []).append(shape)
    return groups


_SHAPES_BY_SIGN: Final = _by_sign()


@cache
def _pattern_of(shape: Shape) -> re.Pattern[str]:
    # When it is first needed: to compile all takes longer than to import the rest of the package.
    return shape.pattern


_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN (?:(?!PRIVATE)[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]++|-(?!----END))*+(?:-----END [A-Z0-9 ]{0,60}-----)?"
)
_JWT: Final = re.compile(r"eyJ(?<![A-Za-z0-9]eyJ)[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){0,4}")
# Ordinary words may follow "bearer" and "basic"; they have no digits, no capitals inside and no padding.
_BEARER: Final = re.compile(
    r"([Bb]earer|BEARER)(?<![A-Za-z0-9].{6})(\s{1,8}+)"
    r"(?![A-Za-z]?[a-z-]{1,24}+[.,;:!?)]?(?:\s|$))[A-Za-z0-9._~+/-]{8,}+=*+"
)
_BASIC: Final = re.compile(
    r"([Bb]asic|BASIC)(?<![A-Za-z0-9].{5})(\s{1,8}+)"
    r"(?=([A-Za-z0-9+/]{6,}+)(=*+))(?:(?=[A-Za-z0-9+/]{6,4096}=)|(?=[A-Za-z+/]{0,4096}[0-9])(?=.{8})"
    r"|(?=[A-Za-z][a-z]{0,4096}[A-Z])(?=[A-Za-z0-9+/]{16}))\3\4"
)
_URL_PASSWORD: Final = re.compile(
    r"(://[^\s:/?#@\"'<>`]{0,256}+:)(?!\[REDACTED\])[^\s/?#@\"'<>`]{1,1024}+@(?![^\s/?#\"'<>`]*+@)"
)
# With a raw "/", "?", "#" or "@" in the password, or a user that is a key.
_URL: Final = re.compile(r"://(?![^\s@]{0,280}+:?\[REDACTED\]@)(?=[^\s@\"'<>`]++@)[^\s\"'<>`]++")
_HOST: Final = re.compile(r"@[A-Za-z0-9.\[\]-]{1,255}(?=$|[:/?#,;)\]}\\])")
_PORT: Final = re.compile(r"[^:@]*:[0-9]{1,5}$")
_MAX_MATCHES: Final = 2_000
"""Secrets of one kind in one text. A text of 16 KiB, the most that is recorded, hardly has more."""

_MIN_LONE_USER: Final = 20
"""Length from which the user of a URL without a password is a key, as in the DSN of Sentry."""


def hide_shapes(text: str) -> str:
    """The text without private keys, passwords in URLs and keys that have a prefix of their own."""
    if "PRIVATE KEY" in text:
        text = _replaced(_PRIVATE_KEY, REDACTED, text)
    if "://" in text and "@" in text:
        text = _replaced(_URL_PASSWORD, rf"\1{REDACTED}@", text)
        text = _replaced(_URL, _without_password, text)
    for sign, shapes in _SHAPES_BY_SIGN.items():
        if sign in text:
            for shape in shapes:
                if shape.prefix in text:
                    text = _replaced(_pattern_of(shape), REDACTED, text)
    return text


def hide_tokens(text: str) -> str:
    """The text without JSON Web Tokens and the credentials of the schemes Bearer and Basic."""
    if "eyJ" in text:
        text = _replaced(_JWT, REDACTED, text)
    if "earer" in text or "EARER" in text:
        text = _replaced(_BEARER, rf"\1 {REDACTED}", text)
    if "asic" in text or "ASIC" in text:
        text = _replaced(_BASIC, rf"\1 {REDACTED}", text)
    return text


def _replaced(pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
    """The text with each match replaced; behind the last that is looked at, nothing stays that has another one."""
    text, count = pattern.subn(replacement, text, _MAX_MATCHES)
    if count < _MAX_MATCHES:
        return text
    found = pattern.search(text)
    return text if found is None else f"{text[: found.start()]}{REDACTED}"


def _without_password(match: re.Match[str]) -> str:
    url = match.group()
    if "@" not in url:
        return url
    start = len("://")
    end_of_authority = min((at for at in map(url.find, "/?#", [start] * 3) if at != -1), default=len(url))
    at = url.rfind("@", start, end_of_authority)
    if at == -1:
        # A password with a raw "/", "?" or "#" in it; a port before the path is none.
        if ":" not in url[start:end_of_authority] or _PORT.match(url, start, end_of_authority):
            return url
        found = _HOST.search(url, end_of_authority)
        if found is None:
            return url
        at = found.start()
    user, colon, password = url[start:at].partition(":")
    if not colon:
        return url if len(user) < _MIN_LONE_USER else f"://{REDACTED}{url[at:]}"
    return f"://{user}:{REDACTED}{url[at:]}" if password else url


_QUERY: Final = re.compile(
    r"(?i)([?&](?:(?:[a-z0-9]{1,20}[_-]){0,4}(?:key|sig|signature|token|secret|password|passwd|pwd|pass|auth|jwt|credential|"
    r"session|assertion|hmac)|code|apikey)(?:=|%3d))"
    # A short number is a page or a status.
    r"(?!\[REDACTED\])(?![0-9]{1,5}(?![^&#\s\"'<>`\\]))[^&#\s\"'<>`\\]{4,}+"
)


def hide_url_secrets(text: str) -> str:
    """The text without the values of query parameters that are credentials, such as ``?key=`` and ``&sig=``."""
    return _replaced(_QUERY, rf"\1{REDACTED}", text)
