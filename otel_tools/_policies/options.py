"""The order of policies; the option table: each policy option of `tool` in one row; and the values of one tool.

A new policy takes its own file or folder, one row in `POLICY_OPTIONS`, and one line in ``_tool/option_types.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_tools._policies.cache.cache import Cache
from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
from otel_tools._policies.concurrency import Concurrency
from otel_tools._policies.deadline import deadline
from otel_tools._policies.failed_if import failed_if
from otel_tools._policies.fallback import fallback
from otel_tools._policies.rate_limit.limit import RateLimit
from otel_tools._policies.retry.retry import Retry
from otel_tools._policies.timeout import timeout
from otel_tools._policies.validation import validate_arguments, validate_result
from otel_tools.errors import (
    CircuitOpen,
    ConcurrencyLimited,
    InvalidArguments,
    RateLimited,
    ToolError,
    ToolTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Policy

__all__ = ["ORDER", "POLICY_OPTIONS", "Option", "Options"]

ORDER: Final = (
    "validate",
    "fallback",
    # Of the retry option; it bounds the wait for another call's value too.
    "deadline",
    "cache",
    "retry",
    "circuit_breaker",
    # A slot before a token: the other way round, a stall would let a backlog of paid-for tokens through at once.
    "concurrency",
    "rate_limit",
    # A second time: it may have opened while the call waited for the two above.
    "circuit_breaker_after_wait",
    "validate_result",
    "failed_if",
    # As near to the function as possible: it watches the function's own tenacity, cachetools or lru_cache.
    "third_party",
    "timeout",
)
"""The places of the policies around the function, outermost first."""

Build: TypeAlias = "Callable[[Options, ToolInfo], Policy | None]"


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One option of `tool`.

    Attributes:
        name: Its keyword.
        text: What it does, for ``help(tool)``.
        kind: The class that its value has; None where the policy checks the value itself.
        places: The places in the order of policies that it fills, each with what builds the policy; a builder that
            returns None leaves its place empty.
        errors: What a call may raise because of it.
        for_generators: Whether a generator takes it.
        example: A value of the class, as it is written.
    """

    name: str
    text: str
    kind: type[Any] | None = None
    places: Mapping[str, Build] = field(default_factory=dict)
    errors: tuple[type[ToolError], ...] = ()
    for_generators: bool = False
    example: str = ""


class Options:
    """The values of the options of one tool; None is "not given"."""

    __slots__ = ("_given",)

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = {name: value for name, value in (given or {}).items() if value is not None}
        limits = self._given.get("rate_limit")
        if isinstance(limits, (list, tuple)) and limits and all(isinstance(each, RateLimit) for each in limits):
            self._given["rate_limit"] = RateLimit(limits)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._given.get(name)

    def with_given(self, given: Mapping[str, Any]) -> Options:
        """These options with others in their place; None takes one away."""
        return Options({**self._given, **given})

    def over(self, earlier: Options) -> Options:
        """These options, and the earlier ones where these were not given."""
        return earlier.with_given(self._given)

    def __bool__(self) -> bool:
        return bool(self._given)

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"


def _deadline(options: Options, _info: ToolInfo) -> Policy | None:
    seconds = options.retry.deadline
    return None if seconds is None else deadline(seconds)


POLICY_OPTIONS: Final = (
    Option(
        "validate",
        "True validates and coerces the arguments, as a model sends them, against the signature; ``'both'`` checks "
        "the result against its annotation too.",
        places={
            "validate": lambda options, info: validate_arguments(info) if options.validate else None,
            "validate_result": lambda options, info: validate_result(info) if options.validate == "both" else None,
        },
        errors=(InvalidArguments,),
        for_generators=True,
    ),
    Option(
        "fallback",
        "Called with the same arguments when the call fails; its result is served instead.",
        places={"fallback": lambda options, info: fallback(options.fallback, options.fallback_on, info)},
    ),
    Option(
        "fallback_on",
        "Restricts ``fallback`` to these exceptions, or to those for which this predicate is true.",
    ),
    Option(
        "cache",
        "Keeps results and serves them to later calls with the same arguments.",
        Cache,
        {"cache": lambda options, info: options.cache.policy(info)},
        example="Cache(ttl=300)",
    ),
    Option(
        "retry",
        "Repeats attempts that fail.",
        Retry,
        {"deadline": _deadline, "retry": lambda options, info: options.retry.policy(info)},
        example="Retry(attempts=3)",
    ),
    Option(
        "circuit_breaker",
        "Stops calling a tool that fails too often, for a while.",
        CircuitBreaker,
        {
            "circuit_breaker": lambda options, info: options.circuit_breaker.policy(info),
            "circuit_breaker_after_wait": lambda options, info: options.circuit_breaker.policy_after_wait(info),
        },
        errors=(CircuitOpen,),
        for_generators=True,
        example="CircuitBreaker(failures=5)",
    ),
    Option(
        "concurrency",
        "Limits how many attempts run at once.",
        Concurrency,
        {"concurrency": lambda options, info: options.concurrency.policy(info)},
        errors=(ConcurrencyLimited,),
        for_generators=True,
        example="Concurrency(limit=8)",
    ),
    Option(
        "rate_limit",
        "Limits how many attempts start per period; a list of limits holds all of them at once.",
        RateLimit,
        {"rate_limit": lambda options, info: options.rate_limit.policy(info)},
        errors=(RateLimited,),
        for_generators=True,
        example="RateLimit(rate=10, per=1)",
    ),
    Option(
        "timeout",
        "Seconds that one attempt may take. A sync function then runs on a thread of its own, which cannot be killed: "
        "after its timeout it runs on, and nobody waits for it. It can ask `otel_tools.remaining` and "
        "`otel_tools.cancelled`. Thread-locals, SQLite connections and context variables that it sets stay on that "
        "thread.",
        places={"timeout": lambda options, info: timeout(options.timeout, info)},
        errors=(ToolTimeout, ConcurrencyLimited),
    ),
    Option(
        "failed_if",
        "Called with each result. Where it is true, the call counts as an error (``error.type=tool_error``), and the "
        "caller gets the result untouched. For tools that return their errors.",
        places={"failed_if": lambda options, info: failed_if(options.failed_if, info)},
        errors=(ToolError,),
    ),
)
"""Every option that puts a policy around the function, in the order of ``help(tool)``."""
