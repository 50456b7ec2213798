"""`tool`: a span, a duration and a count around a function that exists, which stays the function that it was."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from otel_tools._tool.framework_objects import functions_in, with_functions
from otel_tools._tool.introspection import summary
from otel_tools._tool.tool import Options, Tool
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from otel_tools._policies.cache.cache import Cache
    from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
    from otel_tools._policies.concurrency import Concurrency
    from otel_tools._policies.rate_limit.limit import RateLimit
    from otel_tools._policies.retry.retry import Retry
    from otel_tools._tool.tool import Objective
    from otel_tools._tool.typing import ToolArguments, ToolDecorator, ToolFunction, ToolObject

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
def tool(
    function: Callable[P, R],
    /,
    **options: Unpack[ToolArguments],
) -> ToolFunction[P, R]: ...
@overload
def tool(function: ObjectT, /, **options: Unpack[ToolArguments]) -> ObjectT: ...
@overload
def tool(**options: Unpack[ToolArguments]) -> ToolDecorator: ...


def tool(  # noqa: PLR0913 - by keyword, and each has its word
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    args: type[BaseModel] | None = None,
    validate: bool | Literal["both"] | None = None,
    fallback: Callable[..., Any] | None = None,
    fallback_on: type[BaseException]
    | tuple[type[BaseException], ...]
    | Callable[[BaseException], object]
    | None = None,
    cache: Cache | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    concurrency: Concurrency | None = None,
    rate_limit: RateLimit | None = None,
    timeout: float | None = None,
    failed_if: Callable[[Any], object] | None = None,
    objective: Objective | None = None,
) -> Any:
    """Trace and count every call of a function, which otherwise stays what it was, and put policies around it.

    Works bare (``@tool``), with options (``@tool(name=...)``) and on a function that exists (``tool(fn)``); on
    functions, coroutine functions, generators and async generators, on methods, under or over ``classmethod`` and
    ``staticmethod``, on partials, callable objects and builtins; and on a tool object of LangChain, of which it gives
    back a copy whose functions are decorated. Decorating again replaces the options that are
    given; it never adds a second span.

    The policies stand around the function in this order, outermost first, whatever the order of the keywords:
    ``validate``, ``fallback``, ``cache``, ``retry``, ``circuit_breaker``, ``concurrency``, ``rate_limit``,
    ``failed_if``, ``timeout``. Generators take ``validate=True``, ``circuit_breaker``, ``concurrency`` and
    ``rate_limit``.

    Args:
        function: What the model calls.
        name: The name it calls it by; the function's own by default.
        description: What the model is told of it; by default the docstring, and for the span its first paragraph.
        args: A pydantic model that declares the arguments in place of the signature, for the schema and for
            ``validate``, which it turns on. The function takes the model's fields by name, or has one parameter of its
            type.
        validate: True validates and coerces the arguments, as a model sends them, against the signature; ``"both"``
            checks the result against its annotation too.
        fallback: Called with the same arguments when the call fails; what it returns is served in its place.
        fallback_on: Restricts that to these exceptions, or to those for which it is true.
        cache: Keeps results.
        retry: Tries again.
        circuit_breaker: Leaves a tool alone that fails too often.
        concurrency: Limits how many attempts run at once.
        rate_limit: Limits how many attempts begin in a time.
        timeout: Seconds that one attempt may take. A sync function runs on a thread of its own then, which cannot be
            killed: what takes too long runs to its end for nobody, unless it asks `otel_tools.remaining` or
            `otel_tools.cancelled`. Thread-locals, SQLite connections and context variables set inside stay there.
        failed_if: Called with each result; where it is true the call counts as an error (``error.type=tool_error``),
            and the caller gets the result untouched. For tools that return their errors.
        objective: What the tool is meant to keep; the alert on its failure ratio goes by it.

    Returns:
        A real function of the same kind, with the attribute ``tool``. Without a function: the decorator.

    Raises:
        ConfigurationError: What is decorated is not a tool, has no name, or an option cannot work.
    """
    options = Options(
        name=name,
        description=description,
        args=args,
        validate=validate,
        fallback=fallback,
        fallback_on=fallback_on,
        cache=cache,
        retry=retry,
        circuit_breaker=circuit_breaker,
        concurrency=concurrency,
        rate_limit=rate_limit,
        timeout=timeout,
        failed_if=failed_if,
        objective=objective,
    )
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
    if functions := functions_in(function):
        return with_functions(
            function,
            {field: _decorate(each, options=_named(each, function, options)) for field, each in functions.items()},
        )
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(
            f"tool({function!r}): a function is needed; options go by keyword, as in @tool(name='get_weather')"
        )
    bare, earlier = _undecorated(function)
    return Tool(bare, options.over(earlier)).wrapper


def _named(function: Any, of: Any, options: Options) -> Options:
    """What a function in a framework's object is decorated with: the model knows it by the object's name."""
    return options if is_tool(function) else options.over(Options(name=of.name, description=summary(of.description)))


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
