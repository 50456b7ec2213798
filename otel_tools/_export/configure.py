"""`configure`, `flush` and `shutdown`: set up, flush and end the export of telemetry. Imports the SDK on demand."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TextIO

from otel_tools._call.forks import ForkHandlers
from otel_tools._call.safe_logging import log_safely
from otel_tools._export.endpoint import SIGNALS, sdk_disabled
from otel_tools._export.flushing import start_flush_of_others, wait_for_flush
from otel_tools._export.logs import start_logs, stop_logs
from otel_tools._export.process_hooks import (
    call_at_exit,
    call_before_exec,
    call_before_hard_exit,
    call_before_own_signal,
)
from otel_tools._export.settings import LogsMode, Redact, Settings, read_redaction, read_settings
from otel_tools._export.signal_handlers import call_on_signals
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import is_wait_seconds
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.counters import stats
from otel_tools._telemetry.deferred import report_pending
from otel_tools._urls import without_secrets
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_tools._export.pipeline import Pipeline

__all__ = ["configure", "flush", "shutdown"]

logger = logging.getLogger("otel_tools")

_EXIT_TIMEOUT: Final = 1.0
"""Seconds that the end of the process may wait for telemetry. With the interpreter's own end it stays below 2."""


class _ProcessState:
    """The configuration of this process, as `configure()` left it.

    Attributes:
        settings: The first configuration.
        arguments: Its arguments, as they were given.
        pipeline: What exports; None before `configure()`, after `shutdown()` and where it sets up nothing.
        ended: What exported until `shutdown()`.
        calls_at_end: How many calls were counted at the end.
        hooked: Whether forks and the end of the process are handled.
    """

    settings: Settings | None = None
    arguments: Mapping[str, Any] = MappingProxyType({})
    pipeline: Pipeline | None = None
    ended: Pipeline | None = None
    calls_at_end = 0
    hooked = False
    stopped = False


_process = _ProcessState()
_lock = threading.Lock()


