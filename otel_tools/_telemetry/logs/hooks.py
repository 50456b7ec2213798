"""Wraps methods of the standard library: every log record goes to the sinks, and threads know the call they belong to.

`logging.Logger.callHandlers` is called once for each record that its logger lets through. A handler on the root logger
does not do: with it a later `logging.basicConfig` does nothing, `logging.config.dictConfig` removes it, and loggers
that do not propagate never reach it. A record factory does not do either: `logger.info(..., extra={"tool": ...})`
raises for an attribute that the factory sets.
"""

from __future__ import annotations

import functools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.logs.call_records import call_logger
from otel_tools._telemetry.logs.correlation import carried_context, correlate, current_call, set_thread_context
from otel_tools._telemetry.logs.settings import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from opentelemetry.context import Context

__all__ = ["install", "remove"]

_submitting: Final[ContextVar[bool]] = ContextVar("otel_tools-submitting", default=False)
"""Whether a pool is submitting work here. Its threads serve all callers, so each piece of work carries its context."""


class _Hook:
    """Wraps one method of the standard library.

    Args:
        owner: The class.
        name: The method.
        wrap: Called in place of the method, with the original method as its first argument.
    """

    def __init__(self, owner: type, name: str, wrap: Callable[..., Any]) -> None:
        self._owner = owner
        self._name = name
        self._wrap = wrap
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None

    def install(self) -> None:
        """Wrap the method, unless it is wrapped already."""
        if self._wrapper is not None:
            return
        original: Callable[..., Any] = getattr(self._owner, self._name)
        wrap = self._wrap

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return wrap(original, *args, **kwargs)

        setattr(self._owner, self._name, wrapper)
        self._original, self._wrapper = original, wrapper

    def remove(self) -> None:
        """Restore the method. A wrapper that somebody else has wrapped since stays and does nothing."""
        if self._wrapper is not None and vars(self._owner).get(self._name) is self._wrapper:
            setattr(self._owner, self._name, self._original)
            self._original = self._wrapper = None


def _call_handlers(original: Callable[..., None], logger: logging.Logger, record: logging.LogRecord) -> None:
    if logs.on and _is_handled(logger, record):
        return
    original(logger, record)


def _is_handled(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Give the record to the sinks; returns whether the original method must not run."""
    try:
        context, running = current_call()
        correlate(record, context, running)
        logs.emit(record, context, running)
        # Python's last-resort handler would print the record a second time, or print the records of calls unasked.
        return (logs.replaces_last_resort or logger is call_logger) and not logger.hasHandlers()
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("looking at a log record")
        return False


def _start(original: Callable[..., None], thread: threading.Thread) -> None:
    if logs.on and not _submitting.get():
        context = _context_of_call()
        if context is not None:
            set_thread_context(thread, context)
    original(thread)


def _submit(
    original: Callable[..., Future[Any]], pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Future[Any]:
    if not logs.on:
        return original(pool, fn, *args, **kwargs)
    token = _submitting.set(True)
    try:
        context = _context_of_call()
        work = fn if context is None else functools.partial(_run_in_context, context, fn)
        return original(pool, work, *args, **kwargs)
    finally:
        _submitting.reset(token)


def _run_in_context(context: Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = carried_context.set(context)
    try:
        return fn(*args, **kwargs)
    finally:
        carried_context.reset(token)


def _context_of_call() -> Context | None:
    try:
        context, running = current_call()
    except Exception:  # noqa: BLE001 - telemetry never fails a call
        log_failure("handing a call's context to a thread")
        return None
    return None if running is None else context


_HOOKS: Final = (
    _Hook(logging.Logger, "callHandlers", _call_handlers),
    _Hook(threading.Thread, "start", _start),
    _Hook(ThreadPoolExecutor, "submit", _submit),
)


def install() -> None:
    """Wrap the methods."""
    for hook in _HOOKS:
        hook.install()


def remove() -> None:
    """Restore the methods."""
    for hook in _HOOKS:
        hook.remove()
