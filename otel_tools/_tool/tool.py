"""`Tool`: what the decorator knows of a tool, and the function that it puts in the tool's place."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import types
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack, cast, get_type_hints

from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.drive import coroutine_driver, function_driver
from otel_tools._call.generators import async_generator_driver, generator_driver
from otel_tools._call.plan import compile_plan
from otel_tools._policies.build import PolicyOptions, policies_of
from otel_tools._policies.validation import accepted_arguments
from otel_tools._telemetry.call_span import ObservedCall, ToolTelemetry
from otel_tools._telemetry.policy_span import PoliciedCall
from otel_tools._tool.introspection import checked_name, kind_of, speaker_of, summary
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pydantic import BaseModel

    from otel_tools._call.plan import Plan
    from otel_tools._call.steps import Policy
    from otel_tools._policies.cache.tool_cache import ToolCache
    from otel_tools._telemetry.counters import ToolStats
    from otel_tools._tool.introspection import Kind
    from otel_tools._tool.typing import PolicyArguments

__all__ = ["Objective", "Options", "Tool"]

_ASIDE: Final = ("cache_info", "cache_clear", "cache_parameters")


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
        """What was given before, with what is given now in its place."""
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
        "_info",
        "_plan",
        "_schemas",
        "_telemetry",
        "description",
        "function",
        "kind",
        "name",
        "options",
        "wrapper",
    )

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        _check(options)
        if options.args is not None and options.validate is None:
            options = replace(options, validate=True)
        self.function = function
        self.options = options
        speaker = speaker_of(function)
        self.name = checked_name(options.name, speaker, function)
        self.kind: Kind = kind_of(function)
        self.description = options.description or summary(speaker.__doc__)
        self._info = ToolInfo(
            self.name,
            function,
            asynchronous=self.kind in {"coroutine", "async_generator"},
            generator=self.kind in {"generator", "async_generator"},
            arguments=Arguments(function),
            declared=options.args,
        )
        self._schemas: dict[tuple[str, bool], str] = {}
        policies = policies_of(options, self._info)
        self._cache = None if options.cache is None else options.cache.handle(self._info, self._prepare)
        self._telemetry = ToolTelemetry(
            self.name, self.description, self._info.arguments, options.objective.success if options.objective else None
        )
        self._declare()
        self._plan = self._planned(function, options, policies)
        self.wrapper = _wrap(self._plan.run, function, speaker, self)

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
            from otel_tools._schema.schema import schema_of  # noqa: PLC0415 - imports pydantic

            made = self._schemas[api, strict] = json.dumps(
                schema_of(
                    self._info, self.wrapper.__doc__, description=self.options.description, api=api, strict=strict
                )
            )
        return cast("dict[str, Any]", json.loads(made))

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments as they are when they reach the cache."""
        return accepted_arguments(self._info, args, kwargs) if self.options.validate else (args, kwargs)

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
        if options.get("fallback", True) is None:
            options.setdefault("fallback_on", None)
        return self._replaced(self.current_function, options)

    @property
    def current_function(self) -> Callable[..., Any]:
        """The function that calls of this context run: the tool's, or the one in its place."""
        return self._plan.current.function

    def with_function(self, function: Callable[..., Any]) -> AbstractContextManager[None]:
        """Another function under the tool's policies, of the same kind and parameters, likewise. For tests.

        What it returns is cached apart from what the tool does.
        """
        return self._replaced(function, {})

    def _replaced(self, function: Callable[..., Any], changes: PolicyArguments) -> AbstractContextManager[None]:
        # On top of what a block around this one has changed.
        options = replace(self._plan.current.options, **changes)
        policies = policies_of(options, self._info)
        if function is not self.function and options.cache is not None:
            # What another function returns is not what the tool's callers are to get after the block.
            policies["cache"] = options.cache.policy(self._info.with_function(function))
        other = self._planned(function, options, policies)
        # Whatever is overridden, the tool's threads are counted together.
        other.thread_budget = self._plan.thread_budget
        return self._plan.replaced_by(other)

    def _declare(self) -> None:
        """Say which series exist from 0 on."""
        asked = {f.name for f in fields(PolicyOptions) if getattr(self.options, f.name)}
        if self._info.asynchronous:
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


def _check(options: Options) -> None:
    if options.objective is not None and not isinstance(options.objective, Objective):
        raise ConfigurationError(
            f"tool(objective={options.objective!r}): an Objective is needed, as in objective=Objective(success=0.99)"
        )
    if options.description is not None and not isinstance(options.description, str):
        raise ConfigurationError(f"tool(description={options.description!r}): a text is needed")


def _wrap(wrapper: Any, function: Callable[..., Any], speaker: Callable[..., Any], owner: Tool) -> Callable[..., Any]:
    """The driver's function, made to look like the tool from all sides."""
    code = getattr(speaker, "__code__", None)
    if isinstance(code, types.CodeType) and code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        wrapper = types.coroutine(wrapper)
    wrapper.__annotations__ = {}
    if speaker is function:
        functools.update_wrapper(wrapper, function)
    else:
        functools.update_wrapper(wrapper, speaker, updated=())
        wrapper.__name__ = owner.name if wrapper.__name__ == "__call__" else wrapper.__name__
        wrapper.__wrapped__ = function
        # Later they could not be resolved: a partial or a callable object has no globals of its own to look in.
        with contextlib.suppress(Exception):
            wrapper.__annotations__ = get_type_hints(speaker, include_extras=True)
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