@check_option_names
def configure(  # noqa: PLR0913 - every argument is optional, and each sets one thing
    *,
    service_name: str | None = None,
    service_version: str | None = None,
    environment: str | None = None,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    capture_content: bool | None = None,
    redact: Redact | None = None,
    exporter: str | None = None,
    file: str | os.PathLike[str] | None = None,
    sample_ratio: float | None = None,
    logs: LogsMode | None = None,
    log_stream: TextIO | None = None,
    openai: bool | None = None,
    handle_signals: bool | None = None,
) -> None:
    """Export traces and metrics by OTLP, by default to the sidecar over HTTP.

    The standard ``OTEL_*`` variables apply; an argument wins over them. A signal for which the application has set a
    provider is left to that provider. Where ``OTEL_CONFIG_FILE`` is set, all signals are. A second call changes
    ``capture_content`` and ``redact`` only.

    Args:
        service_name: ``service.name``; traces are found and alerts are grouped by it.
        service_version: ``service.version``.
        environment: ``deployment.environment.name``.
        endpoint: Base URL of the collector, such as ``http://127.0.0.1:4318``.
        headers: Request headers for the collector, in place of those that ``OTEL_EXPORTER_OTLP_HEADERS`` sets.
        capture_content: Whether spans carry arguments and results (redacted, at most 4 KiB each). Off by default;
            the variable is ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``.
        redact: Further text that must not leave the process: regular expressions, or a function that takes a text
            and returns the text to record. Applies to content, exception messages and stack traces.
        exporter: ``otlp`` (default), ``console``, ``file`` or ``none``.
        file: The file to which ``exporter="file"`` appends OTLP JSON lines.
        sample_ratio: Share of traces to keep, from 0 to 1. Metrics count every call.
        logs: ``json`` writes the records of the standard library's `logging`, and one record for the end of each
            call, as lines of JSON (extra ``logs``); ``otlp`` exports them as ``exporter`` says; ``both`` does both.
            Each record names the call in which it was logged. The application's handlers, formatters and levels do
            not change. Off by default.
        log_stream: The text stream for the lines of JSON; standard error by default.
        openai: Whether tool spans carry the model's call ids, and calls of the model are spans; see
            `otel_tools.instrument_openai`.
        handle_signals: Whether the end by a signal waits for telemetry, up to 2 s. SIGTERM and SIGHUP are handled where
            they have the default handler; a handler that is there stays. Telemetry is exported in a thread, beside the
            main thread: a function written in C that keeps the interpreter's lock delays that, and the end, until it
            returns. False: these signals end the process at once. True by default.

    Raises:
        ConfigurationError: An argument or variable cannot be used; the message names it and what it accepts. A variable
            is only refused for the signals that are set up here. Credentials are not in the message.
    """
    structure: dict[str, Any] = {
        "service_name": service_name,
        "service_version": service_version,
        "environment": environment,
        "endpoint": endpoint,
        "headers": dict(headers) if isinstance(headers, Mapping) else headers,
        "exporter": exporter,
        "file": file,
        "sample_ratio": sample_ratio,
        "logs": logs,
        "log_stream": log_stream,
    }
    _check_flags(capture_content=capture_content, openai=openai, handle_signals=handle_signals)
    redaction = read_redaction(redact)
    settings = read_settings(**structure)
    structure["handle_signals"] = handle_signals
    with _lock:
        if _process.settings is None:
            _process.pipeline = _set_up(settings, [name for name, value in structure.items() if value is not None])
            _process.settings, _process.arguments = settings, structure
            if _process.pipeline is not None:
                _hook_into_process(handle_signals=handle_signals is not False)
            if settings.logs is not None:
                start_logs(settings)
        elif _process.stopped:
            logger.warning("configure() after shutdown(): the providers of a process are set once, telemetry stays off")
        elif differing := [
            name for name, value in structure.items() if value is not None and value != _process.arguments[name]
        ]:
            logger.warning(
                "configure() was called before with other arguments; the first configuration stays: %s",
                ", ".join(_difference(name, _process.arguments[name], structure[name]) for name in differing),
            )
        if capture_content is not None:
            content.on = capture_content
        if redact is not None:
            content.redaction = redaction
    if openai:
        from otel_tools._model.call_ids.openai_client import instrument_openai  # noqa: PLC0415 - loads openai

        instrument_openai()


def _check_flags(**flags: object) -> None:
    for name, flag in flags.items():
        if flag is not None and not isinstance(flag, bool):
            raise ConfigurationError(f"configure({name}={flag!r}): True or False is needed")


def _check_seconds(function: str, timeout: object) -> None:
    if not is_wait_seconds(timeout):
        raise ConfigurationError(f"{function}(timeout={timeout!r}): seconds are needed, 0 or more")


@check_option_names
def flush(timeout: float = 5.0) -> bool:
    """Export all telemetry that waits, now, that of providers which the application has set as well.

    Where the process may be frozen between two pieces of work, as by AWS Lambda, call this at the end of each.

    Args:
        timeout: Maximum wait in seconds.

    Returns:
        Whether everything recorded before the call was delivered. A signal that the collector does not take, while it
        takes another one, does not count. True where nothing is set up. False after `shutdown()` if calls have come
        since, and in an ``atexit`` handler from Python 3.12 on: there `shutdown`, which is called automatically,
        exports it.

    Raises:
        ConfigurationError: The timeout is no number of seconds.
    """
    _check_seconds("flush", timeout)
    report_pending()
    pipeline = _process.pipeline
    deadline = time.monotonic() + timeout
    own = [each for set_up in (pipeline, _process.ended) if set_up is not None for each in set_up.providers]
    others = start_flush_of_others(timeout, own)
    delivered = _nothing_came_after_end() if pipeline is None else pipeline.flush(timeout)
    return wait_for_flush(others, deadline) and delivered


@check_option_names
def shutdown(timeout: float = _EXIT_TIMEOUT) -> bool:
    """Export all telemetry that waits, and stop. Called automatically when the process exits.

    Args:
        timeout: Maximum wait in seconds.

    Returns:
        Whether everything was delivered. True where nothing was set up.

    Raises:
        ConfigurationError: As `flush`.
    """
    _check_seconds("shutdown", timeout)
    pipeline = _process.pipeline
    if pipeline is None:
        stop_logs()
        return True
    report_pending()
    delivered = pipeline.stop(timeout)
    # Last, so that log lines about the end are still written.
    stop_logs()
    _process.pipeline, _process.ended, _process.calls_at_end = None, pipeline, _total_calls()
    _process.stopped = True
    return delivered


