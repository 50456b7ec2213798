"""Removes half surrogate pairs from texts: no exporter can encode them, and one in a name loses a whole batch."""

from __future__ import annotations

__all__ = ["without_surrogates"]


def without_surrogates(text: str) -> str:
    """The text with a pair as its character, and with half a pair as the replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
