"""`tool`: a span, a duration and a count around a function that exists, which stays the function that it was."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from dataclasses import dataclass, fields, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

from otel_tools.call.drive import coroutine_driver, function_driver
from otel_tools.call.generators import async_generator_driver, generator_driver
from otel_tools.call.plan import compile_plan
from otel_tools.errors import ConfigurationError
from otel_tools.policies.failed_if import failed_if as failed_if_policy
from otel_tools.telemetry.names import TOOL_ERROR
from otel_tools.telemetry.spans import ObservedCall, ToolTelemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.call.plan import Plan
    from otel_tools.call.steps import Policy
    from otel_tools.telemetry.tally import ToolStats
    from otel_tools.typed import ToolDecorator, ToolFunction

__all__ = ["Objective", "Tool", "is_tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Kind = Literal["function", "coroutine", "generator", "async_generator"]

_LONGEST_NAME: Final = 128
_LONGEST_SUMMARY: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """What a tool is meant to keep; exported as a gauge that the alert rules join on.

    Args:
        success: Ratio of calls that succeed, above 0 and below 1, such as 0.99.

    Raises:
        ConfigurationError: The ratio is not between 0 and 1.
    """

    success: float

    def __post_init__(self) -> None:
        if isinstance(self.success, bool) or not isinstance(self.success, (int, float)) or not 0 < self.success < 1:
            raise ConfigurationError(
                f"Objective(success={self.success!r}): a ratio above 0 and below 1 is needed, such as 0.99; "
                "1 would leave no error budget to burn"
            )


@dataclass(frozen=True, slots=True)
class Options:
    """What `tool` was asked for. None is "not given" and leaves what an earlier decoration gave."""

    name: str | None = None
    description: str | None = None
    failed_if: Callable[[Any], object] | None = None
    objective: Objective | None = None

    def over(self, earlier: Options) -> Options:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(earlier, **given)


class Tool:
    """What the decorator knows of a tool; it hangs on the function as ``fn.tool``.

    Attributes:
        name: What the model calls.
        description: What the model is told of the tool, if anything.
        function: The function as it was before.
        wrapper: The function that `tool` gave back.
        options: What it was decorated with.
        kind: ``function``, ``coroutine``, ``generator`` or ``async_generator``.
    """

    __slots__ = ("_telemetry", "description", "function", "kind", "name", "options", "wrapper")

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        described = _described(function)
        self.name = _checked_name(options.name, described, function)
        self.kind: Kind = _kind_of(function)
        self.description = options.description or _summary(described.__doc__)
        policies = self._policies()
        self._telemetry = ToolTelemetry(
            self.name, self.description, function, options.objective.success if options.objective else None
        )
        plan = compile_plan(function, functools.partial(ObservedCall, self._telemetry), policies)
        self.wrapper = _wrap(function, described, plan, self)

    def stats(self) -> ToolStats:
        """The tool's numbers in this process: the same that are exported."""
        return self._telemetry.tally.counts.stats()

    def _policies(self) -> dict[str, Policy]:
        policies: dict[str, Policy] = {}
        if (predicate := self.options.failed_if) is not None:
            if self.kind in {"generator", "async_generator"}:
                raise ConfigurationError(f"tool {self.name!r}: failed_if looks at one result, and a generator has many")
            if not callable(predicate) or _kind_of(predicate) != "function":
                raise ConfigurationError(
                    f"tool {self.name!r}: failed_if={predicate!r} must be a plain function of the result"
                )
            policies["failed_if"] = failed_if_policy(predicate, self.name, TOOL_ERROR)
        return policies

    def __repr__(self) -> str:
        return f"<Tool {self.name!r} ({self.kind})>"


