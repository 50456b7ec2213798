"""Counts of one signal's items: waiting, in export, answered, and dropped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from otel_tools._call.forks import at_fork
from otel_tools._telemetry.instruments import dropped

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["ItemCounts"]


class ItemCounts:
    """How many items of a signal are accepted, exported and lost. Safe to use from several threads.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        report_full_queue: Called when an item is dropped because the queue is full, while exports succeed.
        report_late: Called when the first item comes after `close`.

    Attributes:
        accepted: Number of items accepted so far.
        undelivered: Number of items dropped or not delivered, without those that came after `close`.
        late: Number of items that came after `close`, and were dropped.
    """

    def __init__(
        self, signal: TelemetrySignal, report_full_queue: Callable[[], None], report_late: Callable[[], None]
    ) -> None:
        self._signal = signal
        self._report_late = report_late
        self._report_full_queue = report_full_queue
        self._changed = threading.Condition()
        self.accepted = 0
        self.undelivered = 0
        self.late = 0
        self._waiting = 0
        self._in_export = 0
        self._answered = 0
        self._closed = False
        self._abandoned = False
        self._left = 0
        self._cut_off = 0
        self._last_succeeded = False
        dropped.setdefault(signal, 0)

    def accept(self, max_waiting: int) -> bool:
        """Accept an item. Where ``max_waiting`` items wait already, it is dropped and counted as dropped."""
        with self._changed:
            if self._closed:
                self.late += 1
                dropped[self._signal] += 1
            elif self._waiting < max_waiting:
                self._waiting += 1
                self.accepted += 1
                return True
            else:
                self._count_undelivered(1)
            full, first_late = self._last_succeeded and not self._closed, self.late == 1
        if first_late:
            self._report_late()
        # Where exports fail, the batch that fails reports why.
        if full:
            self._report_full_queue()
        return False

    @property
    def unanswered(self) -> int:
        """Number of items that are being sent, or were sent without an answer: they may have arrived."""
        return self._in_export + self._cut_off

    def begin_export(self, count: int, accepted: int) -> bool:
        """Count a batch as in export, unless what waits is abandoned: it counts as dropped, so it must not be sent.

        Args:
            count: Number of items in the batch.
            accepted: How many of them went through `accept`.

        Returns:
            Whether the batch may be sent.
        """
        with self._changed:
            if self._abandoned:
                self._count_undelivered(count - accepted)
                return False
            self._waiting -= accepted
            self._in_export += count
            return True

    def end_export(self, count: int, *, lost: int, unanswered: bool = False) -> None:
        """Count a batch as no longer in export, and those of its items as dropped that were not delivered.

        Args:
            count: Number of items in the batch.
            lost: How many of them were not delivered.
            unanswered: Whether that is not known: the connection was closed before the answer.
        """
        with self._changed:
            self._in_export -= count
            self._last_succeeded = not lost
            if unanswered:
                self._cut_off += lost
            else:
                self._count_undelivered(lost)

    def mark_answered(self, accepted: int) -> None:
        """Count as many of the accepted items as answered. `wait_until_answered` and `abandon` wait for this."""
        with self._changed:
            self._answered += accepted
            self._changed.notify_all()

    def wait_until_answered(self, accepted: int, seconds: float) -> bool:
        """Wait until the first ``accepted`` items are answered; whether they are within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._answered >= accepted, max(0.0, seconds))

    def close(self) -> None:
        """Accept no more items; later ones are dropped and counted as dropped."""
        with self._changed:
            self._closed = True

    def abandon(self, deadline: float) -> bool:
        """Count what waits as dropped, after a wait for what is in export. That may still be answered.

        Args:
            deadline: On the clock of `time.monotonic`.

        Returns:
            Whether items waited, or are not answered by the deadline.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._in_export, max(0.0, deadline - time.monotonic()))
            self._abandoned = True
            self._left += self._waiting
            self._count_undelivered(self._waiting)
            self._waiting = 0
            return bool(self._left or self.unanswered)

    def after_fork(self) -> None:
        """In a forked process: start from zero, with a lock that no thread of the parent holds."""
        self._changed = threading.Condition()
        self.accepted = self.undelivered = self.late = 0
        self._answered = self._waiting = self._in_export = self._cut_off = 0

    def _count_undelivered(self, count: int) -> None:
        self.undelivered += count
        dropped[self._signal] += count


def _reset_dropped() -> None:
    """In a forked process: the parent's losses are not the child's."""
    for signal in dropped:
        dropped[signal] = 0


at_fork(after_in_child=_reset_dropped)
