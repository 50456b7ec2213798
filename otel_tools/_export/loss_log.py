"""Log lines about exports that fail: one a minute instead of one a batch."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.forks import at_fork
from otel_tools._call.safe_logging import log_safely
from otel_tools._telemetry.instruments import dropped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "delay_reports",
    "note_unanswered",
    "report_failure",
    "report_late",
    "report_refusal",
    "report_remark",
    "report_success",
]

logger = logging.getLogger("otel_tools")

_REPORT_INTERVAL: Final = 60.0
"""Seconds between two reports of failures."""

_MAX_REASON_LENGTH: Final = 400


class _FailureReporter:
    """Logs failures of all signals, and when a signal is delivered again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_report = -_REPORT_INTERVAL
        self._reported_signals: set[str] = set()
        self._last_remark = -_REPORT_INTERVAL
        self._delayed: list[tuple[str, str, str, str]] | None = None
        self.unanswered: dict[str, int] = {}

    def delay(self) -> None:
        with self._lock:
            self._delayed = []

    def report_delayed(self) -> None:
        with self._lock:
            delayed, self._delayed = self._delayed, None
        if delayed:
            self.report_failure(*delayed[0])

    def report_failure(self, signal: str, target: str, reason: str, doctor: str = "") -> None:
        with self._lock:
            if self._delayed is not None:
                self._delayed.append((signal, target, reason, doctor))
                return
            now = time.monotonic()
            if now - self._last_report < _REPORT_INTERVAL:
                return
            self._last_report = now
            self._reported_signals.add(signal)
        counts = _listed(dropped) or "nothing"
        if unanswered := _listed(self.unanswered):
            counts += f"; sent, but not answered: {unanswered}"
        log_safely(
            logger,
            logging.WARNING,
            "telemetry cannot be delivered to %s (%s); dropped so far: %s. The tools go on. "
            "%snext such line in a minute at the earliest",
            target,
            _one_line(reason),
            counts,
            f"`{doctor}` says what is wrong; " if doctor else "",
        )

    def report_remark(self, target: str, remark: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._last_remark < _REPORT_INTERVAL:
                return
            self._last_remark = now
        log_safely(logger, logging.WARNING, "%s takes the telemetry and says: %s", target, _one_line(remark))

    def report_success(self, signal: str) -> None:
        # Only a signal whose failure was logged is logged as recovered: a collector that fails every other time is
        # not worth two lines each time.
        with self._lock:
            if signal not in self._reported_signals:
                return
            self._reported_signals.discard(signal)
        log_safely(logger, logging.INFO, "%s are delivered again", signal)


_reporter = _FailureReporter()


def report_failure(signal: str, target: str, reason: str, doctor: str = "") -> None:
    """Log that items were not delivered, unless a failure was logged within the last minute.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: The address that the batch was sent to.
        reason: Why it failed.
        doctor: The command that finds out what is wrong; empty where none does.
    """
    _reporter.report_failure(signal, target, reason, doctor)


def report_refusal(signal: str, target: str, reason: str, doctor: str) -> None:
    """Log that an endpoint does not take a signal, while it takes another one.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: The address.
        reason: Its answer.
        doctor: As for `report_failure`.
    """
    log_safely(
        logger,
        logging.WARNING,
        "%s are off: %s does not take them (%s). The other signals go on. If that is right, set OTEL_%s_EXPORTER=none; "
        "if not, correct the endpoint: `%s` says what is wrong. They are tried again once a minute",
        signal,
        target,
        _one_line(reason),
        signal.upper(),
        doctor,
    )


def note_unanswered(counts: Mapping[str, int]) -> None:
    """Have the next line about a failure say how many items of each signal were sent, but not answered."""
    _reporter.unanswered = dict(counts)


def report_late(signal: str) -> None:
    """Log that telemetry came after the end, where the process goes on. At the end of a process nobody can help it."""
    if threading.main_thread().is_alive():
        message = "calls go on after shutdown(): their %s are dropped, and flush() returns False"
        log_safely(logger, logging.WARNING, message, signal)


def report_remark(target: str, remark: str) -> None:
    """Log what a collector says though it took everything, once a minute at most.

    Args:
        target: The address.
        remark: What it says.
    """
    _reporter.report_remark(target, remark)


def report_success(signal: str) -> None:
    """Log that a signal is delivered again, if the last line about it was a failure."""
    _reporter.report_success(signal)


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} of {signal}" for signal, count in counts.items() if count)


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:_MAX_REASON_LENGTH] or "no reason given"


@contextmanager
def delay_reports() -> Iterator[None]:
    """Log failures after the block, when all items that it dropped are counted."""
    _reporter.delay()
    try:
        yield
    finally:
        _reporter.report_delayed()


def _renew_reporter() -> None:
    """In a forked process: the parent's reports do not count, and a thread of the parent may hold the lock."""
    global _reporter  # noqa: PLW0603 - only a fork makes a new one necessary
    _reporter = _FailureReporter()


at_fork(after_in_child=_renew_reporter)
