"""The log settings of the process: off until `configure(logs=...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from otel_tools._telemetry.guard import log_failure

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from opentelemetry.context import Context

    from otel_tools._telemetry.logs.correlation import RunningCall

__all__ = ["LogSettings", "Sink", "logs"]

Sink: TypeAlias = "Callable[[logging.LogRecord, Context, RunningCall | None], None]"
"""Takes each log record, with the context and the call that it belongs to. What it raises is logged and goes no
further."""


class LogSettings:
    """What `configure(logs=...)` turned on.

    Attributes:
        on: Whether records are correlated and go to the sinks.
        with_content: Whether the record of a call may carry arguments and results, where content is on.
        replaces_last_resort: Whether the sinks take the place of Python's last-resort handler, which prints the records
            of loggers without a handler.
        sinks: Where records go, beside the application's own handlers.
    """

    __slots__ = ("on", "replaces_last_resort", "sinks", "with_content")

    def __init__(self) -> None:
        self.on = False
        self.with_content = True
        self.replaces_last_resort = False
        self.sinks: tuple[Sink, ...] = ()

    def emit(self, record: logging.LogRecord, context: Context, running: RunningCall | None) -> None:
        """Give a record to every sink; never raises an `Exception`."""
        for sink in self.sinks:
            try:
                sink(record, context, running)
            except Exception:  # noqa: BLE001 - telemetry never fails a call
                log_failure("writing a log record")


logs: Final = LogSettings()
