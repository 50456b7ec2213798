"""Helpers of the cache's tests: a call that records reports, a flow driven by hand, and a store that can fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke, Perform

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.call import CacheResult
    from otel_tools._call.steps import Flow
    from otel_tools.stores._protocols import OnError


class RecordingCall(Call):
    """Records what the cache reports to it."""

    __slots__ = ("answers", "failures", "recoveries")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(args, kwargs)
        self.answers: list[CacheResult] = []
        self.failures: list[str] = []
        self.recoveries: list[Outcome] = []

    def cache_answered(self, result: CacheResult) -> None:
        self.answers.append(result)

    def store_failed(self, operation: str) -> None:
        self.failures.append(operation)

    def recovered(self, outcome: Outcome) -> None:
        self.recoveries.append(outcome)


def tool_info_of(
    function: Callable[..., Any], *, asynchronous: bool = False, generator: bool = False, name: str = "tool"
) -> ToolInfo:
    return ToolInfo(name, function, asynchronous=asynchronous, generator=generator, arguments=Arguments(function))


def inner(_call: Call) -> Flow:
    """The function itself."""
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def run_to_end(flow: Flow, answer: Any = None) -> Outcome:
    """The outcome of a flow that needs nothing more than this answer, and the store."""
    try:
        while True:
            step = flow.send(answer)
            assert isinstance(step, Perform), step
            try:
                answer = Outcome(step.blocking())
            except Exception as error:
                answer = Outcome.of_error(error)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


class TextStore:
    """A `CacheStore` in memory that can be away."""

    def __init__(self, on_error: OnError = "local") -> None:
        self.on_error: OnError = on_error
        self.held: dict[str, tuple[str, float]] = {}
        self.away: set[str] = set()

    def _enter(self, operation: str) -> None:
        if operation in self.away:
            raise ConnectionError(operation)

    def get(self, key: str) -> str | None:
        self._enter("get")
        return self.held[key][0] if key in self.held else None

    def set(self, key: str, value: str, expires_in: float) -> None:
        self._enter("set")
        self.held[key] = value, expires_in

    def delete(self, key: str) -> None:
        self._enter("delete")
        self.held.pop(key, None)

    def clear(self, prefix: str) -> None:
        for key in [key for key in self.held if key.startswith(prefix)]:
            del self.held[key]

    def count(self, prefix: str) -> int:
        return len([key for key in self.held if key.startswith(prefix)])

    async def aget(self, key: str) -> str | None:
        await asyncio.sleep(0)
        return self.get(key)

    async def aset(self, key: str, value: str, expires_in: float) -> None:
        await asyncio.sleep(0)
        self.set(key, value, expires_in)

    async def adelete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.delete(key)

    async def aclear(self, prefix: str) -> None:
        await asyncio.sleep(0)
        self.clear(prefix)

    async def acount(self, prefix: str) -> int:
        await asyncio.sleep(0)
        return self.count(prefix)
