"""Exporter wrapper of one signal: exports batches, counts and logs losses, and bounds flushes and forks."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._export import loss_log
from otel_tools._export.answers import Answer, as_answer
from otel_tools._export.item_counts import ItemCounts
from otel_tools._export.refusals import Refusals
from otel_tools._urls import secrets_in, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["SignalDelivery"]

logger = logging.getLogger("otel_tools")

_FLUSH_RETRY_INTERVAL: Final = 0.05
"""Seconds between two looks at the flush thread: it may have ended just before the awaited item was queued."""


class SignalDelivery:
    """Exports the batches of one signal, and counts what is not delivered.

    A forked process makes its own exporter: on a connection that parent and child both write to, neither's data
    arrives.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: The address or file, for log lines.
        make_exporter: Makes the exporter.
        max_fork_wait: Seconds that a fork waits at most for an export in progress.
        doctor: The command that finds out what is wrong; empty where none does.
        secrets: Texts that no log line may have.
        refusals: Shared by the signals of one configuration.

    Attributes:
        counts: Counts of its items.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the last four have defaults
        self,
        signal: TelemetrySignal,
        target: str,
        make_exporter: Callable[[], Any],
        max_fork_wait: float = 0.25,
        doctor: str = "",
        secrets: Sequence[str] = (),
        refusals: Refusals | None = None,
    ) -> None:
        self.signal = signal
        self._doctor = doctor
        self.refusals = refusals or Refusals()
        self.refusals.add(signal)
        self._target, self._secrets = without_secrets(target), [*secrets_in(target), *secrets]
        self._make_exporter = make_exporter
        report_full_queue = partial(self.report_failure, "more comes than it takes: the queue is full")
        self.counts = ItemCounts(signal, report_full_queue, partial(loss_log.report_late, signal))
        self._export_lock = _ExportLock(max_fork_wait)
        self._flush_thread: threading.Thread | None = None
        self._exporter: Any = None
        self._inherited_exporters: list[Any] = []

    def send(self, batch: Any, count: int, *, accepted: int = 0) -> bool:
        """Export a batch.

        Args:
            batch: The exporter's argument.
            count: Number of items in the batch.
            accepted: How many of them went through `ItemCounts.accept`.

        Returns:
            Whether the batch was delivered.
        """
        if not self.counts.begin_export(count, accepted):
            return False
        try:
            return self._send(batch, count)
        finally:
            # Last, so that what is lost has been reported when a flush returns.
            self.counts.mark_answered(accepted)

    def _send(self, batch: Any, count: int) -> bool:
        if not self.refusals.may_send(self.signal):
            self.counts.end_export(count, lost=count)
            return False
        with self._export_lock:
            answer = self._export(batch)
        lost = min(count, answer.rejected) if answer.delivered else count
        changed = self.refusals.set_refused(self.signal, refused=answer.refused)
        self.counts.end_export(count, lost=lost, unanswered=answer.unanswered)
        if not lost:
            loss_log.report_success(self.signal)
            if answer.reason:
                loss_log.report_remark(self._target, self._without_secrets(answer.reason))
        elif not self.refusals.is_off(self.signal):
            self.report_failure(answer.reason)
        elif changed:
            loss_log.report_refusal(self.signal, self._target, self._without_secrets(answer.reason), self._doctor)
        return not lost

    def start_flush(self, flush: Callable[[], Any]) -> None:
        """Export the waiting items in a thread; while calls go on, exporting may never end.

        Args:
            flush: Exports until no item waits.

        Raises:
            RuntimeError: No thread can be started.
        """
        if self._flush_thread is None or not self._flush_thread.is_alive():
            self._flush_thread = threading.Thread(target=flush, name="otel-tools-flush", daemon=True)
            self._flush_thread.start()

    def wait_until_answered(self, flush: Callable[[], Any], accepted: int, deadline: float) -> bool:
        """Wait until the first ``accepted`` items are exported and answered.

        Args:
            flush: As for `start_flush`.
            accepted: Number of items.
            deadline: On the clock of `time.monotonic`.

        Returns:
            Whether they are answered by the deadline.
        """
        while True:
            self.start_flush(flush)
            wait = min(_FLUSH_RETRY_INTERVAL, deadline - time.monotonic())
            if self.counts.wait_until_answered(accepted, wait):
                return True
            if wait <= 0:
                return False

    @property
    def exporter(self) -> Any:
        """The exporter, made on first use."""
        if self._exporter is None:
            self._exporter = self._make_exporter()
        return self._exporter

    def shut_down_exporter(self) -> None:
        """End the exporter and its retries."""
        try:
            if self._exporter is not None:
                self._exporter.shutdown()
        except Exception as error:  # noqa: BLE001 - no item is left to save
            logger.debug("the exporter of %s did not shut down: %r", self.signal, error)

    def report_failure(self, reason: str) -> None:
        """Log that items were not delivered, and why; secrets of the target are removed from the reason."""
        loss_log.report_failure(self.signal, self._target, self._without_secrets(reason), self._doctor)

    def pause(self, began: float) -> bool:
        """Start no export until `resume`, so that the process can fork. Waits for an export in progress.

        Args:
            began: When the wait for all signals began, on the clock of `time.monotonic`.

        Returns:
            Whether exports are paused, and `resume` is to be called in the parent.
        """
        return self._export_lock.acquire_for_fork(began)

    def resume(self) -> None:
        """Allow exports again."""
        self._export_lock.release()

    def after_fork(self) -> None:
        """In a forked process: start from zero. The waiting items and the connections are the parent's."""
        self.counts.after_fork()
        self._export_lock = self._export_lock.renewed()
        self._flush_thread = None
        # Kept, not closed: a destructor may write to the connection that the parent still uses.
        self._inherited_exporters.append(self._exporter)
        self._exporter = None

    def _export(self, batch: Any) -> Answer:
        try:
            return as_answer(self.exporter.export(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is lost
            return Answer(delivered=False, reason=repr(error))

    def _without_secrets(self, reason: str) -> str:
        for secret in self._secrets:
            reason = reason.replace(secret, "")
        return reason


class _ExportLock:
    """A lock held during an export, which a fork acquires too, within a bounded time.

    A thread that does not exist in the child leaves its work half done there: a module half imported, whose import
    lock is never released, or a gRPC call, on which gRPC aborts the child.

    Args:
        max_fork_wait: Seconds that a fork waits at most.
    """

    def __init__(self, max_fork_wait: float) -> None:
        self._max_fork_wait = max_fork_wait
        self._lock = threading.Lock()
        self._fork_timed_out = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._fork_timed_out = False
        self._lock.release()

    def acquire_for_fork(self, began: float) -> bool:
        """Acquire the lock before a fork; whether that succeeded.

        An export that outlasted one fork's wait is not waited for by the next fork: a dead collector must not slow
        down an application that forks often.

        Args:
            began: When the wait began, on the clock of `time.monotonic`.
        """
        wait = 0.0 if self._fork_timed_out else max(0.0, began + self._max_fork_wait - time.monotonic())
        acquired = self._lock.acquire(timeout=wait)
        self._fork_timed_out = not acquired
        return acquired

    def release(self) -> None:
        """Release the lock after a fork, in the parent."""
        self._lock.release()

    def renewed(self) -> _ExportLock:
        """A new lock for a forked process."""
        return _ExportLock(self._max_fork_wait)
