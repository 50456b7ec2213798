"""Where records of every logger are met, and how threads that a tool starts know whose they are.

`logging.Logger.callHandlers` is called once for each record that its logger lets through. A handler on the root logger
would not do: it keeps a later `logging.basicConfig` from doing anything, `logging.config.dictConfig` removes it, and
loggers that do not propagate never reach it. A record factory would not do either: for an attribute that it
sets, `logger.info(..., extra={"tool": ...})` raises.
"""

from __future__ import annotations

import functools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from otel_tools._telemetry.guard import log_failure
from otel_tools._telemetry.logs.call_records import (
    calls,
    carried_context,
    correlate,
    current_call,
    logs,
    set_thread_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from opentelemetry.context import Context

__all__ = ["install", "remove"]

_submitting: Final[ContextVar[bool]] = ContextVar("otel_tools-submitting", default=False)
"""A thread that a pool starts works for whoever comes: each piece of work carries its own context."""


class _Hook:
    """One method of the standard library with ours around it.

    Args:
        owner: The class.
        name: The method.
        around: Ours; its first argument is the method as it was.
    """

    def __init__(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        self._owner = owner
        self._name = name
        self._around = around
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None

    def install(self) -> None:
        """Put ours around it, unless it is there."""
        if self._wrapper is not None:
            return
        original: Callable[..., Any] = getattr(self._owner, self._name)
        around = self._around

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return around(original, *args, **kwargs)

        setattr(self._owner, self._name, wrapper)
        self._original, self._wrapper = original, wrapper

    def remove(self) -> None:
        """Put back what was there. Where somebody else has wrapped ours since, it stays inside and does nothing."""
        if self._wrapper is not None and vars(self._owner).get(self._name) is self._wrapper:
            setattr(self._owner, self._name, self._original)
            self._original = self._wrapper = None


def _call_handlers(original: Callable[..., None], logger: logging.Logger, record: logging.LogRecord) -> None:
    if logs.on and _is_told(logger, record):
        return
    original(logger, record)


def _is_told(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Tell our sinks; whether that was all that is to be done."""
    try:
        context, running = current_call()
        correlate(record, context, running)
        logs.tell(record, context, running)
        # Python's last resort would print it a second time, as text; or the end of a call, unasked.
        return (logs.instead or logger is calls) and not logger.hasHandlers()
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
        return original(pool, fn if context is None else functools.partial(_carry, context, fn), *args, **kwargs)
    finally:
        _submitting.reset(token)


def _carry(context: Context, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
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
    """Meet every record from now on."""
    for hook in _HOOKS:
        hook.install()


def remove() -> None:
    """Leave the standard library as it was."""
    for hook in _HOOKS:
        hook.remove()
