"""`configure`, `flush` and `shutdown`: how telemetry leaves the process. The SDK is imported when it is needed."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final, TextIO

from otel_tools._call.forks import ForkHandlers
from otel_tools._export.endpoint import sdk_disabled
from otel_tools._export.logs import start_logs, stop_logs
from otel_tools._export.settings import SIGNALS, Logs, Redact, Settings, read_settings, redaction_of
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.deferred import report_pending
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_tools._export.pipeline import Pipeline

__all__ = ["configure", "flush", "shutdown"]

logger = logging.getLogger("otel_tools")

_EXIT_TIMEOUT: Final = 1.0
"""Seconds that the end of the process may wait for telemetry; with the interpreter's own end it stays below 2."""

_SIGTERM_TIMEOUT: Final = 2.0
"""Seconds until a process that was sent SIGTERM is ended by it, whatever it hangs in."""


class _State:
    """What `configure()` did in this process."""

    settings: Settings | None = None
    pipeline: Pipeline | None = None
    hooked = False
    stopped = False


_state = _State()
_lock = threading.Lock()


def configure(  # noqa: PLR0913 - every argument is optional, and each is one thing a user may want to say
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
    logs: Logs | None = None,
    log_stream: TextIO | None = None,
    openai: bool | None = None,
) -> None:
    """Send traces and metrics to the sidecar, by OTLP over HTTP unless told otherwise.

    The standard ``OTEL_*`` variables are honoured, and an argument wins over them. A signal for which the
    application has set a provider of its own is left to that provider, as all are where ``OTEL_CONFIG_FILE`` is set.
    Calling it again changes nothing but ``capture_content`` and ``redact``.

    Args:
        service_name: ``service.name``, under which the traces are found and the alerts are grouped.
        service_version: ``service.version``.
        environment: ``deployment.environment.name``.
        endpoint: Base URL of the collector, such as ``http://127.0.0.1:4318``.
        headers: Request headers for the collector.
        capture_content: Whether spans carry arguments and results (redacted, at most 4 KiB each). Off by default;
            ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is the variable for it.
        redact: More that must not leave the process: regular expressions, or a function of a text that returns the
            text to record. Applies to content, exception messages and stack traces.
        exporter: ``otlp`` (default), ``console``, ``file`` or ``none``.
        file: With ``exporter="file"``: where OTLP JSON lines are appended.
        sample_ratio: Share of traces to keep, from 0 to 1; metrics count all calls whatever is kept.
        logs: ``json`` writes the records of the standard library's `logging`, and one for the end of each call, as
            lines of JSON (extra ``logs``); ``otlp`` sends them where ``exporter`` says; ``both`` does both. The
            records name the call that they were made under. Handlers, formatters and levels of the application's
            own stay as they are. Off by default.
        log_stream: Where the lines of JSON go; standard error by default.
        openai: Whether the spans of tools carry the ids that the model gave their calls, and the model's calls are
            spans; see `otel_tools.instrument_openai`.

    Raises:
        ConfigurationError: An argument or variable cannot work; the message names it and what it accepts.
    """
    structure: dict[str, Any] = {
        "service_name": service_name,
        "service_version": service_version,
        "environment": environment,
        "endpoint": endpoint,
        "headers": headers,
        "exporter": exporter,
        "file": file,
        "sample_ratio": sample_ratio,
        "logs": logs,
        "log_stream": log_stream,
    }
    _check_flags(capture_content=capture_content, openai=openai)
    redaction = redaction_of(redact)
    settings = read_settings(**structure)
    with _lock:
        if _state.settings is None:
            _state.pipeline = _set_up(settings)
            _state.settings = settings
            if _state.pipeline is not None:
                _hook_into_process()
            if settings.logs is not None:
                start_logs(settings)
        elif _state.stopped:
            logger.warning("configure() after shutdown(): the providers of a process are set once, telemetry stays off")
        elif any(value is not None for value in structure.values()) and _state.settings != settings:
            logger.warning("configure() was called before with other arguments; the first configuration stays")
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


