"""The drivers of generator tools: what a consumer sends, throws or closes reaches the body, and back.

The call lasts from the first item that is asked for to the end of the iteration, and is suspended while the
consumer has control. Both functions give back a real generator function of the same kind as the tool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_tools.call.steps import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from otel_tools.call.plan import Plan

__all__ = ["async_generator_driver", "generator_driver"]


def generator_driver(plan: Plan) -> Callable[..., Generator[Any, Any, Any]]:
    """The driver of a tool that is a generator function."""

    def drive_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = plan.open(args, kwargs)
        try:
            body = plan.function(*args, **kwargs)
            item = next(body)
            while True:
                call.suspend()
                sent: Any = None
                thrown: BaseException | None = None
                try:
                    sent = yield item
                except BaseException as error:  # noqa: BLE001 - it is the body's to handle
                    thrown = error
                call.resume()
                # Outside the except block, so that what the body raises keeps the context that it would have alone.
                if thrown is None:
                    item = body.send(sent)
                elif isinstance(thrown, GeneratorExit):
                    # The body may end with a value, which close() hands to the consumer since Python 3.13.
                    value = body.close()
                    call.close(Outcome.of_error(thrown))
                    return value
                else:
                    item = body.throw(thrown)
        except StopIteration as stop:
            call.close(Outcome(stop.value))
            return stop.value
        except BaseException as error:
            call.close(Outcome.of_error(error))
            raise
        finally:
            thrown = None

    return drive_generator


def async_generator_driver(plan: Plan) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The driver of a tool that is an async generator function."""

    async def drive_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = plan.open(args, kwargs)
        try:
            body = plan.function(*args, **kwargs)
            item = await anext(body)
            while True:
                call.suspend()
                sent: Any = None
                thrown: BaseException | None = None
                try:
                    sent = yield item
                except BaseException as error:  # noqa: BLE001 - it is the body's to handle
                    thrown = error
                call.resume()
                if thrown is None:
                    item = await body.asend(sent)
                elif isinstance(thrown, GeneratorExit):
                    await body.aclose()
                    call.close(Outcome.of_error(thrown))
                    return
                else:
                    item = await body.athrow(thrown)
        except StopAsyncIteration:
            call.close(Outcome())
        except BaseException as error:
            call.close(Outcome.of_error(error))
            raise
        finally:
            thrown = None

    return drive_async_generator
