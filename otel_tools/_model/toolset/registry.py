"""The tools that a model may call, by name, and how its arguments reach each."""

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

__all__ = ["Registered", "registered"]


class Registered:
    """One tool of a set.

    Attributes:
        function: What is called.
        given: What was registered, which may not have been decorated.
        tool: What the decorator knows of it.
        asynchronous: It is a coroutine function or an async generator.
        thread_budget: The threads that run it, where it is sync: a tool that hangs does not use up those of the others.
    """

    __slots__ = ("__dict__", "asynchronous", "function", "given", "thread_budget", "tool")

    def __init__(self, function: Callable[..., Any], given: Callable[..., Any]) -> None:
        self.function = function
        self.given = given
        self.tool: Tool = function.tool  # type: ignore[attr-defined] # whoever registers it has looked
        self.thread_budget = ThreadBudget()
        self.asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)

    @functools.cached_property
    def arguments(self) -> Arguments:
        """How the arguments of the function are named."""
        return Arguments(self.function)

    @functools.cached_property
    def _validates(self) -> bool:
        return bool(self.tool.options.validate) or getattr(self.tool.options, "args", None) is not None

    @functools.cached_property
    def _receivers(self) -> tuple[Any, ...]:
        """The object of a bound method."""
        return (self.function.__self__,) if isinstance(self.function, types.MethodType) else ()

    @functools.cached_property
    def _is_checked(self) -> bool:
        """Whether pydantic can check the arguments by the signature, and nobody has said that it should not."""
        if self.tool.options.validate is not None:
            return False
        try:
            self.tool.info.argument_validator.get()
        except ConfigurationError:
            return False
        return True

    @functools.cached_property
    def _filled(self) -> frozenset[str]:
        """What a partial has filled is not the model's to change."""
        return frozenset(partial_keywords(self.tool.function))

    @functools.cached_property
    def _by_position(self) -> tuple[list[inspect.Parameter], list[inspect.Parameter], str | None]:
        """The parameters that go by position alone; all that may; and the name of ``*values``."""
        parameters = list(self.arguments.signature.parameters.values())
        only = [each for each in parameters if each.kind is each.POSITIONAL_ONLY]
        may = [each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
        rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), None)
        # Of (*args, **kwargs) any name is for **kwargs.
        return only, may, None if any(each.kind is each.VAR_KEYWORD for each in parameters) else rest

    def bound(self, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the call that a model's arguments by name come to.

        A tool with ``validate=`` or ``args=`` looks at them itself. For others this is done here, for what a model
        sends is JSON, and its schema promised the types of the signature; unless ``validate=False`` says otherwise, or
        pydantic cannot check them. Then a missing or unknown name is found all the same, so that a `TypeError` of the
        tool's own is not taken for one.

        Raises:
            InvalidArguments: They do not fit the parameters.
        """
        if self._validates:
            return (), given
        if self._is_checked:
            args, kwargs = self.tool.validate(self._receivers, given)
            return args[len(self._receivers) :], kwargs
        args, kwargs = self._placed(given)
        try:
            self.arguments.bind(*args, **kwargs)
        except TypeError:
            raise self._misfit(given) from None
        if not self._filled.isdisjoint(given):
            raise self._misfit(given)
        return args, kwargs

    def _placed(self, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position, for parameters that cannot be given by name, and the others."""
        only, may, rest = self._by_position
        if not only and rest is None:
            return (), given
        kwargs = dict(given)
        further = [] if rest is None else kwargs.pop(rest, [])
        if not isinstance(further, list):
            raise self._refusal([FieldError(rest or "", "is no array")])
        args: list[Any] = []
        for parameter in may if further else only:
            if parameter.name not in kwargs and parameter.default is parameter.empty:
                # The function itself says what is missing.
                return tuple(args), kwargs
            args.append(kwargs.pop(parameter.name, parameter.default))
        return (*args, *further), kwargs

    def _misfit(self, given: dict[str, Any]) -> InvalidArguments:
        parameters = {
            name: each
            for name, each in self.arguments.signature.parameters.items()
            if each.kind is not each.VAR_KEYWORD and name not in self._filled
        }
        open_ended = any(each.kind is each.VAR_KEYWORD for each in self.arguments.signature.parameters.values())
        errors = [
            FieldError(name, "is required")
            for name, each in parameters.items()
            if each.default is each.empty and each.kind is not each.VAR_POSITIONAL and name not in given
        ]
        errors += [
            unknown_argument(name, parameters)
            for name in given
            if name in self._filled or (name not in parameters and not open_ended)
        ]
        return self._refusal(errors or [FieldError("(arguments)", "do not fit")])

    def _refusal(self, errors: list[FieldError]) -> InvalidArguments:
        message = f"The arguments of {self.tool.name} were refused:\n{bullet_list(errors)}"
        return InvalidArguments(message, tool=self.tool.name, errors=tuple(errors[:MAX_LISTED]))


def registered(tools: Any) -> dict[str, Registered]:
    """The tools by name; functions are decorated on their way in.

    Raises:
        ConfigurationError: There is something that is no tool, or two of one name.
    """
    if isinstance(tools, Mapping):
        return {name: _registered(each, name) for name, each in tools.items()}
    if isinstance(tools, (str, bytes)) or not isinstance(tools, Iterable):
        raise ConfigurationError(
            f"ToolSet({tools!r}): a list of functions is needed, or a dictionary of functions by name"
        )
    found: dict[str, Registered] = {}
    for each in tools:
        entry = _registered(each, None)
        name = entry.tool.name
        if name in found:
            raise ConfigurationError(
                f"ToolSet: two tools are called {name!r}, {found[name].function!r} and {entry.function!r}: the model "
                "could not tell them apart; give one another name with @tool(name=...), or pass a dictionary"
            )
        found[name] = entry
    return found


def _registered(function: Any, name: str | None) -> Registered:
    if isinstance(function, (classmethod, staticmethod, type)) or not callable(function):
        raise ConfigurationError(
            f"ToolSet: {f'{name!r}: ' if name is not None else ''}{function!r} is no function that can be called"
        )
    given = function
    known = getattr(function, "tool", None)
    # A bound method of a decorated function, or a wrapper around one, is a tool as it is.
    if not isinstance(known, Tool):
        function = tool(function) if name is None else tool(function, name=name)
    elif name is not None and name != known.name:
        function = tool(function, name=name)
    entry = Registered(function, given)
    if is_tool(function) and entry.tool.info.arguments.receiver is not None:
        raise ConfigurationError(
            f"ToolSet: {entry.tool.name!r} is a method without its object; pass that of an object: "
            f"thing.{entry.tool.name}"
        )
    return entry
