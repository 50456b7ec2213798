"""What a tool's options ask for, as policies by their place in the order; and what cannot be asked for together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_tools._policies.cache.cache import Cache
from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
from otel_tools._policies.concurrency import Concurrency
from otel_tools._policies.deadline import deadline
from otel_tools._policies.failed_if import failed_if
from otel_tools._policies.fallback import fallback
from otel_tools._policies.rate_limit.limit import RateLimit
from otel_tools._policies.retry.retry import Retry
from otel_tools._policies.third_party import third_party_policy
from otel_tools._policies.timeout import timeout
from otel_tools._policies.validation import validate_arguments, validate_result
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Policy

__all__ = ["PolicyOptions", "policies_of"]

_ONE_RESULT: Final = ("failed_if", "timeout", "retry", "cache", "fallback")
_CLASSES: Final[dict[str, type[Any]]] = {
    "retry": Retry,
    "cache": Cache,
    "rate_limit": RateLimit,
    "concurrency": Concurrency,
    "circuit_breaker": CircuitBreaker,
}


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The options of `tool` that put a policy around the function. None is "not asked for"."""

    failed_if: Callable[[Any], object] | None = None
    timeout: float | None = None
    retry: Retry | None = None
    cache: Cache | None = None
    rate_limit: RateLimit | None = None
    concurrency: Concurrency | None = None
    circuit_breaker: CircuitBreaker | None = None
    fallback: Callable[..., Any] | None = None
    fallback_on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object] | None = None
    validate: bool | Literal["both"] | None = None


def policies_of(options: PolicyOptions, info: ToolInfo) -> dict[str, Policy]:
    """The policies that a tool asks for, by their place in the order.

    Raises:
        ConfigurationError: An option cannot work, alone, with the others or on this kind of function.
    """
    _check(options, info)
    policies = _validation(options, info)
    if options.fallback is not None:
        policies["fallback"] = fallback(options.fallback, options.fallback_on, info)
    if options.retry is not None and options.retry.deadline is not None:
        policies["deadline"] = deadline(options.retry.deadline)
    for option in _CLASSES:
        if (policy := getattr(options, option)) is not None:
            policies[option] = policy.policy(info)
    if options.circuit_breaker is not None:
        policies["circuit_breaker_again"] = options.circuit_breaker.policy_after_wait(info)
    if options.failed_if is not None:
        policies["failed_if"] = failed_if(options.failed_if, info)
    if not info.generator and (decorated := third_party_policy(info, has_cache=options.cache is not None)) is not None:
        policies["decorated"] = decorated
    if options.timeout is not None:
        policies["timeout"] = timeout(options.timeout, info)
    return policies


def _validation(options: PolicyOptions, info: ToolInfo) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    if options.validate:
        policies["validate"] = validate_arguments(info)
    if options.validate == "both":
        policies["validate_result"] = validate_result(info)
    return policies


def _check(options: PolicyOptions, info: ToolInfo) -> None:
    tool = f"tool {info.tool!r}"
    if info.generator:
        asked = [option for option in _ONE_RESULT if getattr(options, option) is not None]
        if asked or options.validate == "both":
            option = asked[0] if asked else "validate='both'"
            raise ConfigurationError(
                f"{tool}: {option} is about one result, and a generator gives many; a generator takes validate=True, "
                "circuit_breaker, concurrency and rate_limit"
            )
    for option, kind in _CLASSES.items():
        value = getattr(options, option)
        if value is not None and not isinstance(value, kind):
            raise ConfigurationError(
                f"{tool}: {option}={value!r}: a {kind.__name__} is needed, as in {option}={kind.__name__}(...)"
            )
    if options.validate is not None and not isinstance(options.validate, bool) and options.validate != "both":
        raise ConfigurationError(f"{tool}: validate={options.validate!r}: True, False or 'both' is needed")
    if options.fallback_on is not None and options.fallback is None:
        raise ConfigurationError(f"{tool}: fallback_on={options.fallback_on!r} says when, but there is no fallback")
    whole = None if options.retry is None else options.retry.deadline
    if whole is not None and isinstance(options.timeout, (int, float)) and options.timeout > whole:
        raise ConfigurationError(
            f"{tool}: timeout={options.timeout!r} of one attempt is longer than deadline={whole!r} of the whole "
            "call; a timeout up to the deadline is needed"
        )
    for option in ("rate_limit", "concurrency"):
        policy = getattr(options, option)
        if whole is not None and policy is not None and policy.max_wait is not None and policy.max_wait > whole:
            raise ConfigurationError(
                f"{tool}: {option} with max_wait={policy.max_wait!r} may wait longer than deadline={whole!r} "
                "allows; a max_wait up to the deadline is needed"
            )
