"""The tools of a `ToolSet` by name, and the binding of a model's arguments to their parameters."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from otel_tools._arguments.annotations import partial_keywords
from otel_tools._arguments.validation_errors import MAX_LISTED, bullet_list, unknown_argument
from otel_tools._call.binding import Arguments
from otel_tools._call.threads import ThreadBudget
from otel_tools._tool.decorator import is_tool, tool
from otel_tools._tool.tool import Tool
from otel_tools.errors import ConfigurationError, FieldError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RegisteredTool", "register_tools"]


class RegisteredTool:
    """One tool of a set.

    Attributes:
        function: The decorated function, which is called.
        original: The function as it was passed to the `ToolSet`, perhaps not decorated.
        tool: The `Tool` of the function.
        asynchronous: Whether it is a coroutine function or an async generator function.
        is_direct: Whether the function is the tool's own, and what it returns so the result of the tool's call.
            Otherwise it is another function around the tool's.
        thread_budget: The threads of the tool, where it is sync. Each tool has its own, so that one that hangs does
            not use up the threads of the others.
    """

    __slots__ = ("__dict__", "asynchronous", "function", "is_direct", "original", "thread_budget", "tool")

    def __init__(self, function: Callable[..., Any], original: Callable[..., Any]) -> None:
        self.function = function
        self.original = original
        self.tool: Tool = function.tool  # type: ignore[attr-defined] # _register has made sure of it
        self.is_direct = is_tool(function.__func__ if isinstance(function, types.MethodType) else function)
        self.thread_budget = ThreadBudget()
        self.asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)

    @functools.cached_property
    def arguments(self) -> Arguments:
        """Binds arguments to the parameters of the function."""
        return Arguments(self.function)

    @functools.cached_property
    def _validates_itself(self) -> bool:
        return bool(self.tool.options.validate) or getattr(self.tool.options, "args", None) is not None

    @functools.cached_property
    def _receivers(self) -> tuple[Any, ...]:
        """The object of a bound method."""
        return (self.function.__self__,) if isinstance(self.function, types.MethodType) else ()

    @functools.cached_property
    def _is_validated_here(self) -> bool:
        """Whether pydantic can check the arguments by the signature, and ``validate`` does not say otherwise."""
        if self.tool.options.validate is not None:
            return False
        try:
            self.tool.info.argument_validator.get()
        except ConfigurationError:
            return False
        return True

    @functools.cached_property
    def _partial_keywords(self) -> frozenset[str]:
        """The parameters that a partial has filled, which a model must not change."""
        return frozenset(partial_keywords(self.tool.function))

    @functools.cached_property
    def _positional_parameters(self) -> tuple[list[inspect.Parameter], list[inspect.Parameter], str | None]:
        """The positional-only parameters; all that may be given by position; and the name of ``*values``."""
        parameters = list(self.arguments.signature.parameters.values())
        only = [item for item in parameters if item.kind is item.POSITIONAL_ONLY]
        allowed = [item for item in parameters if item.kind in {item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD}]
        rest = next((item.name for item in parameters if item.kind is item.VAR_POSITIONAL), None)
        # Of (*args, **kwargs), **kwargs takes any name, also "args".
        return only, allowed, None if any(item.kind is item.VAR_KEYWORD for item in parameters) else rest

    def bind_arguments(self, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Bind a model's arguments by name to the parameters: the positional and the keyword arguments of the call.

        A tool with ``validate=`` or ``args=`` validates them itself. The arguments of other tools are validated here,
        because a model sends JSON, and the schema promised the types of the signature. With ``validate=False``, or
        where pydantic cannot check the signature, only missing and unknown names are found. So a `TypeError` that the
        call then raises is the tool's own.

        Raises:
            InvalidArguments: The arguments do not fit the parameters.
        """
        if self._validates_itself:
            return (), arguments
        if self._is_validated_here:
            args, kwargs = self.tool.accepted(self._receivers, arguments)
            return args[len(self._receivers) :], kwargs
        args, kwargs = self._split_positional(arguments)
        try:
            self.arguments.bind(*args, **kwargs)
        except TypeError:
            raise self._mismatch(arguments) from None
        if not self._partial_keywords.isdisjoint(arguments):
            raise self._mismatch(arguments)
        return args, kwargs

    def _split_positional(self, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split the arguments into those that must be given by position, and the others."""
        only, allowed, rest = self._positional_parameters
        if not only and rest is None:
            return (), arguments
        kwargs = dict(arguments)
        surplus = [] if rest is None else kwargs.pop(rest, [])
        if not isinstance(surplus, list):
            raise self._refusal([FieldError(rest or "", "is no array")])
        args: list[Any] = []
        for parameter in allowed if surplus else only:
            if parameter.name not in kwargs and parameter.default is parameter.empty:
                # The binding that follows finds what is missing.
                return tuple(args), kwargs
            args.append(kwargs.pop(parameter.name, parameter.default))
        return (*args, *surplus), kwargs

    def _mismatch(self, arguments: dict[str, Any]) -> InvalidArguments:
        parameters = {
            name: item
            for name, item in self.arguments.signature.parameters.items()
            if item.kind is not item.VAR_KEYWORD and name not in self._partial_keywords
        }
        open_ended = any(item.kind is item.VAR_KEYWORD for item in self.arguments.signature.parameters.values())
        errors = [
            FieldError(name, "is required")
            for name, item in parameters.items()
            if item.default is item.empty and item.kind is not item.VAR_POSITIONAL and name not in arguments
        ]
        errors += [
            unknown_argument(name, parameters)
            for name in arguments
            if name in self._partial_keywords or (name not in parameters and not open_ended)
        ]
        return self._refusal(errors or [FieldError("(arguments)", "do not fit")])

    def _refusal(self, errors: list[FieldError]) -> InvalidArguments:
        message = f"The arguments of {self.tool.name} were refused:\n{bullet_list(errors)}"
        return InvalidArguments(message, tool=self.tool.name, errors=tuple(errors[:MAX_LISTED]))


def register_tools(tools: Any) -> dict[str, RegisteredTool]:
    """The tools by name. Functions that are not decorated are decorated here.

    Raises:
        ConfigurationError: An item is not a function, or two tools have the same name.
    """
    if isinstance(tools, Mapping):
        return {name: _register(item, name) for name, item in tools.items()}
    if isinstance(tools, (str, bytes)) or not isinstance(tools, Iterable):
        raise ConfigurationError(
            f"ToolSet({tools!r}): a list of functions is needed, or a dictionary of functions by name"
        )
    found: dict[str, RegisteredTool] = {}
    for item in tools:
        entry = _register(item, None)
        name = entry.tool.name
        if name in found:
            raise ConfigurationError(
                f"ToolSet: two tools are called {name!r}, {found[name].function!r} and {entry.function!r}: the model "
                "could not tell them apart; give one another name with @tool(name=...), or pass a dictionary"
            )
        found[name] = entry
    return found


def _register(function: Any, name: str | None) -> RegisteredTool:
    if isinstance(function, (classmethod, staticmethod, type)) or not callable(function):
        raise ConfigurationError(
            f"ToolSet: {f'{name!r}: ' if name is not None else ''}{function!r} is no function that can be called"
        )
    original = function
    known = getattr(function, "tool", None)
    # A bound method of a decorated function, or a wrapper around one, is a tool as it is.
    if not isinstance(known, Tool):
        function = tool(function) if name is None else tool(function, name=name)
    elif name is not None and name != known.name:
        function = tool(function, name=name)
    entry = RegisteredTool(function, original)
    if is_tool(function) and entry.tool.info.arguments.receiver is not None:
        raise ConfigurationError(
            f"ToolSet: {entry.tool.name!r} is a method without its object; pass that of an object: "
            f"thing.{entry.tool.name}"
        )
    return entry
