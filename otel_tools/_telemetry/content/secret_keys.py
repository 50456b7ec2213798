"""Which keys have secret values: ``password``, ``apiKey``, ``DB_DSN``, but not ``token_count``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

__all__ = ["hides", "is_metadata", "looks_random"]

Verdict: TypeAlias = Literal["no", "always", "texts", "random", "digits"]
"""What is hidden under a key: nothing, everything, all but numbers and lists, long random texts, a few digits."""

_MAX_KEY_LENGTH: Final = 256

_PARTS: Final = (
    *("password", "passwd", "passphrase", "secret", "apikey", "authorization", "credential", "privatekey", "accesskey"),
    *("accountkey", "signingkey", "encryptionkey", "subscriptionkey", "connectionstring", "connstr", "webhookurl"),
    *("csrf", "xsrf", "sastoken", "masterkey", "authkey", "sshkey", "hmackey", "servicekey", "setcookie"),
)
"""Found anywhere among the letters of a key."""

_WORDS: Final = frozenset(
    {
        *("auth", "otp", "totp", "pwd", "pass", "jwt", "dsn", "cvv", "cvv2", "cvc", "ssn", "passcode", "session"),
        *("cookie", "mfa", "pat", "hmac"),
    }
)
"""Whole words of a key; the last word, so that a session's length is none."""

_METADATA: Final = frozenset(
    {
        *(
            "symbol",
            "status",
            "type",
            "types",
            "count",
            "counts",
            "limit",
            "limits",
            "usage",
            "name",
            "names",
            "policy",
        ),
        *(
            "policies",
            "length",
            "size",
            "format",
            "field",
            "fields",
            "expires",
            "expiry",
            "expiration",
            "expired",
            "ttl",
        ),
        *(
            "age",
            "in",
            "at",
            "endpoint",
            "hint",
            "required",
            "enabled",
            "valid",
            "strength",
            "rotation",
            "scheme",
            "method",
        ),
        *(
            "budget",
            "price",
            "cost",
            "rate",
            "index",
            "position",
            "offset",
            "version",
            "prefix",
            "label",
            "description",
        ),
        *(
            "lifetime",
            "duration",
            "provider",
            "mode",
            "standard",
            "address",
            "decimals",
            "supply",
            "manager",
            "present",
        ),
    }
)
"""Last words of keys that tell something about a secret, and are none."""

_PLURALS: Final = frozenset({"tokens", "cookies", "sessions"})
_MIN_RANDOM: Final = 16
_PIN: Final = range(4, 9)


def hides(key: str, value: object) -> bool:
    """Whether the value of this key is a secret, whatever it looks like.

    Args:
        key: The key; it may be of a subclass of `str`, whose own code does not run.
        value: The value; only its type is looked at, and a text.
    """
    verdict = _verdict(str.__getitem__(key, slice(_MAX_KEY_LENGTH)))
    if verdict == "no":
        return False
    kind = type(value)
    if value is None or kind is bool:
        return False
    if verdict == "always":
        return True
    if verdict == "digits":
        return _is_pin(kind, value)
    if issubclass(kind, (int, float, list, tuple, set, frozenset)):
        return False
    return verdict == "texts" or (issubclass(kind, str) and looks_random(str.__str__(value)))


def is_metadata(last_word: str) -> bool:
    """Whether a key that ends in this word tells something about a secret, and is none."""
    return last_word in _METADATA


def looks_random(text: str) -> bool:
    """Whether a text may be a key: long enough, of one piece, with digits and letters."""
    return (
        len(text) >= _MIN_RANDOM
        and not any(map(str.isspace, text))
        and bool(re.search(r"\d", text))
        and (bool(re.search(r"[A-Za-z]", text)))
    )


def _is_pin(kind: type, value: Any) -> bool:
    if issubclass(kind, int):
        return len(str(int.__index__(value))) in _PIN
    return issubclass(kind, str) and str.isdigit(value) and str.__len__(value) in _PIN


@lru_cache(maxsize=4096)
def _verdict(key: str) -> Verdict:  # noqa: PLR0911 - one for each rule, in order
    words = [word for word in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()) if word]
    if not words:
        return "no"
    letters, last = "".join(words), words[-1]
    if last in _METADATA and len(words) > 1:
        return "no"
    if any(part in letters for part in _PARTS):
        return "always"
    if last in _PLURALS:
        return "texts"
    if letters.endswith(("sessionid", "sessid")) or letters == "sid":
        return "random"
    if "token" in words or last.endswith("token"):
        # "tokens_used", "token_ids" and the like are about the tokens of texts.
        return "always" if last.endswith("token") else "random"
    if last == "pin":
        return "digits"
    if last in _WORDS or (last == "id" and words[-2:] == ["jwt", "id"]):
        return "always"
    return "always" if last == "code" and words[:-1] in (["otp"], ["mfa"], ["auth"], ["verification"]) else "no"