@overload
def tool(
    function: classmethod[T, P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> classmethod[T, P, R]: ...
@overload
def tool(  # type: ignore[overload-overlap] # as above
    function: staticmethod[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> staticmethod[P, R]: ...
@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> ToolFunction[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> ToolDecorator: ...


def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> Any:
    """Trace and count every call of a function, which otherwise stays what it was.

    Works bare (``@tool``), with options (``@tool(name=...)``) and on a function that exists (``tool(fn)``); on
    functions, coroutine functions, generators and async generators, on methods, under or over ``classmethod`` and
    ``staticmethod``, on partials, callable objects and builtins. Decorating again replaces the options that are
    given; it never adds a second span.

    Args:
        function: What the model calls.
        name: The name it calls it by; the function's own by default.
        description: What the span says of it; the first paragraph of the docstring by default.
        failed_if: Called with each result; where it is true the call counts as an error (``error.type=tool_error``),
            and the caller gets the result untouched. For tools that return their errors.
        objective: What the tool is meant to keep; the alert on its failure ratio goes by it.

    Returns:
        A real function of the same kind, with the attribute ``tool``. Without a function: the decorator.

    Raises:
        ConfigurationError: What is decorated is not a tool, has no name, or an option cannot work.
    """
    options = Options(name, description, failed_if, objective)
    if function is None:
        return functools.partial(_decorate, options=options)
    return _decorate(function, options=options)


def is_tool(function: object) -> bool:
    """Whether this very function was given back by `tool`; ``functools.wraps`` copies the attribute to others."""
    known = getattr(function, "tool", None)
    return isinstance(known, Tool) and known.wrapper is function


def _decorate(function: Any, *, options: Options) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(function.__func__, options=options))
    if is_tool(function) and options == Options():
        return function
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(
            f"tool({function!r}): a function is needed; options go by keyword, as in @tool(name='get_weather')"
        )
    bare, earlier = _undecorated(function)
    return Tool(bare, options.over(earlier)).wrapper


def _undecorated(function: Any) -> tuple[Any, Options]:
    """The function under an earlier decoration, also that of a method or partial of it, and what it was given."""
    if is_tool(function):
        return function.tool.function, function.tool.options
    if isinstance(function, types.MethodType):
        bare, earlier = _undecorated(function.__func__)
        return (function if bare is function.__func__ else types.MethodType(bare, function.__self__)), earlier
    if isinstance(function, functools.partial):
        bare, earlier = _undecorated(function.func)
        return (
            function if bare is function.func else functools.partial(bare, *function.args, **function.keywords)
        ), earlier
    return function, Options()


def _described(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose name, docstring and annotations speak for a partial or a callable object."""
    function = _innermost(function)
    if inspect.isroutine(function) or hasattr(function, "__name__"):
        return function
    method = type(function).__call__
    return method if isinstance(method, types.FunctionType) else function


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _kind_of(function: Callable[..., Any]) -> Kind:
    for candidate in (function, _described(function), type(_innermost(function)).__call__):
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
        if inspect.isasyncgenfunction(candidate):
            return "async_generator"
    return "function"


def _checked_name(name: str | None, described: Callable[..., Any], function: Callable[..., Any]) -> str:
    if name is None:
        name = getattr(described, "__name__", None)
        if name in {None, "__call__"}:
            name = type(_innermost(function)).__name__
        if name == "<lambda>":
            raise ConfigurationError(
                "a lambda has no name that a model could call: give one, tool(name='...')(lambda ...)"
            )
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME or " " in name:
        raise ConfigurationError(
            f"tool(name={name!r}): a name is what a model calls: 1 to {_LONGEST_NAME} printable characters, no spaces"
        )
    return name


def _summary(doc: str | None) -> str | None:
    """The first paragraph of a docstring on one line."""
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0]
    return " ".join(paragraph.split())[:_LONGEST_SUMMARY] or None


def _wrap(function: Callable[..., Any], described: Callable[..., Any], plan: Plan, owner: Tool) -> Callable[..., Any]:
    """A function of the tool's kind around its plan, which looks like the tool from all sides."""
    wrapper: Any = _DRIVERS[owner.kind](plan)
    code = getattr(described, "__code__", None)
    if isinstance(code, types.CodeType) and code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        wrapper = types.coroutine(wrapper)
    wrapper.__annotations__ = {}
    if described is function:
        functools.update_wrapper(wrapper, function)
    else:
        functools.update_wrapper(wrapper, described, updated=())
        wrapper.__name__ = owner.name if wrapper.__name__ == "__call__" else wrapper.__name__
        wrapper.__wrapped__ = function
        # Later they could not be resolved: a partial or a callable object has no globals of its own to look in.
        with contextlib.suppress(Exception):
            wrapper.__annotations__ = get_type_hints(described, include_extras=True)
    wrapper.tool = owner
    return cast("Callable[..., Any]", wrapper)


_DRIVERS: Final[dict[Kind, Callable[[Plan], Callable[..., Any]]]] = {
    "function": function_driver,
    "coroutine": coroutine_driver,
    "generator": generator_driver,
    "async_generator": async_generator_driver,
}
