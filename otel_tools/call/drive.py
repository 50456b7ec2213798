"""The drivers: the only code that calls a tool, sleeps, awaits or waits.

`function_driver` and `coroutine_driver` perform the same steps for the same flows, one by blocking and one by
awaiting. What they give back is the function that the user's callers call: every frame around it would be paid for
on every call.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import weakref
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from otel_tools.call.steps import Invoke, Outcome, Sleep, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from otel_tools.call.plan import Plan
    from otel_tools.call.steps import Call, Flow, Wait

__all__ = ["coroutine_driver", "function_driver"]


def function_driver(plan: Plan) -> Callable[..., Any]:
    """The driver of a sync tool.

    A function that turns out to return a coroutine goes on as an async call: what comes back is a coroutine too, and
    the call lasts until it has been awaited.
    """
    open_call, function, flow_of = plan.open, plan.function, plan.flow

    def drive(*args: Any, **kwargs: Any) -> Any:
        # The same steps without a generator, and with no frame of ours in the middle of a traceback.
        call = open_call(args, kwargs)
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            call.close(None, error, result_of(error))
            raise
        if type(value) is CoroutineType:
            return _hand_over(call, value, _afinish(call, value))
        call.close(value)
        return value

    if flow_of is None:
        return drive

    def drive_flow(*args: Any, **kwargs: Any) -> Any:
        call = open_call(args, kwargs)
        return _flow(plan, call, flow_of(call))

    return drive_flow


def coroutine_driver(plan: Plan) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The driver of a tool that is a coroutine function."""
    open_call, function, flow_of = plan.open, plan.function, plan.flow

    async def drive(*args: Any, **kwargs: Any) -> Any:
        call = open_call(args, kwargs)
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            call.close(None, error, result_of(error))
            raise
        call.close(value)
        return value

    if flow_of is None:
        return drive

    async def drive_flow(*args: Any, **kwargs: Any) -> Any:
        call = open_call(args, kwargs)
        return await _aflow(plan, call, flow_of(call), None)

    return drive_flow


def _flow(plan: Plan, call: Call, flow: Flow) -> Any:
    """Run a flow to its end by blocking."""
    answer: Any = None
    try:
        while True:
            step = flow.send(answer)
            if isinstance(step, Invoke):
                answer = _invoke(plan, call)
                if type(answer.value) is CoroutineType:
                    return _hand_over(call, answer.value, _aflow(plan, call, flow, answer.value))
            elif isinstance(step, Sleep):
                time.sleep(max(0.0, step.seconds))
                answer = None
            else:
                answer = _wait(step)
    except StopIteration as stop:
        answer = stop.value
    except BaseException as error:
        flow.close()
        call.close(None, error, result_of(error))
        raise
    return _end(call, answer)


async def _aflow(plan: Plan, call: Call, flow: Flow, pending: Awaitable[Any] | None) -> Any:
    """Run a flow to its end by awaiting, from its start or from an attempt that already began."""
    answer: Any = None
    try:
        if pending is not None:
            call.resume()
            answer = await _aoutcome(pending)
        while True:
            step = flow.send(answer)
            if isinstance(step, Invoke):
                answer = await _ainvoke(plan, call)
            elif isinstance(step, Sleep):
                await asyncio.sleep(max(0.0, step.seconds))
                answer = None
            else:
                answer = await _await(step)
    except StopIteration as stop:
        answer = stop.value
    except BaseException as error:
        flow.close()
        call.close(None, error, result_of(error))
        raise
    return _end(call, answer)


async def _afinish(call: Call, pending: Awaitable[Any]) -> Any:
    """Await what a sync function returned, as the rest of its call."""
    call.resume()
    try:
        value = await pending
    except BaseException as error:
        call.close(None, error, result_of(error))
        raise
    call.close(value)
    return value


def _hand_over(call: Call, coroutine: Any, rest: Any) -> Any:
    """Give the caller the rest of the call to await, under the name of the coroutine that it stands for."""
    call.suspend()
    rest.__name__, rest.__qualname__ = coroutine.__name__, coroutine.__qualname__
    # One that nobody awaits must not stay active for ever. Python's warning about it is left to Python.
    weakref.finalize(rest, _abandon, call, coroutine).atexit = False
    return rest


def _abandon(call: Call, coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        coroutine.close()
    finally:
        call.close(result="cancelled")


def _invoke(plan: Plan, call: Call) -> Outcome:
    try:
        return Outcome(plan.function(*call.args, **call.kwargs))
    except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
        return Outcome.of_error(error)


async def _ainvoke(plan: Plan, call: Call) -> Outcome:
    try:
        return Outcome(await plan.function(*call.args, **call.kwargs))
    except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
        return Outcome.of_error(error)


async def _aoutcome(pending: Awaitable[Any]) -> Outcome:
    try:
        return Outcome(await pending)
    except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
        return Outcome.of_error(error)


def _wait(step: Wait) -> bool:
    return bool(concurrent.futures.wait([step.future], step.timeout).done)


async def _await(step: Wait) -> bool:
    # asyncio.wait() leaves what it waits for alone when it is cancelled or out of time, so other waiters go on.
    done, _ = await asyncio.wait([asyncio.wrap_future(step.future)], timeout=step.timeout)
    return bool(done)


def _end(call: Call, outcome: Outcome) -> Any:
    """Close the call and give the caller what is theirs: the value, or the very exception object."""
    call.close(outcome.value, outcome.error, outcome.result, outcome.error_type)
    # The frames that this passes through are in the traceback of the error, and so is all that they still name.
    error, outcome.error = outcome.error, None
    if error is None:
        return outcome.value
    try:
        raise error
    finally:
        del error
