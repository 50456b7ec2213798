"""Fault injection: latency, errors and results in place of what a tool's function does."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_tools._call.clock import clock
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import is_finite_number, is_wait_seconds
from otel_tools._tool.tool import Tool
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

__all__ = ["Faults", "faults"]

Error: TypeAlias = "BaseException | type[BaseException]"


class Faults:
    """The faults of one tool, and how many were injected so far.

    Attributes:
        attempts: How many attempts were made to run the function.
        injected: How many of them raised or returned a fault instead.
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
        """Return the latency of the next attempt in seconds, and what it raises or returns; None runs the function."""
        with self._lock:
            index = self.attempts
            self.attempts += 1
            # Both are drawn each time, so that with the same seed one option does not change the draws of the other.
            seconds, draw = self._random.uniform(*self._latency), self._random.random()
            if index < len(self._sequence):
                fault = self._sequence[index]
            else:
                fault = self._error if self._error is not None and draw < self._rate else None
            self.injected += fault is not None
            return seconds, fault


@check_option_names
@contextmanager
def faults(  # noqa: PLR0913 - each is one kind of fault, by keyword
    fn: Callable[..., Any],
    *,
    error: Error | None = None,
    rate: float = 1.0,
    latency: float | tuple[float, float] = 0.0,
    sequence: Sequence[Any] = (),
    seed: int = 0,
) -> Iterator[Faults]:
    """Inject faults into a tool for the calls made in the block.

    The policies see a fault as the function's own: they retry, count and replace it. With a `FakeClock` the latency
    takes no time, and a latency beyond the tool's timeout times out. The same seed gives the same faults. As with
    `Tool.override`, calls of this context are affected; start threads with a copy of the context to affect theirs.

    Args:
        fn: A tool.
        error: The exception, or its class, that attempts raise.
        rate: The share of attempts that raise it, from 0 to 1.
        latency: Seconds that each attempt waits first, or a pair of the least and the most, drawn for each attempt.
        sequence: What the first attempts do, one by one: an exception or its class is raised, None runs the function,
            any other value is returned. Later attempts follow ``error`` and ``rate``.
        seed: The seed of the random numbers.

    Yields:
        The counts of attempts and of injected faults.

    Raises:
        ConfigurationError: ``fn`` is not a tool, or an argument cannot work.
    """
    decorated = getattr(fn, "tool", None)
    if not isinstance(decorated, Tool):
        raise ConfigurationError(f"faults({fn!r}): a tool is needed; decorate it with @tool first")
    _check(decorated.name, error, rate, latency, sequence)
    injected = Faults(error, rate, latency, sequence, seed)
    with decorated.with_function(_with_faults(decorated, injected)):
        yield injected


def _with_faults(decorated: Tool, injected: Faults) -> Callable[..., Any]:
    # Inside another block this is that block's function: the faults of both happen.
    function = decorated.current_function

    def run(*args: Any, **kwargs: Any) -> Any:
        seconds, fault = injected.next()
        clock.sleep(seconds)
        return function(*args, **kwargs) if fault is None else _raise_or_return(fault)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        seconds, fault = injected.next()
        await clock.asleep(seconds)
        return await function(*args, **kwargs) if fault is None else _raise_or_return(fault)

    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        seconds, fault = injected.next()
        clock.sleep(seconds)
        return (yield from function(*args, **kwargs)) if fault is None else _raise_or_return(fault)

    async def agenerate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        seconds, fault = injected.next()
        await clock.asleep(seconds)
        if fault is None:
            async for item in function(*args, **kwargs):
                yield item
        else:
            _raise_or_return(fault)

    return {"function": run, "coroutine": arun, "generator": generate, "async_generator": agenerate}[decorated.kind]


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


def _raise_or_return(fault: Any) -> Any:
    if _is_exception(fault):
        raise fault
    return fault
