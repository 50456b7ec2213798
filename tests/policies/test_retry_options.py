"""The options of `Retry`: values that cannot work and contradictions are refused at once."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import re
from typing import Any

import pytest
import tenacity
import tenacity.asyncio

from otel_tools import Retry, transient
from otel_tools.errors import CircuitOpen, ConfigurationError, InvalidArguments


async def _later(*_: object) -> bool:
    return True


class _Later:
    async def __call__(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 2.0},
        {"attempts": True},
        {"attempts": None},
        {"attempts": "3"},
        {"initial": -0.1},
        {"initial": math.nan},
        {"initial": math.inf},
        {"initial": True},
        {"initial": "1"},
        {"max": -1},
        {"max": math.inf},
        {"max": None},
        {"multiplier": 0.9},
        {"multiplier": math.nan},
        {"multiplier": "2"},
        {"jitter": "half"},
        {"jitter": True},
        {"jitter": []},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": math.inf},
        {"deadline": math.nan},
        {"deadline": False},
        {"deadline": "10"},
        {"respect_retry_after": None},
        {"respect_retry_after": 1},
        {"on": None},
        {"on": "ValueError"},
        {"on": ()},
        {"on": [ValueError]},
        {"on": (ValueError, "KeyError")},
        {"on": int},
        {"on": KeyboardInterrupt},
        {"on": BaseException},
        {"on": InvalidArguments},
        {"on": (ValueError, CircuitOpen)},
        {"on": _later},
        {"on": _Later()},
        {"stop": 3},
        {"stop": tenacity.stop_after_attempt},
        {"stop": _later},
        {"wait": 1.0},
        {"wait": tenacity.wait_fixed},
        {"wait": _Later()},
        {"retry": ValueError},
        {"retry": tenacity.asyncio.retry_if_exception(_later)},
        {"retry": tenacity.retry_never | tenacity.asyncio.retry_if_result(_later)},
        {"retry": tenacity.retry_any(tenacity.asyncio.retry_if_result(_later))},
        {"retry": tenacity.retry_if_exception(_later)},  # type: ignore[arg-type] # the mistake
        {"wait": tenacity.wait_combine(_later)},  # type: ignore[arg-type] # the mistake
    ],
    # Without addresses in memory: a test has the same name in every process.
    ids=lambda options: "-".join(
        re.sub(r" at 0x[0-9a-f]+", "", f"{name}-{value!r}")[:60] for name, value in options.items()
    ),
)
def test_an_option_that_cannot_work_is_refused_by_name_and_value(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Retry(**options)
    ((name, value),) = options.items()
    assert str(caught.value).startswith(f"Retry({name}={value!r}): ")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"on": ValueError, "retry": tenacity.retry_always}, ("on", "retry")),
        ({"attempts": 3, "stop": tenacity.stop_never}, ("attempts", "stop")),
        ({"initial": 0.5, "wait": tenacity.wait_none()}, ("initial", "wait")),
        ({"multiplier": 2.0, "wait": tenacity.wait_none()}, ("multiplier", "wait")),
        ({"initial": 5, "max": 4}, ("max", "initial")),
    ],
)
def test_two_options_that_contradict_are_refused_by_both_names(options: dict[str, Any], named: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Retry(**options)
    assert all(f"{name}=" in str(caught.value) for name in named)


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 1},
        {"initial": 0},
        {"initial": 0, "max": 0},
        {"multiplier": 1},
        {"jitter": None},
        {"deadline": 1},
        {"on": (ConnectionError, TimeoutError)},
        {"on": Exception},
        {"stop": tenacity.stop_after_delay(3) | tenacity.stop_after_attempt(3)},
        {"wait": tenacity.wait_none(), "max": 5},
        {"wait": lambda _: 1.0, "stop": lambda _: True, "retry": lambda _: False},
    ],
)
def test_options_that_can_work_are_accepted(options: dict[str, Any]) -> None:
    policy = Retry(**options)
    assert all(getattr(policy, name) == value for name, value in options.items())


def test_the_defaults_are_what_the_documentation_says() -> None:
    defaults = {name: value.default for name, value in inspect.signature(Retry).parameters.items()}
    assert defaults == {
        "attempts": 3,
        "initial": 0.5,
        "max": 30.0,
        "multiplier": 2.0,
        "jitter": "full",
        "on": transient,
        "stop": None,
        "wait": None,
        "retry": None,
        "deadline": None,
        "respect_retry_after": True,
    }


def test_a_default_gives_way_when_another_option_is_replaced() -> None:
    policy = dataclasses.replace(Retry(), stop=tenacity.stop_never, wait=tenacity.wait_none())
    assert dataclasses.replace(policy, deadline=3.0).deadline == 3.0
    with pytest.raises(ConfigurationError, match="contradicts"):
        dataclasses.replace(Retry(4), stop=tenacity.stop_never)


def test_options_are_frozen_and_equal_only_to_themselves() -> None:
    policy = Retry()
    assert policy == policy  # noqa: PLR0124 - identity is the point
    assert policy != Retry()
    assert copy.copy(policy).attempts == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.attempts = 4  # type: ignore[misc] # the mistake
