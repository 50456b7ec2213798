"""`Tool`: a decorated function with its options, its telemetry and its plan; attached to it as ``fn.tool``."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack, cast, get_type_hints

from otel_tools._arguments.annotations import local_names_of
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.drive import coroutine_driver, function_driver
from otel_tools._call.generators import async_generator_driver, generator_driver
from otel_tools._call.outcome import outcome_name_of
from otel_tools._call.plan import compile_plan
from otel_tools._call.watch import current_watch, watched_open
from otel_tools._option_names import check_option_names
from otel_tools._policies.build import in_order, in_watched_order, policies_of
from otel_tools._policies.options import POLICY_OPTIONS
from otel_tools._policies.validation import accepted_arguments
from otel_tools._telemetry.call_span import ObservedCall
from otel_tools._telemetry.policy_span import AbandonedThread, ObservedCallWithPolicies
from otel_tools._telemetry.tool_telemetry import ToolTelemetry
from otel_tools._tool.introspection import checked_name, described_function, kind_of, summary
from otel_tools._tool.options import check_override
from otel_tools.errors import ConfigurationError, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from otel_tools._call.call import Call
    from otel_tools._call.plan import Plan
    from otel_tools._call.steps import Policy
    from otel_tools._call.watch import Watch
    from otel_tools._policies.cache.tool_cache import ToolCache
    from otel_tools._policies.options import Options
    from otel_tools._telemetry.counters import ToolStats
    from otel_tools._tool.introspection import FunctionKind
    from otel_tools._tool.option_types import PolicyArguments
    from otel_tools.errors import ToolError

__all__ = ["Tool"]

_CACHE_METHODS: Final = ("cache_info", "cache_clear", "cache_parameters")


@check_option_names
class Tool:
    """A decorated function with its options, its telemetry and its plan; attached to it as ``fn.tool``.

    Attributes:
        name: The name that the model calls.
        description: The description sent to the model; None where there is none.
        function: The undecorated function.
        wrapper: The function that `tool` returned.
        options: The options that it was decorated with.
        kind: ``function``, ``coroutine``, ``generator`` or ``async_generator``.
        info: The part that policies and schemas read.
    """

    __slots__ = (
        "_cache",
        "_plan",
        "_schemas",
        "_telemetry",
        "description",
        "function",
        "info",
        "kind",
        "name",
        "options",
        "wrapper",
    )

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        if options.args is not None and options.validate is None:
            options = options.with_given({"validate": True})
        self.function = function
        self.options = options
        described = described_function(function)
        self.name = checked_name(options.name, described, function)
        self.kind: FunctionKind = kind_of(function)
        self.description = options.description or summary(described.__doc__)
        self.info = ToolInfo(
            self.name,
            function,
            asynchronous=self.kind in {"coroutine", "async_generator"},
            generator=self.kind in {"generator", "async_generator"},
            arguments=Arguments(function),
            declared=options.args,
            local_names=local_names_of(function),
        )
        self._schemas: dict[tuple[str, bool], str] = {}
        policies = policies_of(options, self.info)
        self._cache: ToolCache | None = (
            None if options.cache is None else options.cache.handle(self.info, self._arguments_in_cache)
        )
        self._telemetry = ToolTelemetry(
            self.name, self.description, self.info.arguments, options.objective.success if options.objective else None
        )
        self._declare()
        self._plan = self._planned(function, options, policies)
        self.wrapper = _wrap(self._plan.run, function, described, self)

    @staticmethod
    def of(function: Callable[..., Any]) -> Tool:
        """The tool of a decorated function: ``function.tool``, also for type checkers, which see it on no method.

        Raises:
            ConfigurationError: The function is not decorated.
        """
        known = getattr(function, "tool", None)
        if not isinstance(known, Tool):
            raise ConfigurationError(f"Tool.of({function!r}): the function is not decorated with @tool")
        return known

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
        """The tool's schema as sent to the model: one of the ``tools`` of a request.

        Built once, from the signature's types and the docstring, or from the model of ``tool(args=...)``. Each call
        returns a new dictionary with the same content.

        Args:
            api: The API whose form it has: Chat Completions (``"chat"``) or Responses (``"responses"``).
            strict: Whether the server enforces the schema. The model then sends every argument; an optional one is
                optional by its description alone.

        Raises:
            ConfigurationError: OpenAI does not take the name, a parameter has no JSON Schema or, with ``strict``, none
                that strict mode can express.
        """
        made = self._schemas.get((api, strict))
        if made is None:
            from otel_tools._schema.schema import schema_of  # noqa: PLC0415 - imports pydantic

            made = self._schemas[api, strict] = json.dumps(
                schema_of(self.info, self.wrapper.__doc__, description=self.options.description, api=api, strict=strict)
            )
        return cast("dict[str, Any]", json.loads(made))

    def validate(self, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
        """Check arguments without calling the tool, whether or not it has ``validate=``. Nothing is counted.

        Args:
            arguments: What a model sent: the arguments by name, or a JSON object as text.

        Returns:
            The arguments by name as the function would get them: coerced to the types of the signature, or to those
            of the model of ``tool(args=...)``. Those that were left out have the function's defaults; ``*args`` are a
            tuple under their name, and the names of ``**kwargs`` stand beside the others.

        Raises:
            InvalidArguments: They do not fit; ``errors`` names each field.
            ConfigurationError: pydantic cannot check an annotation.
        """
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments) if arguments.strip() else {}
            except (ValueError, RecursionError):
                raise InvalidArguments(f"The arguments of {self.name} are not valid JSON.", tool=self.name) from None
        if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
            raise InvalidArguments(
                f"The arguments of {self.name} have to be an object of parameters by name.", tool=self.name
            )
        args, kwargs = self.accepted(() if self._receiver is None else (None,), dict(arguments))
        accepted = dict(self.info.arguments.bind(*args, **kwargs))
        for name, parameter in self.info.arguments.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                accepted |= accepted.pop(name)
            elif name == self._receiver:
                del accepted[name]
        return accepted

    @property
    def _receiver(self) -> str | None:
        return self.info.arguments.receiver

    def accepted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call as ``validate=True`` coerces them, whether or not the tool has it.

        Raises:
            InvalidArguments: They do not fit the signature, or the model of ``tool(args=...)``.
            ConfigurationError: pydantic cannot check an annotation.
        """
        return accepted_arguments(self.info, args, kwargs)

    def _arguments_in_cache(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as the cache sees them: validation stands before it."""
        return self.accepted(args, kwargs) if self.options.validate else (args, kwargs)

    def record_unstarted(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: ToolError) -> None:
        """Report a call that failed before the tool could begin: a span, a duration, a count."""
        self._plan.open(args, kwargs).close(None, error, outcome_name_of(error))

    def watched_by(self, watch: Watch) -> None:
        """Let somebody watch the calls that the current context makes from now on; it must be the call's own."""
        plan = self._plan.current
        if plan.watched is None:
            plan.watched = self._watched(plan)
        watch.owner = self
        current_watch.set(watch)
        self._plan.replace_by(plan.watched)

    def _watched(self, plan: Plan) -> Plan:
        record = functools.partial(ObservedCallWithPolicies, self._telemetry)
        watched = compile_plan(plan.function, watched_open(record, self), in_watched_order(plan.policies))
        watched.options, watched.policies = plan.options, plan.policies
        watched.thread_budget, watched.watched = plan.thread_budget, watched
        watched.run = _DRIVERS[self.kind](watched)
        return watched

    def declare_timeout(self) -> None:
        """Export the series of abandoned threads from 0 on: something else than ``timeout=`` bounds the calls."""
        if not self.info.asynchronous:
            self._telemetry.declare_timeout()

    def abandoned_thread(self) -> Call:
        """The record of a thread of the tool that nobody waits for: its ``abandoned(1)`` and ``abandoned(-1)`` count.

        Both count in the counters that are current now, so that a reset between them leaves no negative number.
        """
        return AbandonedThread(self._telemetry)

    def stats(self) -> ToolStats:
        """The tool's numbers in this process: the same that are exported."""
        return self._telemetry.metrics.stats()

    def override(self, **options: Unpack[PolicyArguments]) -> AbstractContextManager[None]:
        """Use other policies for the calls that the current context makes in a ``with`` block.

        ``with get_weather.tool.override(retry=None, timeout=1): ...`` for one call, or for a test. Options that are
        not named stay as they are; None removes a policy. Threads that do not copy their context, and calls that began
        before the block, use the tool's own policies. The telemetry stays the tool's.

        Raises:
            ConfigurationError: An option cannot work, or is no policy.
        """
        check_override(self.name, options)
        if options.get("fallback", True) is None:
            options.setdefault("fallback_on", None)
        return self._replaced(self.current_function, options)

    @property
    def current_function(self) -> Callable[..., Any]:
        """The function that calls of this context run: the tool's own, or its replacement in a ``with`` block."""
        return self._plan.current.function

    def with_function(self, function: Callable[..., Any]) -> AbstractContextManager[None]:
        """Run another function of the same kind and parameters under the tool's policies, in a ``with`` block.

        For tests. Its results are cached apart from the tool's.
        """
        return self._replaced(function, {})

    def _replaced(self, function: Callable[..., Any], changes: Mapping[str, Any]) -> AbstractContextManager[None]:
        # Changes of an outer block stay in force.
        options = self._plan.current.options.with_given(changes)
        policies = policies_of(options, self.info)
        if function is not self.function and options.cache is not None:
            # Results of another function must not be served to the tool's callers after the block.
            policies["cache"] = options.cache.policy(self.info.with_function(function))
        other = self._planned(function, options, policies)
        # Whatever is overridden, the tool has one thread budget.
        other.thread_budget = self._plan.thread_budget
        return self._plan.replaced_by(other)

    def _declare(self) -> None:
        """Declare the metric series that are exported from 0 on."""
        given = {option.name for option in POLICY_OPTIONS if getattr(self.options, option.name)}
        if self.info.asynchronous:
            # A timeout of an async tool leaves no thread behind.
            given.discard("timeout")
        breaker = self.options.circuit_breaker
        self._telemetry.declare(frozenset(given), None if breaker is None else lambda: breaker.state)

    def _planned(self, function: Callable[..., Any], options: Options, policies: dict[str, Policy]) -> Plan:
        record = functools.partial(ObservedCallWithPolicies if policies else ObservedCall, self._telemetry)
        plan = compile_plan(function, record, in_order(policies))
        plan.options, plan.policies = options, policies
        plan.run = _DRIVERS[self.kind](plan)
        return plan

    def __reduce__(self) -> tuple[Any, ...]:
        # By its function and its options; the rest is made anew where it is loaded. So the wrapper of a function in
        # ``__main__``, which cloudpickle pickles by value, is picklable too: it holds the plan, and the plan its tool.
        return Tool, (self.function, self.options), {"wrapper": self.wrapper}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.wrapper = self._plan.run = state["wrapper"]

    def __repr__(self) -> str:
        return f"<Tool {self.name!r} ({self.kind})>"


def _wrap(wrapper: Any, function: Callable[..., Any], described: Callable[..., Any], owner: Tool) -> Callable[..., Any]:
    """Make the driver's function look like the tool to `inspect`, `typing`, `copy` and `pickle`."""
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
        # Resolved now: a partial or a callable object has no globals in which names could be resolved later.
        with contextlib.suppress(Exception):
            wrapper.__annotations__ = get_type_hints(described, include_extras=True)
    for name in _CACHE_METHODS:
        # lru_cache's methods are attributes of its type, which update_wrapper() does not copy.
        if not hasattr(wrapper, name) and hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))
    wrapper.tool = owner
    return cast("Callable[..., Any]", wrapper)


_DRIVERS: Final[dict[FunctionKind, Callable[[Plan], Callable[..., Any]]]] = {
    "function": function_driver,
    "coroutine": coroutine_driver,
    "generator": generator_driver,
    "async_generator": async_generator_driver,
}
