"""Redacts the values of secret keys, and parts of texts that look like secrets.

The patterns, in the order in which they are applied:

==================  ==================================================================================
private keys        a block ``-----BEGIN ... PRIVATE KEY-----``, to its end or the end of the text
URL passwords       ``scheme://user:password@host``: the password
credentials         ``Bearer ...`` and ``Basic ...``, where what follows is not a word of a sentence
JSON Web Tokens     ``eyJ...`` with its dotted parts
API keys            the well-known prefixes of OpenAI and Anthropic (``sk-``), Stripe (``sk_live_`` and the
                    like), GitHub (``ghp_``, ``github_pat_``), GitLab (``glpat-``), Slack (``xoxb-``),
                    Google (``AIza``), AWS (``AKIA``, ``ASIA``), npm (``npm_``), PyPI (``pypi-``),
                    Hugging Face (``hf_``), SendGrid (``SG.``), Groq (``gsk_``) and xAI (``xai-``)
headers             ``Authorization: ...`` and ``Cookie: ...``, to the end of the line or the quotation
assignments         ``password=...``, ``"clientSecret": "..."`` and the like inside a text
==================  ==================================================================================
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_tools._telemetry.guard import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["REDACTED", "Redaction"]

REDACTED: Final = "[REDACTED]"

_SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "sessionid",
    "csrf",
)
_MAX_KEY_LENGTH: Final = 256
_KEY_SUFFIXES: Final = ("key", "_key", "-key")
_WHOLE_WORDS: Final = {"auth", "pin", "otp", "pwd"}
_COUNT_OF_TOKENS: Final = re.compile(r"tokens$|^tokens|tokencount|tokenlimit|tokenusage|tokenizer")

_QUOTE: Final = r"\\*[\"']"
_QUOTED: Final = (
    r"\\+[\"'](?:(?!\\+[\"'])[^\r\n])*"  # inside a JSON text that is itself a JSON string
    r"|\"(?:\\.|[^\"\\\r\n])*\"?|'(?:\\.|[^'\\\r\n])*'?"
)


class _Pattern(NamedTuple):
    """A pattern of secrets in texts.

    Attributes:
        words: Every text with a match has one of these, in lower case. To search for them first makes ordinary texts
            cheap: a regular expression without a fixed start is tried at each character.
        pattern: Matches the secret, with the text around it that identifies it.
        replacement: Replaces the match.
    """

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str = REDACTED


_PATTERNS: Final = (
    _Pattern(
        ("private key",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z0-9 ]*-----)?"
        ),
    ),
    _Pattern(
        ("://",),
        re.compile(r"(://[^\s:/?#@]{0,256}:)[^\s/?#\"'<>]{1,1024}(?=@)"),
        rf"\1{REDACTED}",
    ),
    # Ordinary words may follow "bearer" and "basic"; they have no digits, no capitals inside and no padding.
    _Pattern(
        ("bearer",),
        re.compile(r"\b((?i:bearer))\s+(?![A-Za-z]?[a-z-]{1,24}[.,;:!?)]?(?:\s|$))[A-Za-z0-9._~+/-]{8,}=*"),
        rf"\1 {REDACTED}",
    ),
    _Pattern(
        ("basic",),
        re.compile(
            r"\b((?i:basic))\s+(?:[A-Za-z0-9+/]{6,}={1,2}|(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{8,}"
            r"|(?=[A-Za-z][a-z]*[A-Z])[A-Za-z0-9+/]{16,})"
        ),
        rf"\1 {REDACTED}",
    ),
    _Pattern(("eyj",), re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")),
    _Pattern(
        (
            *("sk-", "k_live_", "k_test_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox"),
            *("aiza", "akia", "asia", "npm_", "pypi-", "hf_", "sg.", "gsk_", "xai-"),
        ),
        re.compile(
            r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{16,}|[srp]k_(?:live|test)_[A-Za-z0-9]{10,}"
            r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|A[KS]IA[A-Z0-9]{12,}|npm_[A-Za-z0-9]{30,}"
            r"|pypi-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|SG\.[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]*)?"
            r"|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,})"
        ),
    ),
    _Pattern(
        ("authorization", "cookie"),
        re.compile(
            rf"(?i)((?:authorization|cookie)(?:{_QUOTE})?\s*[:=]\s*)"
            rf"(?:{_QUOTED}|(?!\s|\[REDACTED\])(?:\"[^\"\r\n]*\"|[^\"'\r\n])+)"
        ),
        rf"\1{REDACTED}",
    ),
    _Pattern(
        (
            *("password", "passwd", "passphrase", "pwd", "secret", "token", "credential"),
            *(word + key for word in ("api", "access", "private", "signing", "encryption") for key in _KEY_SUFFIXES),
        ),
        re.compile(
            r"(?i)((?:password|passwd|passphrase|pwd|secret|token|(?:api|access|private|signing|encryption)[_-]?key"
            rf"|credentials?)(?:{_QUOTE})?\s*[:=]\s*)"
            rf"(?:{_QUOTED}|(?!\[REDACTED\])[^\s\"',;&)}}\]]+)"
        ),
        rf"\1{REDACTED}",
    ),
)


class Redaction:
    """Redacts texts, and says which keys are secret; immutable.

    Args:
        patterns: Further regular expressions; each match becomes ``[REDACTED]``.
        callback: Called last with each text; returns the text to record. Where it raises, or does not return a text,
            the whole text is redacted, so that no secret leaves the process.
    """

    __slots__ = ("_callback", "_patterns")

    def __init__(
        self,
        patterns: Sequence[str | re.Pattern[str]] = (),
        callback: Callable[[str], str] | None = None,
    ) -> None:
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._callback = callback

    def text(self, text: str, *, headless: bool = False) -> str:
        """The text with everything that looks like a secret replaced, valid as UTF-8.

        Args:
            text: The text to redact.
            headless: Whether the start of the text was cut off. It may have been the start of a private key.
        """
        if headless:
            text = _without_rest_of_key(text)
        lowered = text.lower()
        for words, pattern, replacement in _PATTERNS:
            for word in words:
                if word in lowered:
                    text = pattern.sub(replacement, text)
                    break
        for own_pattern in self._patterns:
            text = own_pattern.sub(REDACTED, text)
        if self._callback is not None:
            text = self._apply_callback(text)
        # A lone surrogate is valid in Python but not in UTF-8: the exporter would lose the whole batch.
        return text.encode("utf-8", "replace").decode("utf-8")

    def _apply_callback(self, text: str) -> str:
        redacted: object = REDACTED
        try:
            redacted = self._callback(text) if self._callback else text
        except Exception:  # noqa: BLE001 - whatever the callback raises, the text is redacted
            log_failure("calling the redact callback")
        return redacted if isinstance(redacted, str) else REDACTED

    def hides(self, key: str, value: object) -> bool:
        """Whether the value of this key is a secret, whatever it looks like."""
        # A key may be of a subclass of `str`, whose own code does not run.
        start = str.__getitem__(key, slice(_MAX_KEY_LENGTH))
        return _is_secret(start) and not (issubclass(type(value), (int, float)) and _counts_tokens(start))


def _without_rest_of_key(text: str) -> str:
    """The text without a private key whose end is in it and whose start is not."""
    end, begin = text.find("-----END "), text.find("-----BEGIN ")
    if end != -1 and "PRIVATE KEY" in text[end : end + 64] and not -1 < begin < end:
        return REDACTED + text[end:]
    return text


@lru_cache(maxsize=4096)
def _is_secret(key: str) -> bool:
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()))
    return _has_secret_word(_letters(key)) or bool(words & _WHOLE_WORDS)


def _counts_tokens(key: str) -> bool:
    """Whether the value of a key such as ``max_tokens`` is a number of tokens, not a token."""
    letters = _letters(key)
    return bool(_COUNT_OF_TOKENS.search(letters)) and not _has_secret_word(letters.replace("token", ""))


def _letters(key: str) -> str:
    """The letters and digits of a key, in lower case."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _has_secret_word(letters: str) -> bool:
    return any(word in letters for word in _SECRET_WORDS)
