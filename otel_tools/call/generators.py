"""The drivers of generator tools: what a consumer sends, throws or closes reaches the body, and back.

The call lasts from the first item that is asked for to the end of the iteration, and is suspended while the
consumer has control. Both functions give back a real generator function of the same kind as the tool.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_tools.call.steps import result_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from otel_tools.call.plan import Plan

__all__ = ["async_generator_driver", "generator_driver"]


def generator_driver(plan: Plan) -> Callable[..., Generator[Any, Any, Any]]:
    """The driver of a tool that is a generator function."""

    def drive_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        call = plan.open(args, kwargs)
        try:
            body = plan.function(*args, **kwargs)
            # In a list, to be let go of when it is handed over: the consumer alone says how long an item lives.
            item = [next(body)]
            while True:
                call.suspend()
                sent = thrown = None
                try:
                    sent = yield item.pop()
                except BaseException as error:  # noqa: BLE001 - it is the body's to handle
                    thrown = error
                call.resume()
                # Outside the except block, so that what the body raises keeps the context that it would have alone.
                item.append(body.send(sent) if thrown is None else body.throw(thrown))
        except StopIteration as stop:
            call.close(stop.value, None, "cancelled" if isinstance(thrown, GeneratorExit) else "ok")
            return stop.value
        except BaseException as error:
            call.close(None, error, result_of(error))
            raise
        finally:
            thrown = None

    return drive_generator


def async_generator_driver(plan: Plan) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The driver of a tool that is an async generator function."""

    async def drive_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        thrown: BaseException | None = None
        call = plan.open(args, kwargs)
        try:
            body = plan.function(*args, **kwargs)
            item = [await _first(body)]
            while True:
                call.suspend()
                sent = thrown = None
                try:
                    sent = yield item.pop()
                except BaseException as error:  # noqa: BLE001 - it is the body's to handle
                    thrown = error
                call.resume()
                item.append(await (body.asend(sent) if thrown is None else body.athrow(thrown)))
        except StopAsyncIteration:
            call.close(None, None, "cancelled" if isinstance(thrown, GeneratorExit) else "ok")
        except BaseException as error:
            call.close(None, error, result_of(error))
            raise
        finally:
            thrown = None

    return drive_async_generator


def _first(body: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Begin to iterate without the event loop being told of it.

    The loop closes the generators that it knows when it ends. It knows the driver's, which closes the body; were it to
    close both at once, one would find the other running.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return anext(body)
    finally:
        sys.set_asyncgen_hooks(*hooks)
