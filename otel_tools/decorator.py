"""`tool`: a span, a duration and a count around a function that exists, which stays the function that it was."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import types
from dataclasses import dataclass, fields, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    get_type_hints,
    overload,
)

from otel_tools.call.arguments import Arguments
from otel_tools.call.drive import coroutine_driver, function_driver
from otel_tools.call.generators import async_generator_driver, generator_driver
from otel_tools.call.plan import compile_plan
from otel_tools.call.steps import Site
from otel_tools.errors import ConfigurationError
from otel_tools.policies.stack import PolicyOptions, policies_of
from otel_tools.telemetry.policied import PoliciedCall
from otel_tools.telemetry.spans import ObservedCall, ToolTelemetry
from otel_tools.tool_objects import functions_in, with_functions

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pydantic import BaseModel

    from otel_tools.call.plan import Plan
    from otel_tools.call.steps import Policy
    from otel_tools.policies.cache import Cache, ToolCache
    from otel_tools.policies.circuit import CircuitBreaker
    from otel_tools.policies.concurrency import Concurrency
    from otel_tools.policies.rate_limit import RateLimit
    from otel_tools.policies.retry import Retry
    from otel_tools.telemetry.tally import ToolStats
    from otel_tools.typed import PolicyArguments, ToolArguments, ToolDecorator, ToolFunction, ToolObject

__all__ = ["Objective", "Tool", "is_tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound="ToolObject")

Kind = Literal["function", "coroutine", "generator", "async_generator"]

_ASIDE: Final = ("cache_info", "cache_clear", "cache_parameters")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(PolicyOptions):
    """What `tool` was asked for. None is "not given" and leaves what an earlier decoration gave."""

    name: str | None = None
    description: str | None = None
    args: type[BaseModel] | None = None
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

    __slots__ = (
        "_cache",
        "_plan",
        "_schemas",
        "_site",
        "_telemetry",
        "description",
        "function",
        "kind",
        "name",
        "options",
        "wrapper",
    )

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        if options.args is not None and options.validate is None:
            options = replace(options, validate=True)
        self.function = function
        self.options = options
        described = _described(function)
        self.name = _checked_name(options.name, described, function)
        self.kind: Kind = _kind_of(function)
        self.description = options.description or _summary(described.__doc__)
        self._site = Site(
            self.name,
            function,
            asynchronous=self.kind in {"coroutine", "async_generator"},
            generator=self.kind in {"generator", "async_generator"},
            arguments=Arguments(function),
            declared=options.args,
        )
        self._schemas: dict[tuple[str, bool], str] = {}
        policies = policies_of(options, self._site)
        self._cache = None if options.cache is None else options.cache.handle(self._site)
        self._telemetry = ToolTelemetry(
            self.name, self.description, self._site.arguments, options.objective.success if options.objective else None
        )
        self._declare()
        self._plan = self._planned(function, options, policies)
        self.wrapper = _wrap(self._plan.run, function, described, self)

    @property
    def cache(self) -> ToolCache:
        """The tool's entries in its cache: ``clear()``, ``invalidate(*args, **kwargs)``, ``info()``.

        Raises:
            ConfigurationError: The tool has no cache.
        """
        if self._cache is None:
            raise ConfigurationError(f"tool {self.name!r} has no cache; give it one with @tool(cache=Cache(ttl=300))")
        return self._cache

    def schema(self, *, api: Literal["chat", "responses"] = "chat", strict: bool = False) -> dict[str, Any]:
        """What the model is told of the tool: one of the ``tools`` of a request.

        Made once, from the signature's types and the docstring, or from the model of ``tool(args=...)``; given as a
        new dictionary each time, always the same.

        Args:
            api: Whose form it has: that of Chat Completions or of Responses.
            strict: Whether the server holds the model to it. Then the model gives every argument, and what says
                that it may be left out says so in words alone.

        Raises:
            ConfigurationError: The name is none that OpenAI takes, a parameter is nothing that JSON can give or, with
                ``strict``, that strict mode can express.
        """
        made = self._schemas.get((api, strict))
        if made is None:
            from otel_tools.calling.schema import schema_of  # noqa: PLC0415 - imports pydantic

            made = self._schemas[api, strict] = json.dumps(schema_of(self, api=api, strict=strict))
        return cast("dict[str, Any]", json.loads(made))

    def stats(self) -> ToolStats:
        """The tool's numbers in this process: the same that are exported."""
        return self._telemetry.tally.stats()

    def override(self, **options: Unpack[PolicyArguments]) -> AbstractContextManager[None]:
        """Other policies for the calls that the current context makes in a ``with`` block.

        ``with get_weather.tool.override(retry=None, timeout=1): ...`` for one call, or for a test. What is not named
        stays as it is; None takes a policy away. Threads that do not copy their context, and calls that began before,
        go by the tool's own. The telemetry is the tool's.

        Raises:
            ConfigurationError: An option cannot work, or is not that of a policy.
        """
        if unknown := options.keys() - {f.name for f in fields(PolicyOptions)}:
            raise ConfigurationError(
                f"tool {self.name!r}: override({', '.join(sorted(unknown))}): policies alone can be overridden: "
                f"{', '.join(f.name for f in fields(PolicyOptions))}"
            )
        return self._replaced(self._plan.current.function, options)

    def with_function(self, function: Callable[..., Any]) -> AbstractContextManager[None]:
        """Another function under the tool's policies, of the same kind and parameters, likewise. For tests."""
        return self._replaced(function, {})

    def _replaced(self, function: Callable[..., Any], changes: PolicyArguments) -> AbstractContextManager[None]:
        # On top of what a block around this one has changed.
        options = replace(self._plan.current.options, **changes)
        return self._plan.replaced_by(self._planned(function, options, policies_of(options, self._site)))

    def _declare(self) -> None:
        """Say which series exist from 0 on."""
        asked = {f.name for f in fields(PolicyOptions) if getattr(self.options, f.name)}
        if self._site.asynchronous:
            # Its timeout leaves no thread behind.
            asked.discard("timeout")
        breaker = self.options.circuit_breaker
        self._telemetry.declare(frozenset(asked), None if breaker is None else lambda: breaker.state)

    def _planned(self, function: Callable[..., Any], options: Options, policies: dict[str, Policy]) -> Plan:
        record = functools.partial(PoliciedCall if policies else ObservedCall, self._telemetry)
        plan = compile_plan(function, record, policies)
        plan.options = options
        plan.run = _DRIVERS[self.kind](plan)
        return plan

    def __repr__(self) -> str:
        return f"<Tool {self.name!r} ({self.kind})>"


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
    return options if is_tool(function) else options.over(Options(name=of.name, description=_summary(of.description)))


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


def _wrap(wrapper: Any, function: Callable[..., Any], described: Callable[..., Any], owner: Tool) -> Callable[..., Any]:
    """The driver's function, made to look like the tool from all sides."""
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
    for name in _ASIDE:
        # What lru_cache gives is an attribute of its type, which update_wrapper() does not look at.
        if not hasattr(wrapper, name) and hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))
    wrapper.tool = owner
    return cast("Callable[..., Any]", wrapper)


_DRIVERS: Final[dict[Kind, Callable[[Plan], Callable[..., Any]]]] = {
    "function": function_driver,
    "coroutine": coroutine_driver,
    "generator": generator_driver,
    "async_generator": async_generator_driver,
}