def flush(timeout: float = 5.0) -> bool:
    """Send what is waiting now.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether everything that was counted by then left. True where `configure()` has set up nothing. False in an
        ``atexit`` handler from Python 3.12 on: what waits is sent by `shutdown`, which runs by itself.
    """
    report_pending()
    pipeline = _state.pipeline
    return pipeline is None or pipeline.flush(timeout)


def shutdown(timeout: float = _EXIT_TIMEOUT) -> bool:
    """Send what is waiting and stop. Called by itself when the process exits.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether everything left. True where there was nothing to stop.
    """
    pipeline = _state.pipeline
    if pipeline is None:
        stop_logs()
        return True
    report_pending()
    everything_left = pipeline.stop(timeout)
    # After what stopping has to say.
    stop_logs()
    _state.pipeline, _state.stopped = None, True
    return everything_left


def _set_up(settings: Settings) -> Pipeline | None:
    if sdk_disabled():
        logger.info("OTEL_SDK_DISABLED is true: telemetry stays off")
        return None
    if os.environ.get("OTEL_CONFIG_FILE"):
        logger.warning("OTEL_CONFIG_FILE is set: configure() leaves the providers to it")
        return None
    wanted = {each for each in SIGNALS if settings.exporter(each) != "none"}
    if not wanted:
        return None
    from otel_tools._export.pipeline import Pipeline, set_by_application  # noqa: PLC0415 - imports the SDK

    if theirs := wanted & set_by_application():
        logger.warning(
            "the application has set its own provider for %s: configure() leaves it alone",
            " and ".join(sorted(theirs)),
        )
    if not wanted - theirs:
        return None
    try:
        pipeline = Pipeline(settings, wanted - theirs)
    except Exception as error:
        # The SDK's words do not always name the variable. The values stay out of it: headers carry credentials.
        variables = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_"))) or "none"
        raise ConfigurationError(
            f"configure(): the OpenTelemetry SDK cannot work with what it was given: {error} "
            f"(OTEL_* variables that are set: {variables})"
        ) from error
    pipeline.install()
    return pipeline


def _hook_into_process() -> None:
    """Be there when the process exits, is told to exit, or forks."""
    if _state.hooked:
        return
    _state.hooked = True
    atexit.register(shutdown)
    # A registration of its own, made now: the SDK's handlers, registered when it was imported, run first in the child.
    ForkHandlers().add(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
    _flush_at_end_of_multiprocessing()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _frame: Any) -> None:
    """Flush in a thread and then let the signal do what it does by default; a second one does so at once.

    Not here: the main thread may be interrupted inside a lock that flushing needs.
    """
    signal.signal(number, signal.SIG_DFL)

    def flush_and_die() -> None:
        # What the application added to our providers may take longer to end than a process that was told to.
        flushing = threading.Thread(target=shutdown, name="otel-tools-flush", daemon=True)
        with contextlib.suppress(RuntimeError):
            flushing.start()
            flushing.join(_SIGTERM_TIMEOUT)
        os.kill(os.getpid(), number)

    try:
        threading.Thread(target=flush_and_die, name="otel-tools-sigterm", daemon=True).start()
    except RuntimeError:
        # From Python 3.12 on none can be started while the interpreter exits, which is what it was told to do.
        if threading.main_thread().is_alive():
            os.kill(os.getpid(), number)


def _before_fork() -> None:
    if _state.pipeline is not None:
        _state.pipeline.before_fork()


def _after_fork_in_parent() -> None:
    if _state.pipeline is not None:
        _state.pipeline.after_fork_in_parent()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - the lock may be held by a thread that is not in the child
    _lock = threading.Lock()
    if _state.pipeline is not None:
        _state.pipeline.after_fork()


def _flush_at_end_of_multiprocessing() -> None:
    """A child process of `multiprocessing` ends without running what `atexit` knows, but runs its finalizers."""
    from multiprocessing import util  # noqa: PLC0415 - only a configured process needs it

    def finalize_here(_: object = None) -> None:
        util.Finalize(None, shutdown, exitpriority=0)

    finalize_here()
    # A forked child forgets the finalizers of its parent before it runs these.
    util.register_after_fork(_state, finalize_here)
