"""Secrets that are named in a text: ``password=...``, ``"clientSecret": "..."``, headers, options of commands.

Words of prose are no assignments: after ``token:`` a word such as ``str`` is a type, and after ``cookie:`` only
``name=value`` is a cookie. A key in the text is found by `str.find` and read by patterns that start at it, so the work
is linear in the text; in a text with more keys than anybody writes, the rest is redacted as a whole.
"""

from __future__ import annotations

import re
from typing import Final

from otel_tools._telemetry.content.secret_keys import hides, is_metadata, looks_random
from otel_tools._telemetry.content.secret_shapes import REDACTED

__all__ = ["hide_assignments"]

_MAX_KEYS: Final = 2_000
"""Places of one key in one text that are looked at. A text of 16 KiB, the most that is recorded, has no more."""

_PASSWORDS: Final = ("password", "passwd", "passphrase", "pwd", "pass", "passcode")
_KEYS: Final = tuple(
    word + joint + key
    for joint in ("", "_", "-", " ")
    for word, key in (
        *((first, "key") for first in ("api", "access", "private", "signing", "encryption", "account", "master")),
        ("subscription", "key"),
        ("connection", "string"),
        ("webhook", "url"),
    )
)
_WHOLE: Final = frozenset({"pass", "pwd", "jwt", "dsn", "cvv", "ssn", "session", "otp", "passcode"})
"""Found as a whole word only."""

_LITERALS: Final = (
    *_PASSWORDS,
    *("secret", "token", "credential", "authorization", "cookie", "jwt", "dsn", "cvv", "ssn", "session", "otp"),
    *_KEYS,
)

_REST: Final = re.compile(
    # The rest of the key, the quotation mark that ends it, and what stands between it and its value.
    r"(?P<rest>[a-z0-9_.-]{0,40}+)(?P<close>\\{0,16}+[\"'`]?+)"
    r"(?P<operator>[ \t]{0,8}+(?:=>|:=|={1,3}+|:(?![/:])|%3d|%3a|(?P<comma>,))\s{0,64}+)"
)
_BLOCK: Final = re.compile(r"[|>][+-]?[ \t]{0,8}+\r?\n[ \t]++([^\r\n]*+(?:\r?\n[ \t]++[^\r\n]++)*+)")
_OPENING: Final = re.compile(r"[bBrRuU]{0,2}(\\{0,16}+)([\"'`])")
_QUOTED: Final = {
    '"': re.compile(r'(?:[^"\\\r\n]++|\\.)*+'),
    "'": re.compile(r"(?:[^'\\\r\n]++|\\.)*+"),
    "`": re.compile(r"[^`\r\n]*+"),
}
_RUN: Final = re.compile(r"[^\s\"',;&)}\]`<>]{1,256}+")
_RUN_ON: Final = re.compile(r"[^\s\"',;&)}\]`<>]*+")
_TAIL: Final = re.compile(r"[^\r\n\"',;&)}\]`<>]{0,4096}+")
_HEADER: Final = re.compile(r"(?:\"[^\"\r\n]*+\"?|[^\"'\r\n])++")
_LINE_END: Final = re.compile(r"[ \t]{0,64}+(?:[\r\n\"'`)}\]]|$)")
_NEXT_KEY: Final = re.compile(r"\s[A-Za-z_][\w.-]{0,40}\s?(?:=|:\s)")
_SCHEME: Final = re.compile(
    r"(?i)(?:basic|bearer|token|digest|negotiate|apikey|api-key|hawk|ntlm|signature|aws4-[\w-]+)\s"
)
_COOKIE: Final = re.compile(r"[\w.$-]{1,128}=")
_CALL: Final = re.compile(r"[A-Za-z_][\w.]{0,60}\(")
_TYPES: Final = frozenset(
    {
        *(
            "str",
            "string",
            "int",
            "integer",
            "float",
            "number",
            "bool",
            "boolean",
            "bytes",
            "any",
            "none",
            "null",
            "true",
        ),
        *("false", "object", "dict", "list", "undefined", "optional", "secretstr", "text", "varchar", "required"),
    }
)
_NAMED: Final = re.compile(
    r"([\"'])(?:name|key|header|variable)\1\s{0,4}:\s{0,4}([\"'])([^\"'\r\n]{1,128}+)\2\s{0,4},\s{0,4}([\"'])value\4\s{0,4}:"
    r"\s{0,4}([\"'])"
)
_OPTION: Final = re.compile(
    r"--(?:[a-z0-9]{1,20}-){0,4}(?:password|passwd|passphrase|pass|secret|token|key|auth|credentials?|pwd)"
    r"[ =]\s{0,4}[\"']?"
)
_USER_OPTION: Final = re.compile(r"(?:-u|--user|--proxy-user)[ =]{1,4}[\"']?[^\s:\"'/@]{1,128}:")


