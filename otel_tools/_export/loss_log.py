"""What is said about deliveries that fail: one line a minute instead of one a batch."""

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

__all__ = ["failed", "held", "hush", "succeeded"]

logger = logging.getLogger("otel_tools")

_EVERY: Final = 60.0
_EXPORTERS: Final = "opentelemetry.exporter"
_LONGEST_REASON: Final = 400
_NO_REASON: Final = ("Shutdown in progress", "due to timeout, max retries or shutdown")
"""What exporters say when they stop trying; what they said before is why they had to try again."""


class _Report:
    """The state of what was said, over all signals."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -_EVERY
        self._said: set[str] = set()
        self._held: list[tuple[str, str, str]] | None = None

    def hold(self) -> None:
        with self._lock:
            self._held = []

    def release(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held:
            self.failed(*held[0])

    def failed(self, signal: str, target: str, reason: str) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append((signal, target, reason))
                return
            now = time.monotonic()
            if now - self._last < _EVERY:
                return
            self._last = now
            self._said.add(signal)
        lost = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        log_safely(
            logger,
            logging.WARNING,
            "telemetry cannot be delivered to %s (%s); dropped so far: %s. The tools go on. "
            "`otel-tools doctor` says what is wrong; next such line in a minute at the earliest",
            target,
            " ".join(reason.split())[:_LONGEST_REASON] or "no reason given",
            lost or "nothing",
        )

    def succeeded(self, signal: str) -> None:
        # Only what was said to fail is said to work again: a collector that fails every other time is not worth
        # two lines each time.
        with self._lock:
            if signal not in self._said:
                return
            self._said.discard(signal)
        log_safely(logger, logging.INFO, "%s are delivered again", signal)


class _Hush(logging.Filter):
    """Keeps the exporters' own lines back while one of ours runs them, and remembers why they failed."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._thread, "on", False):
            return True
        line = record.getMessage()
        if not (self.heard and any(words in line for words in _NO_REASON)):
            self._thread.heard = line
        return False

    def __enter__(self) -> None:
        self._thread.on, self._thread.heard = True, ""
        for name in list(logging.Logger.manager.loggerDict):
            if name.startswith(_EXPORTERS):
                # Adding a filter that is there already does nothing.
                logging.getLogger(name).addFilter(self)

    def __exit__(self, *_: object) -> None:
        self._thread.on = False

    @property
    def heard(self) -> str:
        """Why the export failed, in the exporter's own words."""
        return str(getattr(self._thread, "heard", ""))


hush = _Hush()
_report = _Report()


def failed(signal: str, target: str, reason: str) -> None:
    """A batch could not be delivered: say so, unless that was said within the last minute.

    Args:
        signal: What was lost.
        target: Where it should have gone.
        reason: Why it did not.
    """
    _report.failed(signal, target, reason)


def succeeded(signal: str) -> None:
    """A batch was delivered: say so, if the last that was said of the signal is that it fails."""
    _report.succeeded(signal)


@contextmanager
def held() -> Iterator[None]:
    """What fails in the block is said after it, when all that it cost is counted."""
    _report.hold()
    try:
        yield
    finally:
        _report.release()


def _start_again() -> None:
    """In the child of a fork: what the parent said is not said by the child, and nobody there frees the lock."""
    global _report  # noqa: PLW0603 - a fork is the one event that makes a new one necessary
    _report = _Report()


at_fork(after_in_child=_start_again)
