"""Quantiles of a histogram with explicit buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["quantile"]


def quantile(q: float, bounds: Sequence[float], counts: Sequence[int], maximum: float | None = None) -> float:
    """Estimate a quantile by linear interpolation inside the bucket that holds it.

    This is ``histogram_quantile`` of Prometheus (https://prometheus.io/docs, "Query functions") for one series of
    non-negative values.

    Args:
        q: The quantile, above 0 and at most 1.
        bounds: Upper bounds of the buckets, inclusive and ascending.
        counts: Number of values in each bucket; one item more than ``bounds``, for the values above all of them. At
            least one is not 0.
        maximum: Upper end of the last bucket. None takes the highest bound, as Prometheus does.
    """
    top = bounds[-1] if maximum is None else maximum
    rank = q * sum(counts)
    below = 0
    for lower, upper, count in zip((0.0, *bounds), (*bounds, top), counts, strict=True):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return top