def _nothing_came_after_end() -> bool:
    ended = _process.ended
    return ended is None or (not ended.late and _total_calls() <= _process.calls_at_end)


def _total_calls() -> int:
    return sum(each.calls.total for each in stats().values())


def _difference(name: str, before: object, now: object) -> str:
    # Headers and the URL of an endpoint carry credentials.
    if name == "headers":
        return "headers= differs"
    if name == "endpoint":
        before, now = (value and without_secrets(str(value)) for value in (before, now))
    return f"{name}={now!r} is not used" + ("" if before is None else f", {name}={before!r} is")


def _set_up(settings: Settings, given: list[str]) -> Pipeline | None:
    """The installed pipeline; None where every signal is off or the application's.

    Args:
        settings: The checked configuration.
        given: The names of the arguments that were given.
    """
    if sdk_disabled():
        logger.info("OTEL_SDK_DISABLED is true: telemetry stays off")
        return None
    if os.environ.get("OTEL_CONFIG_FILE"):
        logger.warning("OTEL_CONFIG_FILE is set: configure() leaves the providers to it")
        return None
    wanted = {signal for signal, export in settings.signals.items() if export.exporters or export.problem}
    if not wanted:
        return None
    from otel_tools._export.pipeline import Pipeline, set_by_application  # noqa: PLC0415 - imports the SDK

    if foreign := wanted & set_by_application():
        unused = [f"{name}=" for name in given if name not in {"logs", "log_stream", "handle_signals"}]
        logger.warning(
            "the application has set its own provider for %s: configure() leaves it alone%s",
            " and ".join(sorted(foreign)),
            f"; not used there: {', '.join(unused)}" if unused else "",
        )
    own = [signal for signal in SIGNALS if signal in wanted - foreign]
    if not own:
        return None
    for warning in settings.check(own):
        logger.warning("%s", warning)
    try:
        pipeline = Pipeline(settings, set(own))
    except Exception as error:
        # The SDK's message does not always name the variable. Values are left out: headers carry credentials.
        variables = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_"))) or "none"
        raise ConfigurationError(
            f"configure(): the OpenTelemetry SDK cannot work with what it was given: {error} "
            f"(OTEL_* variables that are set: {variables})"
        ) from error
    pipeline.install()
    return pipeline


def _hook_into_process(*, handle_signals: bool) -> None:
    """Register what runs at a fork and at the end of the process, once."""
    if _process.hooked:
        return
    _process.hooked = True
    # A registration of its own, made now: the SDK's handlers, registered when it was imported, run first in the child.
    ForkHandlers().add(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
    if handle_signals:
        call_on_signals(shutdown)
        call_before_own_signal(_shut_down_if_used)
    call_at_exit(shutdown)
    call_before_hard_exit(_shut_down_if_used)
    call_before_exec(_flush_if_used)


def _shut_down_if_used() -> None:
    """A forked process that did nothing does not wait for the collector: there may be many of them."""
    if _process.pipeline is not None and _process.pipeline.has_news():
        shutdown()


def _flush_if_used() -> None:
    pipeline = _process.pipeline
    if pipeline is not None and pipeline.has_news() and not flush(_EXIT_TIMEOUT):
        message = "another program replaces this process before all telemetry is delivered"
        log_safely(logger, logging.WARNING, message)
        # `os.execvp` tries every folder of the path.
        pipeline.ignore_news()


def _before_fork() -> None:
    if _process.pipeline is not None:
        _process.pipeline.before_fork()


def _after_fork_in_parent() -> None:
    if _process.pipeline is not None:
        _process.pipeline.after_fork_in_parent()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a thread of the parent may hold the lock
    _lock = threading.Lock()
    _process.calls_at_end = 0
    if _process.pipeline is not None:
        _process.pipeline.after_fork()
