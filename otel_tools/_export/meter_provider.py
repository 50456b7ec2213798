"""A meter provider with its reader and exporter, and how it continues in a forked process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.environment_variables import OTEL_METRICS_EXEMPLAR_FILTER
from opentelemetry.sdk.metrics import ExemplarFilter, MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.view import View

from otel_tools._export import sdk_private
from otel_tools._export.processors import CountingMetricExporter
from otel_tools._export.sdk_private import ForkSafeMetricReader
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.resources import Resource

    from otel_tools._export.delivery import SignalDelivery

__all__ = ["VIEWS", "MetricPipeline"]

_MAX_SERIES: Final = 20_000
"""Series that one instrument of otel_tools may have. The SDK's default of 2,000 is too low for 1,000 tools."""


def _views() -> list[View]:
    own_instruments = (names.DURATION.name, "otel_tools.*")
    try:
        return [
            View(instrument_name=name, meter_name=names.SCOPE, aggregation_cardinality_limit=_MAX_SERIES)
            for name in own_instruments
        ]
    except TypeError:
        # Before 1.45.2 the SDK has no limit that would have to be raised.
        return []


VIEWS: Final = _views()
"""Views that raise the limit of series for otel_tools' instruments."""


def _exemplar_filter() -> ExemplarFilter | None:
    """None where the SDK reads the variable; one that is empty, which the SDK refuses, is one that is not set."""
    return None if os.environ.get(OTEL_METRICS_EXEMPLAR_FILTER, "").strip() else TraceBasedExemplarFilter()


class MetricPipeline:
    """A meter provider with one reader and one exporter.

    Args:
        delivery: Where metrics are exported.
        resource: The resource of the metrics.
        interval: Seconds between two exports.
        console: Whether the metrics are printed only; a person reads totals.

    Attributes:
        provider: The meter provider.
    """

    def __init__(self, delivery: SignalDelivery, resource: Resource, interval: float, *, console: bool = False) -> None:
        self._exporter = CountingMetricExporter(delivery, console=console)
        self._reader = ForkSafeMetricReader(self._exporter, interval)
        try:
            self.provider = MeterProvider(
                [self._reader],
                resource=resource,
                exemplar_filter=_exemplar_filter(),
                shutdown_on_exit=False,
                views=VIEWS,
            )
        except Exception:
            # The environment asks for what the SDK does not know. The reader's thread has started by then.
            self._reader.discard()
            raise
        self._reader.begin()

    def resource_in_child(self) -> Resource | None:
        """In a forked process: the resource with the ``service.instance.id`` that the SDK made for this process.

        Returns:
            None where the SDK has no such name.
        """
        return sdk_private.resource_of(self.provider)

    def missing_names(self, batch_processors: Iterable[object]) -> list[sdk_private.PrivateName]:
        """The private names that the installed SDK lacks."""
        return sdk_private.missing_names(self.provider, self._reader, batch_processors)

    def keep_only_foreign_instruments(self) -> None:
        """In a forked process: continue with the application's own instruments alone.

        The SDK holds a histogram's state, and the child inherits it with the parent's counts. otel_tools' instruments
        are therefore made anew under another provider.
        """
        self._exporter.excludes_own_metrics = True
        sdk_private.forget_instruments(self.provider, names.SCOPE)
        self._reader.restart_in_child()