def hide_assignments(text: str, lowered: str) -> str:
    """The text without the values that it gives to secret keys.

    Args:
        text: The text.
        lowered: The same in lower case, of the same length.
    """
    spans: list[tuple[int, int]] = []
    for literal in _LITERALS:
        at = lowered.find(literal)
        left = _MAX_KEYS
        while at != -1:
            span = _value_of(text, lowered, literal, at)
            if span is not None:
                spans.append(span)
            at = lowered.find(literal, at + len(literal) if span is None else max(span[1], at + 1))
            left -= 1
            if not left and at != -1:
                spans.append((at, len(text)))
                break
    spans += _options(text, lowered)
    if '"value"' in lowered or "'value'" in lowered:
        spans += _named_values(text, lowered)
    return _without(text, spans) if spans else text


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if end <= done or start >= end:
            continue
        if start >= done:
            pieces += (text[done:start], REDACTED)
        done = end
    return "".join((*pieces, text[done:]))


def _value_of(text: str, lowered: str, literal: str, at: int) -> tuple[int, int] | None:  # noqa: PLR0911 - the rules in order
    """Where the value of the key at this place is; None where it is no key of a secret."""
    before = lowered[at - 1] if at else " "
    if literal in _WHOLE and before.isalnum():
        return None
    found = _REST.match(lowered, at + len(literal))
    if found is None:
        return None
    rest, quoted_key = found["rest"], bool(found["close"])
    if not _is_key(literal, rest):
        return None
    start = found.end()
    if found["comma"]:
        # ("authorization", "Token ..."): a pair, and no list of words.
        opening = _OPENING.match(text, start)
        if (
            not quoted_key
            or opening is None
            or not re.search(r"[(\[]\s?b?\\{0,4}[\"'][\w-]{0,24}$", lowered[max(0, at - 40) : at])
        ):
            return None
    if text.startswith(REDACTED, start):
        return None
    if (block := _BLOCK.match(text, start)) is not None and ":" in found["operator"]:
        return None if block[1].startswith(REDACTED) else block.span(1)
    opening = _OPENING.match(text, start)
    if opening is not None:
        return _inside_quotes(text, literal, rest, opening)
    return _unquoted(text, literal, rest, start, is_equation="=" in found["operator"] or "%3d" in found["operator"])


def _is_key(literal: str, rest: str) -> bool:
    if literal in _WHOLE and rest and literal != "session":
        return False
    if literal == "session" and rest not in {"", "_id", "id", "-id", "_token", "_key"}:
        return False
    words = [word for word in re.split(r"[^a-z0-9]+", rest) if word]
    if words and (is_metadata(words[-1]) or words[-1] in {"izer", "ize", "ized", "ization", "less"}):
        return False
    return not (literal == "token" and rest.startswith(("iz", "ise", "s_", "s-", "_id", "_count", "_usage")))


