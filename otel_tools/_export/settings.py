"""The checked arguments of `configure()` and the ``OTEL_*`` variables. Does not import the SDK."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, get_args

from otel_tools._export.otlp_options import check_headers
from otel_tools._export.private_file import open_private
from otel_tools._export.signals import EXPORTERS, ExporterName, SignalExport, check_base_url, read_signals
from otel_tools._telemetry.content.redaction import Redaction
from otel_tools._telemetry.exceptions import exception_signals
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    import os

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["LogsMode", "Redact", "Settings", "read_redaction", "read_settings"]

LogsMode = Literal["json", "otlp", "both"]
Redact = Callable[[str], str] | Sequence[str | re.Pattern[str]]

LOGS_MODES: Final[tuple[str, ...]] = get_args(LogsMode)


@dataclass(frozen=True, slots=True)
class Settings:
    """One checked configuration.

    Attributes:
        resource: Resource attributes given in code. The SDK reads those of the environment.
        signals: How each signal is exported.
        file: The file of the file exporter.
        sample_ratio: Share of traces to keep, given in code; None where the environment sets the sampler.
        logs: How the records of `logging` are written; None where they are not touched.
        log_stream: The stream for lines of JSON; None is standard error.
    """

    resource: tuple[tuple[str, str], ...]
    signals: Mapping[TelemetrySignal, SignalExport]
    file: Path | None
    sample_ratio: float | None
    logs: LogsMode | None = None
    log_stream: TextIO | None = None

    def check(self, signals: Iterable[TelemetrySignal]) -> list[str]:
        """Check what the variables say on some signals, those that are not the application's.

        Returns:
            What is ignored or probably not meant, for one log line each.

        Raises:
            ConfigurationError: A variable cannot be used; the message names it and what it accepts.
        """
        exports = [self.signals[signal] for signal in signals]
        for export in exports:
            if export.problem:
                raise ConfigurationError(export.problem)
        return list(dict.fromkeys(text for export in exports for text in export.warnings))


def read_settings(  # noqa: PLR0913 - the arguments of configure()
    *,
    service_name: str | None,
    service_version: str | None,
    environment: str | None,
    endpoint: str | None,
    headers: Mapping[str, str] | None,
    exporter: str | None,
    file: str | os.PathLike[str] | None,
    sample_ratio: float | None,
    logs: str | None = None,
    log_stream: TextIO | None = None,
) -> Settings:
    """Check the arguments of `configure()` and complete them from the environment.

    What the variables say is checked by `Settings.check`, for the signals that they are used for.

    Raises:
        ConfigurationError: An argument cannot be used; the message names it and what it accepts.
    """
    resource = {
        "service.name": _text("service_name", service_name),
        "service.version": _text("service_version", service_version),
        "deployment.environment.name": _text("environment", environment),
    }
    logs_mode = _logs(logs, log_stream)
    check_base_url(endpoint)
    signals = read_signals(
        endpoint=endpoint,
        headers=None if headers is None else check_headers("configure(headers=...)", headers),
        exporter=_exporter(exporter, file),
        logs=logs_mode in {"otlp", "both"} or exception_signals()[1],
    )
    return Settings(
        resource=tuple((key, value) for key, value in resource.items() if value is not None),
        signals=signals,
        sample_ratio=_ratio(sample_ratio),
        logs=logs_mode,
        log_stream=log_stream,
        # Last: it creates the file.
        file=_file(file, used=exporter == "file"),
    )


def read_redaction(redact: Redact | None) -> Redaction:
    """The redaction that `configure(redact=...)` asks for, by patterns or by a function.

    Raises:
        ConfigurationError: The argument is neither, or a pattern does not compile.
    """
    if redact is None:
        return Redaction()
    if callable(redact):
        return Redaction(callback=redact)
    if isinstance(redact, str) or not isinstance(redact, Sequence):
        raise ConfigurationError(
            f"configure(redact={redact!r}): a list of regular expressions is needed, or a function of a text"
        )
    try:
        return Redaction(patterns=redact)
    except (re.error, TypeError) as error:
        raise ConfigurationError(f"configure(redact={redact!r}): not a regular expression: {error}") from error


def _text(argument: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"configure({argument}={value!r}): a text that is not empty is needed")
    return value


def _logs(logs: Any, stream: Any) -> LogsMode | None:
    if logs is not None and logs not in LOGS_MODES:
        raise ConfigurationError(f"configure(logs={logs!r}): accepted are {', '.join(map(repr, LOGS_MODES))} and None")
    if stream is not None and logs not in {"json", "both"}:
        raise ConfigurationError(f"configure(log_stream=...) goes with logs='json' or 'both', not with {logs!r}")
    if stream is not None and not (
        callable(getattr(stream, "write", None)) and callable(getattr(stream, "flush", None))
    ):
        raise ConfigurationError(f"configure(log_stream={stream!r}): a text stream is needed, such as sys.stdout")
    if logs in {"json", "both"} and find_spec("pythonjsonlogger") is None:
        raise ConfigurationError(f"configure(logs={logs!r}) needs python-json-logger: pip install 'otel_tools[logs]'")
    return logs  # type: ignore[no-any-return] # it is one of LOGS_MODES


def _exporter(exporter: Any, file: object) -> ExporterName | None:
    if exporter is not None and exporter not in EXPORTERS:
        raise ConfigurationError(f"configure(exporter={exporter!r}): accepted are {', '.join(map(repr, EXPORTERS))}")
    if exporter == "file" and file is None:
        raise ConfigurationError("configure(exporter='file') needs file='PATH', the file to append OTLP JSON lines to")
    if exporter != "file" and file is not None:
        raise ConfigurationError(f"configure(file={file!r}) goes with exporter='file', not with {exporter!r}")
    return exporter  # type: ignore[no-any-return] # it is one of EXPORTERS


def _file(file: Any, *, used: bool) -> Path | None:
    if not used:
        return None
    try:
        path = Path(file).expanduser().absolute()
        with open(path, "ab", opener=open_private):
            pass
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"configure(file={file!r}): cannot be appended to: {error}") from error
    return path


def _ratio(ratio: Any) -> float | None:
    if ratio is None:
        return None
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise ConfigurationError(f"configure(sample_ratio={ratio!r}): a number from 0 to 1 is needed")
    return float(ratio)
