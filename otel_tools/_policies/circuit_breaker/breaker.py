"""`CircuitBreaker`: refuses attempts of a tool that keeps failing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._call.error_types import REFUSED
from otel_tools._call.outcome import Outcome
from otel_tools._call.safe_logging import log_safely
from otel_tools._call.steps import ended_flow
from otel_tools._option_names import check_option_names
from otel_tools._policies.checks import is_finite_number, matching_errors, problem_of_errors
from otel_tools._policies.circuit_breaker.states import Circuit, Closed, HalfOpen, InARow, InWindow, Open
from otel_tools._policies.pickling import PickledByOptions
from otel_tools.errors import CircuitOpen, ConfigurationError, FailedResult, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.tool_info import ToolInfo
    from otel_tools._call.call import Call, CircuitState
    from otel_tools._call.steps import Flow, Next, Policy
    from otel_tools._policies.circuit_breaker.states import Period

__all__ = ["CircuitBreaker"]

logger = logging.getLogger("otel_tools.policies.circuit")

_MAX_COUNT: Final = 1_000_000
_STATES: Final[tuple[CircuitState, ...]] = ("closed", "half_open", "open")
_NOT_COUNTED: Final = (InvalidArguments, *REFUSED)
"""Errors that say nothing about whether the tool works."""


@check_option_names
@dataclass(frozen=True, slots=True, eq=False)
class CircuitBreaker(PickledByOptions):
    """Stop calling a tool that keeps failing, and try from time to time whether it works again.

    The states are those of the circuit breaker pattern (M. Nygard, *Release It!*). Closed, it lets all attempts through
    and counts. Open, it refuses them with `CircuitOpen`. When the cooldown is over it is half open: it lets a few
    attempts through as probes; their success closes it, a failure opens it for another cooldown. Invalid arguments,
    refusals by a limit, cancelled attempts and cached values count neither way. A probe without a ``timeout`` keeps its
    place for as long as it runs. Tools that are given the same object share its state; one of them that calls another
    needs two places to close it.

    Args:
        failures: Without a ratio, this many failures in a row, within the window, open it. With a ratio, the least
            number of failures in the window that opens it.
        window: Seconds in which failures count. With a ratio the window slides in tenths.
        cooldown: Seconds for which it stays open.
        failure_ratio: Failed attempts to all attempts in the window that open it, above 0 and up to 1.
        half_open: Probes at once, and the number of successes that close it.
        on: The errors that count as failures: exception classes, or a function of the error. By default all but
            those that say nothing about the tool. A returned failure is a `FailedResult` here. Others count neither
            way, as when a back end is well and the answer is "not found".

    Raises:
        ConfigurationError: A value cannot work.
    """

    failures: int = 5
    window: float = 60.0
    cooldown: float = 30.0
    failure_ratio: float | None = None
    half_open: int = 1
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object] | None = None
    _circuit: Circuit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("failures", "half_open"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_COUNT:
                raise ConfigurationError(
                    f"CircuitBreaker({name}={count!r}): a whole number is needed, 1 to {_MAX_COUNT}"
                )
        for name in ("window", "cooldown"):
            if not is_finite_number(seconds := getattr(self, name)) or seconds <= 0:
                raise ConfigurationError(
                    f"CircuitBreaker({name}={seconds!r}): a positive number of seconds is needed, such as 30.0"
                )
        if self.failure_ratio is not None and not (
            is_finite_number(self.failure_ratio) and 0 < self.failure_ratio <= 1
        ):
            raise ConfigurationError(
                f"CircuitBreaker(failure_ratio={self.failure_ratio!r}): a ratio above 0 and up to 1 is needed, "
                "such as 0.5, or None to count failures in a row"
            )
        if self.on is not None and (problem := problem_of_errors(self.on)):
            raise ConfigurationError(f"CircuitBreaker(on={self.on!r}): {problem}")
        closed: Callable[[], Closed] = (
            partial(InARow, self.failures, self.window)
            if self.failure_ratio is None
            else partial(InWindow, self.failures, self.window, self.failure_ratio)
        )
        object.__setattr__(self, "_circuit", Circuit(closed, self.cooldown, self.half_open))

    @property
    def state(self) -> CircuitState:
        """``closed``, ``open`` or ``half_open``, also where the cooldown is over and nobody has tried yet."""
        return _STATES[self.state_number]

    @property
    def state_number(self) -> int:
        """The state as a gauge shows it: 0 closed, 1 half open, 2 open."""
        period = self._circuit.period
        return HalfOpen.number if isinstance(period, Open) and period.until <= clock.now() else period.number

    def open(self, cooldown: float | None = None) -> None:
        """Open it by hand, as before maintenance of what the tools call.

        Args:
            cooldown: Seconds for which it stays open; None takes its own, ``math.inf`` is until `close`.

        Raises:
            ConfigurationError: The cooldown is no number of seconds above 0.
        """
        seconds = self.cooldown if cooldown is None else cooldown
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ConfigurationError(f"CircuitBreaker.open(cooldown={seconds!r}): seconds above 0 are needed")
        self._circuit.set(Open(clock.now() + seconds))

    def close(self) -> None:
        """Close it by hand: the next attempts are let through, and nothing is counted yet."""
        self._circuit.set(self._circuit.closed())

    reset = close
    """Forget all counts and close it; the same as `close`."""

    def policy(self, info: ToolInfo) -> Policy:
        """The circuit breaker policy of one tool: checks the state before each attempt, and counts its outcome."""
        circuit = self._circuit
        counts = _counting(self.on, info.tool)

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                period = circuit.period
                if not isinstance(period, Closed):
                    return (yield from probe(call))
                outcome = yield from inner(call)
                # A success after successes changes nothing: the usual case needs no lock.
                if outcome.result != "ok" or period.noted:
                    _count(circuit, period, outcome, info.tool, counts)
                return outcome

            def probe(call: Call) -> Flow:
                period = circuit.admit(call)
                if not period.lets_through(call):
                    return _refusal(period, info.tool)
                try:
                    outcome = yield from inner(call)
                    _count(circuit, period, outcome, info.tool, counts)
                    return outcome
                finally:
                    if isinstance(period, HalfOpen):
                        period.probes.discard(call)

            return flow

        return policy

    def policy_after_wait(self, info: ToolInfo) -> Policy:
        """A second check of the state, further in: it may have opened while the attempt waited for a limit."""
        circuit = self._circuit

        def policy(inner: Next) -> Next:
            def flow(call: Call) -> Flow:
                period = circuit.period
                return inner(call) if period.lets_through(call) else ended_flow(_refusal(period, info.tool))

            return flow

        return policy


def _counting(on: Any, tool: str) -> Callable[[Outcome], bool]:
    """Whether an outcome with the result ``error`` counts as a failure."""
    if on is None:
        return lambda outcome: not isinstance(outcome.error, _NOT_COUNTED)
    matches = matching_errors(on)

    def counts(outcome: Outcome) -> bool:
        error = outcome.error
        if isinstance(error, _NOT_COUNTED):
            return False
        if error is None:
            error = FailedResult(f"tool {tool!r} returned a failure", tool=tool, result=outcome.value)
        try:
            return matches(error)
        except Exception:  # noqa: BLE001 - the user's own code; logged, and the call goes on
            log_safely(
                logger, logging.ERROR, "on of the circuit breaker of tool %r raised; it counts", tool, exc_info=True
            )
            return True

    return counts


def _count(circuit: Circuit, period: Period, outcome: Outcome, tool: str, counts: Callable[[Outcome], bool]) -> None:
    """Count the outcome of an attempt that a period let through; cancelled ones never get here."""
    if outcome.result == "ok":
        if circuit.succeeded(period):
            log_safely(logger, logging.INFO, "circuit breaker closed: tool %r works again", tool)
    elif outcome.result == "error" and counts(outcome) and circuit.failed(period):
        seconds = circuit.cooldown
        log_safely(
            logger,
            logging.WARNING,
            "circuit breaker opened: tool %r keeps failing; it is tried again in %g s",
            tool,
            seconds,
        )


def _refusal(period: Period, tool: str) -> Outcome:
    if isinstance(period, Open):
        seconds: float | None = max(0.0, period.until - clock.now())
        when = f"its circuit breaker is open and tries again in {seconds:.1f} s"
    else:
        seconds = None
        when = "its circuit breaker is half open and tries it with another call just now"
    message = f"tool {tool!r} failed too often and was not started: {when}"
    return Outcome(None, CircuitOpen(message, tool=tool, retry_after=seconds), "error")
