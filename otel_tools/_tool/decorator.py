"""`tool`: the decorator that puts a span, a duration, a count and policies around a function."""

from __future__ import annotations

import functools
import inspect
import reprlib
import types
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from otel_tools._option_names import check_option_names
from otel_tools._policies.options import Options
from otel_tools._tool.framework_objects import functions_in, refuse_framework_object, with_functions
from otel_tools._tool.introspection import summary
from otel_tools._tool.options import document_options, options_from
from otel_tools._tool.tool import Tool
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._tool.option_types import ToolArguments
    from otel_tools._tool.typing import MethodT, ToolDecorator, ToolFunction, ToolObject, Unannotated, Untyped

__all__ = ["is_tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound="ToolObject")


@overload
def tool(
    function: classmethod[T, P, R],
    /,
    **options: Unpack[ToolArguments],
) -> classmethod[T, P, R]: ...
@overload
def tool(  # type: ignore[overload-overlap] # as above
    function: staticmethod[P, R],
    /,
    **options: Unpack[ToolArguments],
) -> staticmethod[P, R]: ...
@overload
def tool(function: Untyped[R], /, **options: Unpack[ToolArguments]) -> ToolFunction[..., R]: ...
@overload
def tool(function: Unannotated, /, **options: Unpack[ToolArguments]) -> ToolFunction[..., Any]: ...
@overload
def tool(function: MethodT, /, **options: Unpack[ToolArguments]) -> MethodT: ...
@overload
def tool(
    function: Callable[P, R],
    /,
    **options: Unpack[ToolArguments],
) -> ToolFunction[P, R]: ...
@overload
def tool(function: ObjectT, /, **options: Unpack[ToolArguments]) -> ObjectT: ...
@overload
def tool(**options: Unpack[ToolArguments]) -> ToolDecorator: ...


@check_option_names
def tool(function: Any = None, /, **options: Any) -> Any:
    """Trace and count every call of a function, which otherwise stays what it was, and put policies around it.

    Works bare (``@tool``), with options (``@tool(name=...)``) and on a function that exists (``tool(fn)``); on
    functions, coroutine functions, generators and async generators, on methods, under or over ``classmethod`` and
    ``staticmethod``, on partials, callable objects and builtins; and on a tool object of LangChain, of which it returns
    a copy whose functions are decorated. Decorating again replaces the options that are given; it never adds a second
    span.

    The policies stand around the function in one order, whatever the order of the keywords.

    Args:
        function: The function that the model calls.
        **options: See `ToolArguments`.

    Returns:
        A real function of the same kind, with the attribute ``tool``. Without a function: the decorator.

    Raises:
        ConfigurationError: The decorated object is no tool, has no name, or an option cannot work or does not exist.
    """
    given = options_from(options)
    if function is None:
        return functools.partial(_decorate, options=given)
    return _decorate(function, options=given)


document_options(
    tool, order="in one order, whatever the order of the keywords.", keywords="**options: See `ToolArguments`."
)


def is_tool(function: object) -> bool:
    """Whether `tool` returned this very function; ``functools.wraps`` copies the attribute to other functions."""
    known = getattr(function, "tool", None)
    return isinstance(known, Tool) and known.wrapper is function


def _decorate(function: Any, *, options: Options) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(function.__func__, options=options))
    if is_tool(function) and not options:
        return function
    if functions := functions_in(function):
        return with_functions(
            function,
            {field: _decorate(each, options=_named_by(each, function, options)) for field, each in functions.items()},
        )
    refuse_framework_object(function)
    if isinstance(function, type):
        raise ConfigurationError(_no_class(function))
    if not callable(function):
        raise ConfigurationError(
            f"tool({reprlib.repr(function)}): a function is needed; options go by keyword, as in "
            "@tool(name='get_weather')"
        )
    bare, earlier = _undecorated(function)
    return Tool(bare, options.over(earlier)).wrapper


def _no_class(decorated: type) -> str:
    methods = [name for name, each in vars(decorated).items() if not name.startswith("_") and _is_method(each)]
    instead = "decorate a function that returns one" if not methods else f"put @tool on its methods: {_some(methods)}"
    return f"tool({decorated.__qualname__}): a class is no tool; {instead}"


def _is_method(attribute: object) -> bool:
    return inspect.isroutine(attribute) or isinstance(attribute, (classmethod, staticmethod))


def _some(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _named_by(function: Any, tool_object: Any, options: Options) -> Options:
    """The options of a function in a framework's object: the object's name and description are the defaults."""
    return (
        options
        if is_tool(function)
        else options.over(Options({"name": tool_object.name, "description": summary(tool_object.description)}))
    )


def _undecorated(function: Any) -> tuple[Any, Options]:
    """The undecorated function and the options of its earlier decoration; methods and partials are unwrapped too."""
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