def _inside_quotes(text: str, literal: str, rest: str, opening: re.Match[str]) -> tuple[int, int] | None:
    start = opening.end()
    if opening[1]:
        # In JSON that is itself a JSON string.
        delimiter = opening[1] + opening[2]
        line_end = _line_end(text, start)
        end = text.find(delimiter, start, line_end)
        end = line_end if end == -1 else end
    else:
        content = _QUOTED[opening[2]].match(text, start)
        end = content.end() if content is not None else start
    value = text[start:end]
    if not value or value == REDACTED or (literal == "session" and rest and not looks_random(value)):
        return None
    return start, end


def _unquoted(  # noqa: PLR0911 - as above
    text: str, literal: str, rest: str, start: int, *, is_equation: bool
) -> tuple[int, int] | None:
    if literal in {"authorization", "cookie"}:
        return _of_header(text, literal, start, is_equation=is_equation)
    run = _RUN.match(text, start)
    if run is None:
        return None
    value = run.group()
    bare = value.rstrip(".:!?")
    if bare.lower() in _TYPES or bare.startswith(REDACTED) or _CALL.match(text, start):
        return None
    if rest in {"s", "s."} and bare.isdigit():
        return None  # a number of tokens
    if literal == "session" and rest and not looks_random(bare):
        return None
    if not is_equation and not _is_secret_after_colon(text, literal, run):
        return None
    end = _end_of_run(text, run)
    if literal in _PASSWORDS:
        tail = _TAIL.match(text, start)
        if tail is not None:
            following = _NEXT_KEY.search(text, end, tail.end())
            end = max(end, following.start() if following is not None else tail.end())
            end = start + len(text[start:end].rstrip())
    return start, end


def _end_of_run(text: str, run: re.Match[str]) -> int:
    """The end of a value of which only the start was looked at."""
    rest = _RUN_ON.match(text, run.end())
    return run.end() if rest is None else rest.end()


def _is_secret_after_colon(text: str, literal: str, run: re.Match[str]) -> bool:
    """Whether what follows a colon is a value; a word of a sentence is none."""
    value = run.group()
    if _looks_made(value):
        return True
    return literal in _PASSWORDS and _LINE_END.match(text, run.end()) is not None


def _looks_made(value: str) -> bool:
    """Whether no language has such a word: a digit, capitals inside, or signs among letters."""
    return bool(re.search(r"\d|[a-z][A-Z]|\w[/+=_$!@#%^*~]", value[:256]))


def _of_header(text: str, literal: str, start: int, *, is_equation: bool) -> tuple[int, int] | None:
    run = _RUN.match(text, start)
    if literal == "cookie":
        is_secret = is_equation or _COOKIE.match(text, start) is not None
    else:
        made = run is not None and (_looks_made(run.group()) or (is_equation and run.group().lower() not in _TYPES))
        is_secret = made or _SCHEME.match(text, start) is not None
    whole = _HEADER.match(text, start) if is_secret else None
    return None if whole is None else whole.span()


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end == -1 else end


def _options(text: str, lowered: str) -> list[tuple[int, int]]:
    """The values of a command's options: ``--password x``, ``curl -u user:x``."""
    spans: list[tuple[int, int]] = []
    for marker, pattern in (("--", _OPTION), ("-u", _USER_OPTION)):
        if marker not in lowered:
            continue
        for number, found in enumerate(pattern.finditer(lowered)):
            run = _RUN.match(text, found.end())
            if run is not None and not text.startswith(("-", REDACTED), run.start()):
                spans.append((run.start(), _end_of_run(text, run)))
            if number > _MAX_KEYS:
                spans.append((found.end(), len(text)))
                break
    return spans


def _named_values(text: str, lowered: str) -> list[tuple[int, int]]:
    """The values of ``{"name": "DB_PASSWORD", "value": "..."}``."""
    spans: list[tuple[int, int]] = []
    for number, found in enumerate(_NAMED.finditer(lowered)):
        if number > _MAX_KEYS:
            return [*spans, (found.end(), len(text))]
        if hides(text[found.start(3) : found.end(3)], ""):
            content = _QUOTED[found[5]].match(text, found.end())
            if content is not None:
                spans.append(content.span())
    return spans
