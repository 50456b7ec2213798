"""Faults on demand: how does a tool, with its policies, behave when what it calls is slow, flaky or down?"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_tools._call.clock import clock
from otel_tools._policies.checks import is_finite_number, is_wait_seconds
from otel_tools._tool.tool import Tool
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

__all__ = ["Faults", "faults"]

Error: TypeAlias = "BaseException | type[BaseException]"


class Faults:
    """What was injected into a tool so far.

    Attributes:
        attempts: How often the function was about to run.
        injected: In how many of them something else happened.
    """

    def __init__(
        self,
        error: Error | None,
        rate: float,
        latency: float | tuple[float, float],
        sequence: Sequence[Any],
        seed: int,
    ) -> None:
        self.attempts = 0
        self.injected = 0
        self._error = error
        self._rate = rate
        self._latency = latency if isinstance(latency, tuple) else (latency, latency)
        self._sequence = list(sequence)
        self._random = random.Random(seed)  # noqa: S311 - faults are no secrets
        self._lock = Lock()

    def next(self) -> tuple[float, Any]:
        """What happens in the next attempt: seconds to wait, and what to raise or return; None runs the function."""
        with self._lock:
            index = self.attempts
            self.attempts += 1
            # Both drawn always, so that one option does not change what the seed gives for the other.
            seconds, draw = self._random.uniform(*self._latency), self._random.random()
            if index < len(self._sequence):
                fault = self._sequence[index]
            else:
                fault = self._error if self._error is not None and draw < self._rate else None
            self.injected += fault is not None
            return seconds, fault


@contextmanager
def faults(  # noqa: PLR0913 - each says what happens
    fn: Callable[..., Any],
    *,
    error: Error | None = None,
    rate: float = 1.0,
    latency: float | tuple[float, float] = 0.0,
    sequence: Sequence[Any] = (),
    seed: int = 0,
) -> Iterator[Faults]:
    """In the block, faults come before the function of a tool, under its policies: they are retried, counted, replaced.

    With a `FakeClock` the latency takes no time, and a latency beyond the tool's timeout times out. The same seed gives
    the same faults. It holds for the calls of this context, as `Tool.override` does; for those of threads that the
    block starts, start them with a copy of the context.

    Args:
        fn: A tool.
        error: What is raised, an exception or its class.
        rate: In which share of the attempts it is raised, from 0 to 1.
        latency: Seconds that each attempt takes before it does anything, or the least and the most of them.
        sequence: What happens in the first attempts, one by one: an exception or its class is raised, None runs the
            function, anything else is returned. After it ``error`` and ``rate`` go on.
        seed: Of the random numbers.

    Yields:
        What was injected so far.

    Raises:
        ConfigurationError: ``fn`` is not a tool, or an argument cannot work.
    """
    owner = getattr(fn, "tool", None)
    if not isinstance(owner, Tool):
        raise ConfigurationError(f"faults({fn!r}): a tool is needed; decorate it with @tool first")
    _check(owner.name, error, rate, latency, sequence)
    injected = Faults(error, rate, latency, sequence, seed)
    with owner.with_function(_faulty(owner, injected)):
        yield injected


def _faulty(owner: Tool, injected: Faults) -> Callable[..., Any]:
    # That of a block around this one, if there is one: faults add up.
    function = owner.current_function

    def run(*args: Any, **kwargs: Any) -> Any:
        seconds, fault = injected.next()
        clock.sleep(seconds)
        return function(*args, **kwargs) if fault is None else _happen(fault)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        seconds, fault = injected.next()
        await clock.asleep(seconds)
        return await function(*args, **kwargs) if fault is None else _happen(fault)

    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        seconds, fault = injected.next()
        clock.sleep(seconds)
        return (yield from function(*args, **kwargs)) if fault is None else _happen(fault)

    async def agenerate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        seconds, fault = injected.next()
        await clock.asleep(seconds)
        if fault is None:
            async for item in function(*args, **kwargs):
                yield item
        else:
            _happen(fault)

    return {"function": run, "coroutine": arun, "generator": generate, "async_generator": agenerate}[owner.kind]


def _check(tool: str, error: Any, rate: Any, latency: Any, sequence: Any) -> None:
    if error is not None and not _is_exception(error):
        raise ConfigurationError(f"faults({tool!r}, error={error!r}): an exception or its class is needed")
    if not is_finite_number(rate) or not 0 <= rate <= 1:
        raise ConfigurationError(f"faults({tool!r}, rate={rate!r}): a rate from 0 to 1 is needed")
    bounds = latency if isinstance(latency, tuple) else (latency, latency)
    if len(bounds) != 2 or not all(is_wait_seconds(bound) for bound in bounds) or bounds[0] > bounds[1]:  # noqa: PLR2004 - a pair
        raise ConfigurationError(
            f"faults({tool!r}, latency={latency!r}): a latency of 0 s or more, or the least and the most, is needed"
        )
    if isinstance(sequence, (str, bytes)) or not isinstance(sequence, Sequence):
        raise ConfigurationError(f"faults({tool!r}, sequence={sequence!r}): a list is needed")


def _is_exception(fault: Any) -> bool:
    return isinstance(fault, BaseException) or (inspect.isclass(fault) and issubclass(fault, BaseException))


def _happen(fault: Any) -> Any:
    if _is_exception(fault):
        raise fault
    return fault
