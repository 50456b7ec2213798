"""Which signals the collector does not take at all, as an endpoint for traces alone answers for metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["Refusals"]

_RETRY_INTERVAL: Final = 60.0
"""Seconds after which a signal that is off is sent again: the address may have been set right."""


class Refusals:
    """The refused ones of the signals that one `configure()` exports.

    A signal is off while it is refused and another one is not: its losses say nothing of the others. Where all are
    refused, the address is wrong, and every batch is tried and reported as with any other failure.
    """

    def __init__(self) -> None:
        self._next_try: dict[TelemetrySignal, float | None] = {}

    def add(self, signal: TelemetrySignal) -> None:
        """Note that a signal is exported."""
        self._next_try.setdefault(signal, None)

    def is_off(self, signal: TelemetrySignal) -> bool:
        """Whether a signal is refused while another one is not."""
        return self._next_try.get(signal) is not None and None in list(self._next_try.values())

    def may_send(self, signal: TelemetrySignal) -> bool:
        """Whether a batch is to be sent: of a signal that is off, one now and then."""
        next_try = self._next_try.get(signal)
        return next_try is None or not self.is_off(signal) or time.monotonic() >= next_try

    def set_refused(self, signal: TelemetrySignal, *, refused: bool) -> bool:
        """Note the answer to a batch.

        Returns:
            Whether it differs from the answer before.
        """
        was_refused = self._next_try.get(signal) is not None
        self._next_try[signal] = time.monotonic() + _RETRY_INTERVAL if refused else None
        return was_refused != refused
