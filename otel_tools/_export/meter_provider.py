"""The provider that our metrics leave by, and what becomes of it in the child of a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View

from otel_tools._export import sdk_private
from otel_tools._export.processors import MetricDelivery
from otel_tools._export.sdk_private import ForkSafeMetricReader
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.resources import Resource

    from otel_tools._export.delivery import Outlet

__all__ = ["Metering"]

_MAX_SERIES: Final = 20_000
"""Series an instrument of ours may have; the SDK's default of 2,000 is not enough for 1,000 tools."""


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
    """A meter provider with the one reader that exports what it measures.

    Args:
        outlet: Where it is sent.
        resource: What it is about.
        interval: Seconds between two exports.
    """

    def __init__(self, outlet: Outlet, resource: Resource, interval: float) -> None:
        self._delivery = MetricDelivery(outlet)
        self._reader = ForkSafeMetricReader(self._delivery, interval)
        try:
            self.provider = MeterProvider([self._reader], resource=resource, shutdown_on_exit=False, views=_VIEWS)
        except Exception:
            # The environment asks for what the SDK does not know. The reader's thread has started by then.
            self._reader.discard()
            raise
        self._reader.begin()

    def resource_in_child(self) -> Resource | None:
        """In a forked process: the resource with the ``service.instance.id`` that the SDK made for this process.

        Returns:
            None where the SDK does not tell.
        """
        return sdk_private.resource_of(self.provider)

    def missing_names(self, batch_processors: Iterable[object]) -> list[sdk_private.PrivateName]:
        """The private names that the installed SDK lacks."""
        return sdk_private.missing_names(self.provider, self._reader, self._delivery, batch_processors)

    def without_ours(self) -> None:
        """In a forked process: go on with the application's own instruments alone.

        A histogram's state is the SDK's. It is inherited with the parent's counts in it, so ours are made anew with
        another provider.
        """
        self._delivery.ours_elsewhere = True
        sdk_private.forget_instruments(self.provider, names.SCOPE)
        self._reader.restart_in_child()
