"""Iterators that look at each event of a stream of the `openai` client while the user reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from otel_tools._model.call_ids.response_tool_calls import StreamAssembler
from otel_tools._telemetry.guard import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._model.call_ids.pending_calls import RequestedCall

__all__ = ["observed_iterator"]


def observed_iterator(iterator: Any, found: Callable[[list[RequestedCall]], None]) -> Any:
    """The iterator of a stream, sync or async, that reports the tool calls in it; as it is where it already does.

    Args:
        iterator: The stream's own.
        found: Called with the tool calls that an event completes. What it raises is logged and goes no further.
    """
    if isinstance(iterator, _ObservedIterator):
        return iterator
    return (_SyncIterator if isinstance(iterator, Iterator) else _AsyncIterator)(iterator, found)


class _ObservedIterator:
    def __init__(self, inner: Any, found: Callable[[list[RequestedCall]], None]) -> None:
        self._inner = inner
        self._found = found
        self._assembler = StreamAssembler()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _observe(self, event: Any) -> Any:
        try:
            self._found(self._assembler.add(event))
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("remembering what the model asked for")
        return event

    def _finish(self) -> None:
        try:
            self._found(self._assembler.finish())
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("remembering what the model asked for")


class _SyncIterator(_ObservedIterator):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._observe(next(self._inner))
        except StopIteration:
            self._finish()
            raise


class _AsyncIterator(_ObservedIterator):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._observe(await anext(self._inner))
        except StopAsyncIteration:
            self._finish()
            raise
