"""The drivers of generator tools. They pass on what a consumer sends, throws or closes, and what the body yields.

The call lasts from the request for the first item to the end of the iteration. It is suspended while the consumer has
control. Its policies decide whether the iteration may begin, and keep what they hold (a slot) until it ends. Both
functions return a real generator function of the same kind as the tool.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_tools._call.drive import aperform, perform
from otel_tools._call.outcome import Outcome, outcome_name_of
from otel_tools._call.steps import Invoke

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from otel_tools._call.call import Call
    from otel_tools._call.outcome import OutcomeName
    from otel_tools._call.plan import Plan
    from otel_tools._call.steps import Flow

__all__ = ["async_generator_driver", "generator_driver"]


def generator_driver(plan: Plan) -> Callable[..., Generator[Any, Any, Any]]:
    """The driver of a tool that is a generator function."""

    def drive_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        chosen = plan.current if plan.overridden else plan
        thrown: BaseException | None = None
        flow: Flow | None = None
        call = chosen.open(args, kwargs)
        try:
            if chosen.flow is not None:
                flow = _admit(call, chosen.flow(call))
            body = chosen.function(*call.args, **call.kwargs)
            # In a list, so that no reference stays here after the item is yielded: its lifetime is the consumer's.
            item = [next(body)]
            while True:
                call.suspend()
                sent = thrown = None
                try:
                    sent = yield item.pop()
                except BaseException as error:  # noqa: BLE001 - it is the body's to handle
                    thrown = error
                call.resume()
                # Outside the except block, so that an exception of the body keeps the context it has without a driver.
                item.append(body.send(sent) if thrown is None else body.throw(thrown))
        except StopIteration as stop:
            _conclude(call, flow, stop.value, None, "cancelled" if isinstance(thrown, GeneratorExit) else "ok")
            return stop.value
        except BaseException as error:
            _conclude(call, flow, None, error, outcome_name_of(error))
            raise
        finally:
            thrown = None

    return drive_generator


def async_generator_driver(plan: Plan) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The driver of a tool that is an async generator function."""

    async def drive_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        chosen = plan.current if plan.overridden else plan
        thrown: BaseException | None = None
        flow: Flow | None = None
        call = chosen.open(args, kwargs)
        try:
            if chosen.flow is not None:
                flow = await _aadmit(call, chosen.flow(call))
            body = chosen.function(*call.args, **call.kwargs)
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
            _conclude(call, flow, None, None, "cancelled" if isinstance(thrown, GeneratorExit) else "ok")
        except BaseException as error:
            _conclude(call, flow, None, error, outcome_name_of(error))
            raise
        finally:
            thrown = None

    return drive_async_generator


def _admit(call: Call, flow: Flow) -> Flow:
    """Perform the policies' steps until the body may run; raise their error if it may not."""
    answer: Any = None
    try:
        while type(step := flow.send(answer)) is not Invoke:
            answer = perform(step)
    except StopIteration as stop:
        refusal = stop.value
    except BaseException:
        flow.close()
        raise
    else:
        return flow
    raise _refused(call, refusal)


async def _aadmit(call: Call, flow: Flow) -> Flow:
    """As `_admit`, by awaiting."""
    answer: Any = None
    try:
        while type(step := flow.send(answer)) is not Invoke:
            answer = await aperform(step)
    except StopIteration as stop:
        refusal = stop.value
    except BaseException:
        flow.close()
        raise
    else:
        return flow
    raise _refused(call, refusal)


def _refused(call: Call, outcome: Outcome) -> BaseException:
    """The error of a call whose body never ran."""
    call.close(outcome.value, outcome.error, outcome.result, outcome.error_type)
    return outcome.error or RuntimeError("a policy ended the iteration before it began, and gave no reason")


def _conclude(call: Call, flow: Flow | None, value: Any, error: BaseException | None, result: OutcomeName) -> None:
    """Report to the policies and the call how the iteration ended."""
    error_type = None
    if flow is not None:
        if isinstance(error, Exception) or result == "ok":
            try:
                flow.send(Outcome(value, error, result))
            except StopIteration as stop:
                result, error_type = stop.value.result, stop.value.error_type
        flow.close()
    call.close(value, error, result, error_type)


def _first(body: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Begin to iterate without registering the body with the event loop.

    When the loop ends, it closes all generators that are registered with it, at once. The driver's is one of them and
    closes the body; if the body were registered too, one of the two would find the other running.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return anext(body)
    finally:
        sys.set_asyncgen_hooks(*hooks)
