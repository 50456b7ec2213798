"""The provider that our metrics leave by, and what becomes of it in the child of a fork."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View

from otel_tools._export.processors import MetricDelivery
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from otel_tools._export.delivery import Outlet

__all__ = ["Metering"]

_MAX_SERIES: Final = 20_000
"""Series an instrument of ours may have; the SDK's default of 2,000 is not enough for 1,000 tools."""

_LAST_COLLECTION: Final = 30_000.0
"""Milliseconds that the last collection may take; how long it is waited for is another matter."""


def _views() -> list[View]:
    ours = (names.DURATION.name, "otel_tools.*")
    try:
        return [
            View(instrument_name=name, meter_name=names.SCOPE, aggregation_cardinality_limit=_MAX_SERIES)
            for name in ours
        ]
    except TypeError:
        # Before 1.45.2 the SDK has no limit that would have to be raised.
        return []


_VIEWS: Final = _views()


class Metering:
    """A meter provider with the one reader that sends what it measures.

    Args:
        outlet: Where it is sent.
        resource: What it is about.
        interval: Seconds between two exports.
    """

    def __init__(self, outlet: Outlet, resource: Resource, interval: float) -> None:
        self._delivery = MetricDelivery(outlet)
        self._reader = _Reader(self._delivery, interval)
        try:
            self.provider = MeterProvider([self._reader], resource=resource, shutdown_on_exit=False, views=_VIEWS)
        except Exception:
            # The environment asks for what the SDK does not know; the reader's thread has started by then.
            self._reader._set_collect_callback(lambda *_, **__: MetricsData([]))  # noqa: SLF001 - it warns without one
            self._reader.registered.set()
            self._reader.shutdown()
            raise
        self._reader.registered.set()

    @property
    def resource(self) -> Resource:
        """What it is about; in the child of a fork the SDK gives it a ``service.instance.id`` of the child's own."""
        return self.provider._sdk_config.resource  # noqa: SLF001 - has no public name

    def without_ours(self) -> None:
        """In the child: go on for the application's own instruments alone.

        A histogram's state is the SDK's and is inherited with the parent's counts in it; ours are made anew elsewhere.
        """
        self._delivery.ours_elsewhere = True
        # Threads that are not here may have held the SDK's locks, most likely by measuring a call of ours. Where a
        # later SDK keeps them elsewhere, what stays is the risk that the application's instruments wait for them.
        with contextlib.suppress(AttributeError):
            self._forget_ours()
        self._reader.start_again()

    def _forget_ours(self) -> None:
        consumer = self.provider._measurement_consumer  # noqa: SLF001 - as above
        consumer._lock = threading.Lock()  # noqa: SLF001 - as above
        consumer._async_instruments = [  # noqa: SLF001 - as above
            each
            for each in consumer._async_instruments  # noqa: SLF001 - as above
            if each.instrumentation_scope.name != names.SCOPE
        ]
        for storage in consumer._reader_storages.values():  # noqa: SLF001 - as above
            storage._lock = threading.RLock()  # noqa: SLF001 - as above
            kept = storage._instrument_view_instrument_matches  # noqa: SLF001 - as above
            for instrument in [each for each in kept if each.instrumentation_scope.name == names.SCOPE]:
                del kept[instrument]


class _Reader(PeriodicExportingMetricReader):
    """The SDK's reader, whose thread begins when it may, also after a fork, and waits for no thread of the parent's.

    Attributes:
        registered: Set when its provider knows it; the SDK starts the thread before.
    """

    def __init__(self, exporter: MetricDelivery, interval: float) -> None:
        self.registered = threading.Event()
        super().__init__(exporter, export_interval_millis=interval * 1000)

    def _ticker(self) -> None:
        self.registered.wait()
        super()._ticker()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Collect and send a last time."""
        # The SDK gives the last collection no more time than the interval; a short one on a busy machine loses it.
        self._export_interval_millis = max(self._export_interval_millis, _LAST_COLLECTION)
        super().shutdown(timeout_millis, **kwargs)

    def _at_fork_reinit(self) -> None:
        """What the SDK calls in the child, before ours is set right."""

    def start_again(self) -> None:
        self._export_lock = threading.Lock()
        self._shutdown_event = threading.Event()
        if self._shutdown:
            self._shutdown_event.set()
        super()._at_fork_reinit()  # type: ignore[no-untyped-call] # the SDK's own
