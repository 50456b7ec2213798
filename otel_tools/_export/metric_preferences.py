"""The temporality and the histograms that the ``OTEL_*`` variables ask of an OTLP exporter.

Source: https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION,
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE,
)
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["aggregation_preference", "temporality_preference"]

logger = logging.getLogger("otel_tools")

_DELTA_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}
_KINDS: Final = (Counter, Histogram, ObservableCounter, ObservableGauge, ObservableUpDownCounter, UpDownCounter)
_HISTOGRAMS: Final[dict[str, type[Aggregation]]] = {
    "explicit_bucket_histogram": ExplicitBucketHistogramAggregation,
    "base2_exponential_bucket_histogram": ExponentialBucketHistogramAggregation,
}


def temporality_preference() -> dict[type, AggregationTemporality]:
    """The temporality for each kind of instrument."""
    chosen = _DELTA_KINDS[_known(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, _DELTA_KINDS)]
    delta, cumulative = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
    return {kind: delta if kind in chosen else cumulative for kind in _KINDS}


def aggregation_preference() -> dict[type, Aggregation]:
    """The kind of histogram."""
    return {Histogram: _HISTOGRAMS[_known(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION, _HISTOGRAMS)]()}


def _known(variable: str, values: Iterable[str]) -> str:
    """The value of a variable in lower case; the first of the known values where it is not one of them."""
    known = list(values)
    value = os.environ.get(variable, "").strip().lower() or known[0]
    if value in known:
        return value
    logger.warning("%s=%s is ignored: accepted are %s", variable, value, ", ".join(known))
    return known[0]
