"""What Prometheus computes from the histograms that are exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def histogram_quantile(q: float, bounds: Sequence[float], counts: Sequence[int]) -> float:
    """Prometheus' own, over cumulative buckets ``le``: https://prometheus.io/docs, ``histogram_quantile()``."""
    cumulative = [sum(counts[: index + 1]) for index in range(len(counts))]
    rank = q * cumulative[-1]
    index = next(i for i, count in enumerate(cumulative) if count >= rank)
    if index == len(bounds):
        return bounds[-1]
    start = bounds[index - 1] if index else 0.0
    below = cumulative[index - 1] if index else 0
    return start + (bounds[index] - start) * (rank - below) / (cumulative[index] - below)
