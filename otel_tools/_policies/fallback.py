"""The fallback policy: serves the value of another function where the tool failed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_tools._call.error_types import error_type_of
from otel_tools._call.outcome import Outcome
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.steps import Invoke
from otel_tools._policies.failed_result import error_of, names_failed_results
from otel_tools.errors import ConfigurationError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call
    from otel_tools._call.steps import Flow, Next, Policy

__all__ = ["FallbackOn", "fallback"]

logger = logging.getLogger("otel_tools.policies.fallback")

FallbackOn: TypeAlias = (
    "type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object] | None"
)
"""The errors that are replaced: those of these types, or for which a predicate is true; None is all."""

_MAX_NOTE_LENGTH: Final = 1000


def fallback(function: Callable[..., Any], on: FallbackOn, info: ToolInfo) -> Policy:
    """Call another function with the same arguments where a call failed, and serve what it returns.

    The function may be a tool with a fallback of its own. If it fails too, the caller gets the tool's own error, with
    a note about the other error.

    Args:
        function: Takes what the tool takes, by the same names; for a method with or without its first parameter.
            A coroutine function only where the tool is one.
        on: Which errors are replaced. Without it also results that count as failures (``failed_if``,
            ``ToolResult.failure``), and with `FailedResult` or `ToolError` among its classes.
        info: The tool.

    Raises:
        ConfigurationError: It cannot be called in the tool's place, or ``on`` says nothing about errors.
    """
    invoke_fallback = Invoke(_adapted(function, info))
    replaces = _condition(on, info.tool)

    def policy(inner: Next) -> Next:
        def flow(call: Call) -> Flow:
            outcome = yield from inner(call)
            if outcome.result != "error" or not replaces(outcome):
                return outcome
            other: Outcome = yield invoke_fallback
            if other.error is None:
                call.recovered(outcome)
                # A fallback may return a `ToolResult.failure`, to tell the model of the failure in its own words.
                return Outcome(other.value, None, "fallback") if other.result == "ok" else other
            if outcome.error is not None and outcome.error is not other.error:
                # Either may be of a class whose methods raise.
                with contextlib.suppress(Exception):
                    _add_note(outcome.error, other.error, function)
            return outcome

        return flow

    return policy


def _condition(on: FallbackOn, tool: str) -> Callable[[Outcome], bool]:
    if on is None:
        return lambda _outcome: True
    types: tuple[Any, ...] = on if isinstance(on, tuple) else (on,)
    if types and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
        for kind in types:
            if not issubclass(kind, Exception) or issubclass(kind, InvalidArguments):
                raise ConfigurationError(
                    f"tool {tool!r}: fallback_on={kind.__name__}: such a call is never given a fallback; "
                    "errors of the tool are needed"
                )
        on_results = names_failed_results(types)
        return lambda outcome: isinstance(error_of(outcome, tool) if on_results else outcome.error, types)
    if isinstance(on, (type, tuple)) or not callable(on) or _is_coroutine_function(on):
        raise ConfigurationError(
            f"tool {tool!r}: fallback_on={on!r}: an exception type, a tuple of them or a plain function of the error "
            "is needed"
        )

    def predicate(outcome: Outcome) -> bool:
        error = outcome.error
        if error is None:
            return False
        try:
            return bool(on(error))
        except Exception:  # noqa: BLE001 - the user's own code; logged, and the call goes on
            log_safely(
                logger, logging.ERROR, "fallback_on of tool %r raised; the error is not replaced", tool, exc_info=True
            )
            return False

    return predicate


def _add_note(error: BaseException, other: BaseException, function: Callable[..., Any]) -> None:
    note = f"fallback {_name_of(function)} failed too: {error_type_of(other)}: {other}"[:_MAX_NOTE_LENGTH]
    # The tool may raise one and the same object for ever.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _adapted(function: Callable[..., Any], info: ToolInfo) -> Callable[..., Any]:
    """The fallback as a function that can be called with the tool's arguments."""
    if not callable(function):
        raise ConfigurationError(
            f"tool {info.tool!r}: fallback={function!r}: a function with the tool's parameters is needed"
        )
    if not info.asynchronous and _is_coroutine_function(function):
        raise ConfigurationError(
            f"tool {info.tool!r}: fallback {_name_of(function)} is async, the tool is not: a plain function is needed"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"tool {info.tool!r}: fallback {_name_of(function)} is a generator; one value is to be served"
        )
    tool, own = _signature_of(info.function), _signature_of(function)
    if tool is not None and isinstance(info.function, functools.partial):
        # A parameter that the partial binds by name is not given by callers.
        unbound = [each for each in tool.parameters.values() if each.name not in info.function.keywords]
        tool = tool.replace(parameters=unbound)
    # Some builtins have no signature.
    if tool is None or own is None or _accepts(own, tool, info.arguments.receiver):
        return function
    if info.arguments.receiver is not None and _accepts(own, _without_first(tool), None):

        def without_receiver(_receiver: Any, /, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return without_receiver
    raise ConfigurationError(
        f"tool {info.tool!r}: fallback {_name_of(function)}{own} must accept what the tool does, by the same names: "
        f"{_name_of(info.function)}{tool}"
    )


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _without_first(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _accepts(own: inspect.Signature, tool: inspect.Signature, receiver: str | None) -> bool:
    """Whether a function with its own signature can be called as the tool can, each argument meaning the same."""
    for args, kwargs in _calls_of(tool, receiver):
        try:
            bound = own.bind(*args, **kwargs).arguments
        except TypeError:
            return False
        for name, value in bound.items():
            # A parameter that the tool also takes by name must have the same name here.
            if isinstance(value, inspect.Parameter) and value.name != name and _has_name(value):
                return False
    return True


def _calls_of(
    tool: inspect.Signature, receiver: str | None
) -> Iterator[tuple[list[inspect.Parameter], dict[str, inspect.Parameter]]]:
    """Calls that the tool accepts. In place of parameter argument stands its parameter.

    These are all ways to pass the first few by position and the rest by name, with all parameters and with the required
    ones alone.
    """
    parameters = tool.parameters.values()
    named = [
        parameter for parameter in parameters if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    others = [parameter for parameter in parameters if parameter.kind is parameter.VAR_POSITIONAL]
    more = {
        f"other_than_{parameter.name}": parameter for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD
    }
    for given in (named, [parameter for parameter in named if parameter.default is parameter.empty]):
        positional = [parameter for parameter in given if parameter.kind is not parameter.KEYWORD_ONLY]
        fewest = max(sum(parameter.kind is parameter.POSITIONAL_ONLY for parameter in given), int(receiver is not None))
        for count in range(fewest, len(positional) + 1):
            full = given is named and count == len(positional)
            kwargs = {parameter.name: parameter for parameter in given if parameter.kind is parameter.KEYWORD_ONLY}
            kwargs |= {parameter.name: parameter for parameter in positional[count:]}
            yield positional[:count] + others * full, kwargs | more


def _has_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name_of(function: Callable[..., Any]) -> str:
    # The arguments of a partial may be secrets.
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
