"""Finds the known names that are most similar to a name that a model made up."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["similar_names"]

_MAX_NAME_LENGTH: Final = 128
"""Characters of a name that are compared."""


def similar_names(name: str, names: Iterable[str]) -> list[str]:
    """The known names that are most similar to an unknown one: at most three, the most similar first."""
    by_normalized = {_normalized(known): known for known in names}
    normalized = _normalized(name[:_MAX_NAME_LENGTH])
    if (same := by_normalized.get(normalized)) is not None:
        return [same]
    return [by_normalized[match] for match in difflib.get_close_matches(normalized, by_normalized, n=3, cutoff=0.6)]


def _normalized(name: str) -> str:
    """The name without a prefix, case and separators: models add ``functions.`` or write ``getWeather``."""
    return name.rpartition(".")[2].replace("_", "").replace("-", "").casefold().strip()
