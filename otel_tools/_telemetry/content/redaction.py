"""Redacts the values of secret keys, and parts of texts that are secrets.

There are two strengths. Telemetry is redacted by keys and by shapes: `Redaction.text` and `Redaction.hides`. What a
model reads is redacted by the shape of a value alone, `Redaction.by_shape`, because it needs what a key such as
``access_token`` names for its next call.

=====================  ========  ==============================================================================
what                   model     where
=====================  ========  ==============================================================================
private keys           yes       ``secret_shapes.py``: a block ``-----BEGIN ... PRIVATE KEY-----``
passwords in URLs      yes       ``scheme://user:password@host``
keys with a prefix     yes       the list ``SHAPES``: ``sk-``, ``ghp_``, ``AKIA`` and others
tokens                 no        JSON Web Tokens, ``Bearer ...`` and ``Basic ...``
query parameters       no        ``?key=``, ``&sig=``, ``&X-Amz-Signature=``
assignments            no        ``assignments.py``: ``password=...``, headers, ``--password x``
values of keys         no        ``secret_keys.py``: ``password``, ``apiKey``, ``dsn``
=====================  ========  ==============================================================================
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from otel_tools._telemetry.content.assignments import hide_assignments
from otel_tools._telemetry.content.secret_keys import hides
from otel_tools._telemetry.content.secret_shapes import REDACTED, hide_shapes, hide_tokens, hide_url_secrets
from otel_tools._telemetry.guard import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["REDACTED", "REDACT_CHOICES", "Redact", "Redaction"]

Redact: TypeAlias = 'bool | Literal["keys"]'
"""What a model does not read: secrets by their shape (True), those under secret keys too (``"keys"``), all (False)."""

REDACT_CHOICES: Final = (True, "keys", False)

_TO_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class Redaction:
    """Redacts texts, and says which keys are secret; immutable.

    Args:
        patterns: Further regular expressions; each match becomes ``[REDACTED]``.
        callback: Called last with each text; returns the text to record. Where it raises, or does not return a text,
            the whole text is redacted, so that no secret leaves the process.
    """

    __slots__ = ("__dict__", "_callback", "_patterns")

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
        return self._finished(_without_named(hide_tokens(hide_shapes(text))))

    @cached_property
    def by_shape(self) -> Redaction:
        """The same for what a model reads: by the shape of a value alone."""
        return _ByShape(self._patterns, self._callback)

    def _finished(self, text: str) -> str:
        for own_pattern in self._patterns:
            text = own_pattern.sub(REDACTED, text)
        if self._callback is not None:
            text = self._apply_callback(text)
        # A lone surrogate is valid in Python but not in UTF-8: the exporter would lose the whole batch.
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def _apply_callback(self, text: str) -> str:
        redacted: object = REDACTED
        try:
            redacted = self._callback(text) if self._callback else text
        except Exception:  # noqa: BLE001 - whatever the callback raises, the text is redacted
            log_failure("calling the redact callback")
        return redacted if isinstance(redacted, str) else REDACTED

    def hides(self, key: str, value: object) -> bool:
        """Whether the value of this key is a secret, whatever it looks like."""
        return hides(key, value)


class _ByShape(Redaction):
    """Redacts what is a secret by its shape, whatever its key."""

    __slots__ = ()

    def text(self, text: str, *, headless: bool = False) -> str:
        """As `Redaction.text`, without what the text gives to secret names."""
        return self._finished(hide_shapes(_without_rest_of_key(text) if headless else text))

    def hides(self, _key: str, _value: object) -> bool:
        """No value is hidden for its key."""
        return False


def _without_named(text: str) -> str:
    """The text without the values that it gives to secret names."""
    if "?" in text or "&" in text:
        text = hide_url_secrets(text)
    return hide_assignments(text, _lower(text))


def _lower(text: str) -> str:
    """In lower case and of the same length: a few letters have a lower case of two characters."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_TO_LOWER)


def _without_rest_of_key(text: str) -> str:
    """The text without a private key whose end is in it and whose start is not."""
    end, begin = text.find("-----END "), text.find("-----BEGIN ")
    if end != -1 and "PRIVATE KEY" in text[end : end + 64] and not -1 < begin < end:
        return REDACTED + text[end:]
    return text
