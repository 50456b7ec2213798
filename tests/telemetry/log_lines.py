"""Turns logs on for a test, without the rest of `configure()`."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otel_tools._export.logs import start_logs, stop_logs
from otel_tools._export.settings import read_settings
from otel_tools._telemetry.deferred import report_pending

if TYPE_CHECKING:
    from collections.abc import Iterator

Line = dict[str, Any]


class Lines(io.StringIO):
    """A stream that lines of JSON are written to."""

    @property
    def all(self) -> list[Line]:
        """Every line so far, parsed as strictly as JSON is defined."""
        report_pending()
        text = self.getvalue()
        assert text.isascii()
        assert text == "" or text.endswith("\n")
        return [json.loads(line, parse_constant=refuse) for line in text.split("\n")[:-1]]

    @property
    def application_lines(self) -> list[Line]:
        """The lines of the application's records, without those of ended calls."""
        return [line for line in self.all if line.get("event") != "tool.call"]

    @property
    def one(self) -> Line:
        """The one line of the application."""
        (line,) = self.application_lines
        return line

    @property
    def ends(self) -> list[Line]:
        """The lines of ended calls."""
        return [line for line in self.all if line.get("event") == "tool.call"]

    @property
    def end(self) -> Line:
        """The one line of an ended call."""
        (line,) = self.ends
        return line


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@contextmanager
def logs_on(logs: str = "json") -> Iterator[Lines]:
    """Logs are on in the block; its lines of JSON go to what is yielded."""
    lines = Lines()
    start_logs(
        read_settings(
            service_name=None,
            service_version=None,
            environment=None,
            endpoint=None,
            headers=None,
            exporter="otlp",
            file=None,
            sample_ratio=None,
            logs=logs,
            log_stream=None if logs == "otlp" else lines,
        )
    )
    try:
        yield lines
    finally:
        stop_logs()
