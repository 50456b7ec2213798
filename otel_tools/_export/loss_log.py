"""Log lines about exports that fail: one a minute instead of one a batch."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_tools._call.forks import at_fork
from otel_tools._call.safe_logging import log_safely
from otel_tools._telemetry.instruments import dropped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["delay_reports", "exporter_log", "report_failure", "report_success"]

logger = logging.getLogger("otel_tools")

_REPORT_INTERVAL: Final = 60.0
"""Seconds between two reports of failures."""

_EXPORTER_LOGGERS: Final = "opentelemetry.exporter"
_MAX_REASON_LENGTH: Final = 400

_UNINFORMATIVE: Final = ("Shutdown in progress", "due to timeout, max retries or shutdown")
"""Messages of exporters that stop retrying. The message before them says why they had to retry."""


class _FailureReporter:
    """Logs failures of all signals, and when a signal is delivered again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_report = -_REPORT_INTERVAL
        self._reported_signals: set[str] = set()
        self._delayed: list[tuple[str, str, str]] | None = None

    def delay(self) -> None:
        with self._lock:
            self._delayed = []

    def report_delayed(self) -> None:
        with self._lock:
            delayed, self._delayed = self._delayed, None
        if delayed:
            self.report_failure(*delayed[0])

    def report_failure(self, signal: str, target: str, reason: str) -> None:
        with self._lock:
            if self._delayed is not None:
                self._delayed.append((signal, target, reason))
                return
            now = time.monotonic()
            if now - self._last_report < _REPORT_INTERVAL:
                return
            self._last_report = now
            self._reported_signals.add(signal)
        counts = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        log_safely(
            logger,
            logging.WARNING,
            "telemetry cannot be delivered to %s (%s); dropped so far: %s. The tools go on. "
            "`otel-tools doctor` says what is wrong; next such line in a minute at the earliest",
            target,
            " ".join(reason.split())[:_MAX_REASON_LENGTH] or "no reason given",
            counts or "nothing",
        )

    def report_success(self, signal: str) -> None:
        # Only a signal whose failure was logged is logged as recovered: a collector that fails every other time is
        # not worth two lines each time.
        with self._lock:
            if signal not in self._reported_signals:
                return
            self._reported_signals.discard(signal)
        log_safely(logger, logging.INFO, "%s are delivered again", signal)


class _ExporterLog(logging.Filter):
    """Context manager: drops the exporters' own log lines in this thread, and keeps the last one that says why."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._thread, "active", False):
            return True
        message = record.getMessage()
        if not (self.last_message and any(words in message for words in _UNINFORMATIVE)):
            self._thread.last_message = message
        return False

    def __enter__(self) -> None:
        self._thread.active, self._thread.last_message = True, ""
        for name in list(logging.Logger.manager.loggerDict):
            if name.startswith(_EXPORTER_LOGGERS):
                # Adding a filter that is there already does nothing.
                logging.getLogger(name).addFilter(self)

    def __exit__(self, *_: object) -> None:
        self._thread.active = False

    @property
    def last_message(self) -> str:
        """Why the export failed, in the exporter's own words; empty where it logged nothing."""
        return str(getattr(self._thread, "last_message", ""))


exporter_log = _ExporterLog()
_reporter = _FailureReporter()


def report_failure(signal: str, target: str, reason: str) -> None:
    """Log that a batch was not delivered, unless a failure was logged within the last minute.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        target: The address that the batch was sent to.
        reason: Why it failed.
    """
    _reporter.report_failure(signal, target, reason)


def report_success(signal: str) -> None:
    """Log that a signal is delivered again, if the last line about it was a failure."""
    _reporter.report_success(signal)


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
