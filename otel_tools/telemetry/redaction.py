"""What never leaves the process: values under secret keys, and text that looks like a secret.

The patterns, in the order in which they are applied:

==================  ==================================================================================
private keys        a PEM block ``-----BEGIN ... PRIVATE KEY-----``, to its end or the end of the text
URL passwords       ``scheme://user:password@host``: the password
bearer tokens       ``Bearer ...`` and ``Basic ...`` credentials
JSON Web Tokens     ``eyJ...`` with its dotted parts
API keys            the well-known prefixes of OpenAI and Anthropic (``sk-``), Stripe (``sk_live_`` and the
                    like), GitHub (``ghp_``, ``github_pat_``), GitLab (``glpat-``), Slack (``xoxb-``),
                    Google (``AIza``), AWS (``AKIA``, ``ASIA``), npm (``npm_``), PyPI (``pypi-``),
                    Hugging Face (``hf_``), SendGrid (``SG.``), Groq (``gsk_``) and xAI (``xai-``)
assignments         ``password=...``, ``"api_key": "..."`` and the like inside a text
==================  ==================================================================================
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from otel_tools.telemetry.fence import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["REDACTED", "Redaction"]

REDACTED: Final = "[REDACTED]"

_SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
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
    "otp",
)
_WHOLE_WORDS: Final = {"auth", "pin", "otp", "pwd"}
_COUNT_OF_TOKENS: Final = re.compile(r"tokens$|^tokens|tokencount|tokenlimit|tokenusage|tokenizer")

_ASSIGNED: Final = (
    r"(?i)\b((?:[a-z0-9]+[_-])*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|apikey|access[_-]?key"
    r"|private[_-]?key|authorization|cookie|credentials?)[\"']?\s*[:=]\s*)"
    r"(?:\"[^\"\r\n]*\"?|'[^'\r\n]*'?|(?!\[REDACTED\])[^\s\"',;&)}\]]+)"
)

_API_KEYS: Final = (
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|AIza[A-Za-z0-9_-]{30,}|A[KS]IA[A-Z0-9]{12,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{16,}"
    r"|hf_[A-Za-z0-9]{20,}|SG\.[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]*)?|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,})"
)

_PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z0-9 ]*-----)?", REDACTED),
    (r"\b([a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/?#@]{0,256}:)[^\s/?#@]{1,1024}(?=@)", rf"\1{REDACTED}"),
    (r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/-]{8,}=*", rf"\1 {REDACTED}"),
    (r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}", REDACTED),
    (_API_KEYS, REDACTED),
    (_ASSIGNED, rf"\1{REDACTED}"),
)


class Redaction:
    """How text and keys are redacted; immutable.

    Args:
        patterns: Regular expressions of your own; each match becomes ``[REDACTED]``.
        callback: Called last with each text, returns the text to record. Where it raises, or returns something
            that is not a text, the whole text is redacted: nothing it was meant to hide gets out.
    """

    __slots__ = ("_callback", "_patterns")

    def __init__(
        self,
        patterns: Sequence[str | re.Pattern[str]] = (),
        callback: Callable[[str], str] | None = None,
    ) -> None:
        self._patterns = tuple(
            (re.compile(pattern), replacement)
            for pattern, replacement in (*_PATTERNS, *((pattern, REDACTED) for pattern in patterns))
        )
        self._callback = callback

    def text(self, text: str) -> str:
        """The text with everything that looks like a secret replaced, and fit to be sent as UTF-8."""
        for pattern, replacement in self._patterns:
            text = pattern.sub(replacement, text)
        if self._callback is not None:
            text = self._called_back(text)
        # A lone surrogate is valid in Python and not in UTF-8: the exporter would lose a whole batch over it.
        return text.encode("utf-8", "replace").decode("utf-8")

    def _called_back(self, text: str) -> str:
        redacted: object = REDACTED
        try:
            redacted = self._callback(text) if self._callback else text
        except Exception:  # noqa: BLE001 - whatever it is, the text does not get out
            contained("calling the redact callback")
        return redacted if isinstance(redacted, str) else REDACTED

    def hides(self, key: str, value: object) -> bool:
        """Whether the value under this key is a secret, whatever it looks like."""
        return _is_secret(key) and not (isinstance(value, (int, float)) and _counts_tokens(key))


@lru_cache(maxsize=4096)
def _is_secret(key: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", key[:256].lower())
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key[:256]).lower()))
    return any(word in plain for word in _SECRET_WORDS if word not in _WHOLE_WORDS) or bool(words & _WHOLE_WORDS)


def _counts_tokens(key: str) -> bool:
    """``max_tokens`` and its like hold a number of tokens, not a token."""
    return bool(_COUNT_OF_TOKENS.search(re.sub(r"[^a-z0-9]", "", key[:256].lower())))
