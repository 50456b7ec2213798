"""Builds the policies of a tool from its options, and refuses options that cannot work together."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Final

from otel_tools._call.watch import watch_attempt, watch_call
from otel_tools._policies.lines import line_for
from otel_tools._policies.options import ORDER, POLICY_OPTIONS
from otel_tools._policies.third_party import third_party_policy
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.steps import Policy
    from otel_tools._policies.options import Options

__all__ = ["in_order", "in_watched_order", "policies_of"]

_OF_THE_RESULT: Final = frozenset({"validate_result", "failed_if", "third_party", "timeout"})
"""The places inside those that retry, keep or replace a result."""

_FOR_GENERATORS: Final = "validate=True, circuit_breaker, concurrency and rate_limit"


def policies_of(options: Options, info: ToolInfo) -> dict[str, Policy]:
    """The policies that a tool's options ask for, by their place in the order.

    Raises:
        ConfigurationError: An option cannot work, alone, with the others or on this kind of function.
    """
    _check_generator(options, info)
    _check_types(options, info)
    _check_times(options, info)
    policies: dict[str, Policy] = {}
    for option in POLICY_OPTIONS:
        if getattr(options, option.name) is None:
            continue
        for place, build in option.places.items():
            policy = build(options, info)
            if policy is not None:
                policies[place] = policy
    # Not asked for by an option: the function was decorated with retries or a cache before it became a tool.
    if not info.generator and (policy := third_party_policy(info, has_cache=options.cache is not None)) is not None:
        policies["third_party"] = policy
    return policies


def in_order(policies: Mapping[str, Policy]) -> list[Policy]:
    """The policies by `ORDER`, outermost first.

    Raises:
        ValueError: A policy has no place in `ORDER`.
    """
    if unplaced := policies.keys() - set(ORDER):
        raise ValueError(f"no place in ORDER for {sorted(unplaced)}")
    return [policies[place] for place in ORDER if place in policies]


def in_watched_order(policies: Mapping[str, Policy]) -> list[Policy]:
    """As `in_order`, for a call that somebody watches: from the outside, and before anything keeps its result."""
    around = {place: policy for place, policy in policies.items() if place not in _OF_THE_RESULT}
    within = {place: policy for place, policy in policies.items() if place in _OF_THE_RESULT}
    return [watch_call, *in_order(around), *([watch_attempt] if around else []), *in_order(within)]


def _check_generator(options: Options, info: ToolInfo) -> None:
    if not info.generator:
        return
    refused = [
        option.name
        for option in POLICY_OPTIONS
        if option.places and not option.for_generators and getattr(options, option.name) is not None
    ]
    if options.validate == "both":
        refused.append("validate='both'")
    if refused:
        raise ConfigurationError(
            f"tool {info.tool!r}: {refused[0]} is about one result, and a generator gives many; a generator takes "
            f"{_FOR_GENERATORS}"
        )


def _check_types(options: Options, info: ToolInfo) -> None:
    tool = f"tool {info.tool!r}"
    for option in POLICY_OPTIONS:
        value, kind = getattr(options, option.name), option.kind
        if value is not None and kind is not None and not isinstance(value, kind):
            raise ConfigurationError(
                f"{tool}: {option.name}={reprlib.repr(value)}: a {kind.__name__} is needed: {line_for(option, value)}"
            )
    if options.validate is not None and not isinstance(options.validate, bool) and options.validate != "both":
        raise ConfigurationError(f"{tool}: validate={options.validate!r}: True, False or 'both' is needed")
    if options.fallback_on is not None and options.fallback is None:
        raise ConfigurationError(f"{tool}: fallback_on={options.fallback_on!r} says when, but there is no fallback")


def _check_times(options: Options, info: ToolInfo) -> None:
    deadline = None if options.retry is None else options.retry.deadline
    if deadline is None:
        return
    if isinstance(options.timeout, (int, float)) and options.timeout > deadline:
        raise ConfigurationError(
            f"tool {info.tool!r}: timeout={options.timeout!r} of one attempt is longer than deadline={deadline!r} of "
            "the whole call; a timeout up to the deadline is needed"
        )
    for name in ("rate_limit", "concurrency"):
        policy = getattr(options, name)
        if policy is not None and policy.max_wait is not None and policy.max_wait > deadline:
            raise ConfigurationError(
                f"tool {info.tool!r}: {name} with max_wait={policy.max_wait!r} may wait longer than "
                f"deadline={deadline!r} allows; a max_wait up to the deadline is needed"
            )
