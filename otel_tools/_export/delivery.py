"""Getting telemetry out: what could not be delivered is counted, and at the end nothing is waited for too long."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork
from otel_tools._export import loss_log
from otel_tools._export.endpoint import secrets_in, without_secrets
from otel_tools._telemetry.instruments import dropped

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["Outlet"]

logger = logging.getLogger("otel_tools")

_DRAIN_AGAIN: Final = 0.05
"""Seconds until one that waits looks whether the thread that sends has ended just before what it waits for came."""


class Outlet:
    """One signal's way out of the process.

    The exporter is made again in the child of a fork: a connection that parent and child both write to would carry
    neither's data.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: Where it goes, for the log.
        make: Makes the exporter.
        fork_waits: How many seconds a fork waits at most for an export that is under way.

    Attributes:
        accepted: How many items were counted in so far.
        lost: How many could not be delivered, without those that came after the end.
    """

    def __init__(self, signal: TelemetrySignal, target: str, make: Callable[[], Any], fork_waits: float = 0.25) -> None:
        self.signal = signal
        self._target, self._secrets = without_secrets(target), secrets_in(target)
        self._make = make
        self._fork_waits = fork_waits
        self._changed = threading.Condition()
        self.accepted = 0
        self.lost = 0
        self._answered = 0
        self._waiting = 0
        self._unanswered = 0
        self._closed = False
        self._over = False
        self._delivers = False
        self._exporting = threading.Lock()
        self._long = False
        self._drain: threading.Thread | None = None
        self._exporter: Any = None
        self._inherited: list[Any] = []
        dropped.setdefault(signal, 0)

    def accept(self, most: int) -> bool:
        """Count an item in, unless as many as ``most`` are waiting: then it is dropped, and counted as such."""
        with self._changed:
            if self._closed:
                dropped[self.signal] += 1
                return False
            if self._waiting < most:
                self._waiting += 1
                self.accepted += 1
                return True
            self._lose(1)
            delivers = self._delivers
        # Where nothing is delivered, the batch that fails says why.
        if delivers:
            self.report("more comes than it takes: the queue is full")
        return False

    def send(self, batch: Any, count: int, *, waited: int = 0) -> bool:
        """Hand a batch to the exporter.

        Args:
            batch: What the exporter takes.
            count: How many items are in it.
            waited: How many of them were counted in by `accept`.

        Returns:
            Whether it was delivered.
        """
        with self._changed:
            self._waiting -= waited
            self._unanswered += count
        with self._exporting:
            delivered, reason = self._export(batch)
            self._long = False
        with self._changed:
            self._unanswered -= count
            self._answered += waited
            self._delivers = delivered
            if not delivered and not self._over:
                self._lose(count)
            self._changed.notify_all()
        if delivered:
            loss_log.succeeded(self.signal)
        else:
            self.report(reason)
        return delivered

    def drain(self, send: Callable[[], Any]) -> None:
        """Have what waits sent now, by a thread: where calls go on it may never see the end of them.

        Args:
            send: Sends until nothing waits.

        Raises:
            RuntimeError: No thread can be started.
        """
        if self._drain is None or not self._drain.is_alive():
            self._drain = threading.Thread(target=send, name="otel-tools-flush", daemon=True)
            self._drain.start()

    def drained(self, send: Callable[[], Any], accepted: int, deadline: float) -> bool:
        """Wait until the first so many of the items that were counted in were sent and answered.

        Args:
            send: As for `drain`.
            accepted: How many.
            deadline: As `time.monotonic` tells it.

        Returns:
            Whether they were by the deadline.
        """
        while True:
            self.drain(send)
            wait = min(_DRAIN_AGAIN, deadline - time.monotonic())
            with self._changed:
                if self._changed.wait_for(lambda: self._answered >= accepted, max(0.0, wait)):
                    return True
            if wait <= 0:
                return False

    @property
    def exporter(self) -> Any:
        """The exporter, made when first asked for."""
        if self._exporter is None:
            self._exporter = self._make()
        return self._exporter

    def stop(self) -> None:
        """End the exporter, and the retrying that it may be in."""
        with loss_log.hush:
            try:
                if self._exporter is not None:
                    self._exporter.shutdown()
            except Exception as error:  # noqa: BLE001 - there is nothing left to save
                logger.debug("the exporter of %s did not shut down: %r", self.signal, error)

    def report(self, reason: str) -> None:
        """Say that something was lost, and why."""
        for secret in self._secrets:
            reason = reason.replace(secret, "")
        loss_log.failed(self.signal, self._target, reason)

    def close(self) -> None:
        """Nothing is counted in from here on; what comes still is dropped, and counted as such."""
        with self._changed:
            self._closed = True

    def give_up(self, deadline: float) -> int:
        """Nothing is sent from here on. What is neither sent nor answered by the deadline counts as dropped.

        Args:
            deadline: As `time.monotonic` tells it.

        Returns:
            How many items that were; 0 where it was told so before.
        """
        with self._changed:
            if self._over:
                return 0
            self._changed.wait_for(lambda: not self._unanswered, max(0.0, deadline - time.monotonic()))
            left, self._waiting, self._over = self._waiting + self._unanswered, 0, True
            self._lose(left)
        return left

    def pause(self, began: float) -> bool:
        """Let no export be under way while the process forks; `resume` ends it, in the parent.

        A thread that is not in the child leaves there what it was in the middle of: a module half imported, whose lock
        nobody frees, or a gRPC call, on which gRPC ends the child.

        An export that takes longer than a fork waits is not waited for a second time, so that a dead collector does
        not slow down an application that forks often.

        Args:
            began: When the waiting for all outlets began, as `time.monotonic` tells it.

        Returns:
            Whether there is something to resume.
        """
        left = 0.0 if self._long else max(0.0, began + self._fork_waits - time.monotonic())
        paused = self._exporting.acquire(timeout=left)
        self._long = not paused
        return paused

    def resume(self) -> None:
        """Exports go on."""
        self._exporting.release()

    def after_fork(self) -> None:
        """In the child: what waits here is the parent's to send, and so are its connections."""
        self._changed, self._exporting = threading.Condition(), threading.Lock()
        self._long = False
        self.accepted = self.lost = self._answered = self._waiting = self._unanswered = 0
        self._drain = None
        # Kept, not closed: a destructor may talk over the connection that the parent still uses.
        self._inherited.append(self._exporter)
        self._exporter = None

    def _lose(self, count: int) -> None:
        self.lost += count
        dropped[self.signal] += count

    def _export(self, batch: Any) -> tuple[bool, str]:
        """Whether it was delivered, and why not."""
        try:
            # What is imported for it has loggers, and these must exist when they are hushed.
            exporter = self.exporter
            with loss_log.hush:
                return exporter.export(batch).name == "SUCCESS", loss_log.hush.heard
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is lost
            return False, repr(error)


def _start_again() -> None:
    """In the child of a fork: the parent's losses are not the child's."""
    for signal in dropped:
        dropped[signal] = 0


at_fork(after_in_child=_start_again)
