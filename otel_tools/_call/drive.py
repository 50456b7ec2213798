"""The drivers: the only code that calls a tool, sleeps, awaits or waits.

`function_driver` and `coroutine_driver` perform the same steps for the same flows, one by blocking and one by
awaiting. They return the function that the user's callers call: a frame around it would cost time on every call.
"""

from __future__ import annotations

import contextvars
import inspect
import weakref
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from otel_tools._call.clock import clock
from otel_tools._call.outcome import EXPIRED, TOO_MANY_ABANDONED, Outcome, outcome_from, outcome_name_of, outcome_of
from otel_tools._call.scope import Scope, current_scope, reset_current_scope
from otel_tools._call.steps import Invoke, Perform, Sleep, Wait, event_loop_is_running
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from otel_tools._call.call import Call
    from otel_tools._call.plan import Plan
    from otel_tools._call.steps import Flow, Next, Step

T = TypeVar("T")

_ASYNCIO_ONLY = (
    "the policies of async tools (timeouts, waits of retries and limits, shared cache misses) need asyncio, and no "
    "event loop of it runs here: under trio, call the tool through anyio's asyncio backend, or leave these options out"
)

__all__ = ["aperform", "arun_steps", "coroutine_driver", "function_driver", "perform", "run_steps"]


def function_driver(plan: Plan) -> Callable[..., Any]:
    """The driver of a sync tool.

    If the function returns a coroutine, the call goes on as an async one: the caller gets a coroutine too, and the call
    lasts until that has been awaited.

    The functions here hold the plan and nothing else: cloudpickle pickles what they hold.
    """

    def drive(*args: Any, **kwargs: Any) -> Any:
        if plan.overridden and (other := plan.override.get(None)) is not None:
            return other.run(*args, **kwargs)
        # The same steps without a generator, and without a frame of this package in the middle of a traceback.
        call = plan.open(args, kwargs)
        try:
            value = plan.function(*args, **kwargs)
        except BaseException as error:
            call.close(None, error, outcome_name_of(error))
            raise
        if type(value) is CoroutineType:
            return _hand_over(call, value, _afinish(call, value))
        call.close(value)
        return value

    if plan.flow is None:
        return drive

    def drive_flow(*args: Any, **kwargs: Any) -> Any:
        if plan.overridden and (other := plan.override.get(None)) is not None:
            return other.run(*args, **kwargs)
        return _flow(plan, plan.open(args, kwargs), plan.flow)  # type: ignore[arg-type] # not None, see above

    return drive_flow


def coroutine_driver(plan: Plan) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The driver of a tool that is a coroutine function."""

    async def drive(*args: Any, **kwargs: Any) -> Any:
        if plan.overridden and (other := plan.override.get(None)) is not None:
            return await other.run(*args, **kwargs)
        call = plan.open(args, kwargs)
        try:
            value = await plan.function(*args, **kwargs)
        except BaseException as error:
            call.close(None, error, outcome_name_of(error))
            raise
        call.close(value)
        return value

    if plan.flow is None:
        return drive

    async def drive_flow(*args: Any, **kwargs: Any) -> Any:
        if plan.overridden and (other := plan.override.get(None)) is not None:
            return await other.run(*args, **kwargs)
        return await _aflow(plan, plan.open(args, kwargs), plan.flow)  # type: ignore[arg-type] # not None, see above

    return drive_flow


def _flow(plan: Plan, call: Call, flow_of: Next) -> Any:
    """Run the flow of a sync call to its end."""
    flow: Flow | None = None
    answer: Any = None
    try:
        flow = flow_of(call)
        while True:
            step = flow.send(answer)
            if type(step) is Invoke:
                answer = _invoke(plan, call, step)
                if type(answer.value) is CoroutineType:
                    return _hand_over(call, answer.value, _aflow(plan, call, flow_of, (flow, step, answer.value)))
            else:
                answer = perform(step)
    except StopIteration as stop:
        answer = stop.value
    except BaseException as error:
        if flow is not None:
            flow.close()
        call.close(None, error, outcome_name_of(error))
        raise
    return _end(call, answer)


async def _aflow(
    plan: Plan, call: Call, flow_of: Next, begun: tuple[Flow, Invoke, Awaitable[Any]] | None = None
) -> Any:
    """Run the flow of an async call to its end, from its start or from an attempt that has already begun."""
    flow: Flow | None = None
    answer: Any = None
    try:
        if begun is None:
            flow = flow_of(call)
        else:
            flow, step, pending = begun
            call.resume()
            answer = await _ainvoke(plan, call, step, pending)
        while True:
            next_step = flow.send(answer)
            if type(next_step) is Invoke:
                answer = await _ainvoke(plan, call, next_step)
            else:
                answer = await aperform(next_step)
    except StopIteration as stop:
        answer = stop.value
    except BaseException as error:
        if flow is not None:
            flow.close()
        if type(error) is RuntimeError and not event_loop_is_running():
            # The function's own errors are outcomes: this is asyncio's, of a step.
            explained = ConfigurationError(_ASYNCIO_ONLY)
            call.close(None, explained, "error")
            raise explained from error
        call.close(None, error, outcome_name_of(error))
        raise
    return _end(call, answer)


async def _afinish(call: Call, pending: Awaitable[Any]) -> Any:
    """Await the coroutine that a sync function returned, as the rest of its call."""
    call.resume()
    try:
        value = await pending
    except BaseException as error:
        call.close(None, error, outcome_name_of(error))
        raise
    call.close(value)
    return value


def _hand_over(call: Call, coroutine: Any, rest: Any) -> Any:
    """Return the rest of the call for the caller to await, under the name of the function's own coroutine."""
    call.suspend()
    rest.__name__, rest.__qualname__ = coroutine.__name__, coroutine.__qualname__
    # A call whose coroutine is never awaited must not stay active for ever. Python warns of it as usual.
    weakref.finalize(rest, _abandon, call, coroutine).atexit = False
    return rest


def _abandon(call: Call, coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        coroutine.close()
    finally:
        call.close(result="cancelled")


def _invoke(plan: Plan, call: Call, step: Invoke) -> Outcome:
    function = plan.function if step.function is None else step.function
    if step.timeout is not None:
        return _invoke_within(plan, call, function, step.timeout)
    if call.scope is None:
        return outcome_of(function, call.args, call.kwargs)
    token = current_scope.set(call.scope)
    try:
        return outcome_of(function, call.args, call.kwargs)
    finally:
        reset_current_scope(token)


def _invoke_within(plan: Plan, call: Call, function: Callable[..., Any], seconds: float) -> Outcome:
    """Run the function on another thread, and wait for it until its timeout."""
    scope = Scope(call, clock.now() + seconds, call.scope or current_scope.get())
    context = contextvars.copy_context()
    context.run(current_scope.set, scope)
    try:
        future = plan.thread_budget.start(context, function, call.args, call.kwargs)
    except RuntimeError as error:
        # No thread can be started.
        return Outcome.of_error(error)
    if future is None:
        return TOO_MANY_ABANDONED
    done = False
    try:
        done = clock.wait(future, seconds)
    finally:
        # Ctrl-C ends the wait too.
        if not done:
            scope.given_up = True
            plan.thread_budget.abandon(future, call)
    return future.result() if done else EXPIRED


def _ainvoke(plan: Plan, call: Call, step: Invoke, pending: Awaitable[Any] | None = None) -> Awaitable[Outcome]:
    """An awaitable that runs a function, or awaits what it has already returned."""
    # Not a coroutine function: each coroutine around the tool's own costs time.
    function = plan.function if step.function is None else step.function
    if step.timeout is not None:
        return _ainvoke_within(call, function, step.timeout, pending)
    if call.scope is None:
        return _aoutcome_of(call, function, pending)
    return _ainvoke_in(call.scope, call, function, pending)


async def _aoutcome_of(call: Call, function: Callable[..., Any], pending: Awaitable[Any] | None) -> Outcome:
    try:
        value = function(*call.args, **call.kwargs) if pending is None else pending
        # A fallback of an async tool may be a sync function.
        return outcome_from(await value if type(value) is CoroutineType or inspect.isawaitable(value) else value)
    except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
        return Outcome.of_error(error)


async def _ainvoke_in(
    scope: Scope, call: Call, function: Callable[..., Any], pending: Awaitable[Any] | None
) -> Outcome:
    token = current_scope.set(scope)
    try:
        return await _aoutcome_of(call, function, pending)
    finally:
        reset_current_scope(token)


async def _ainvoke_within(
    call: Call, function: Callable[..., Any], seconds: float, pending: Awaitable[Any] | None
) -> Outcome:
    scope = Scope(call, clock.now() + seconds, call.scope or current_scope.get())
    outcome = EXPIRED
    try:
        async with clock.timeout(seconds) as limit:
            # Set inside the timeout, because the loop keeps a timer's context for a while. The rest repeats
            # `_aoutcome_of`, which saves a coroutine.
            token = current_scope.set(scope)
            try:
                value = function(*call.args, **call.kwargs) if pending is None else pending
                outcome = outcome_from(
                    await value if type(value) is CoroutineType or inspect.isawaitable(value) else value
                )
            except Exception as error:  # noqa: BLE001 - as there
                outcome = Outcome.of_error(error)
            finally:
                reset_current_scope(token)
    except TimeoutError:
        # The timeout's own error: that of the function is in an outcome.
        return EXPIRED
    finally:
        scope.given_up = outcome is EXPIRED
    # The timeout has passed even if the function turned its cancellation into an error of its own.
    return EXPIRED if limit.expired() and outcome.error is not None else outcome


def perform(step: Step) -> Any:
    """Perform a step of a sync call."""
    if isinstance(step, Sleep):
        return clock.sleep(max(0.0, step.seconds))
    if isinstance(step, Perform):
        try:
            return Outcome(step.blocking())
        except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
            return Outcome.of_error(error)
    if isinstance(step, Wait):
        return clock.wait(step.future, step.timeout)
    raise TypeError(f"{step!r} is no step between attempts")


async def aperform(step: Step) -> Any:
    """Perform a step of an async call."""
    if isinstance(step, Sleep):
        return await clock.asleep(max(0.0, step.seconds))
    if isinstance(step, Perform):
        try:
            return Outcome(await step.awaiting())
        except Exception as error:  # noqa: BLE001 - the policies decide what becomes of it
            return Outcome.of_error(error)
    if isinstance(step, Wait):
        return await clock.await_future(step.future, step.timeout)
    raise TypeError(f"{step!r} is no step between attempts")


def run_steps(steps: Generator[Step, Any, T]) -> T:
    """Perform steps outside of a call, none of which runs a function, and return what they return."""
    answer: Any = None
    try:
        while True:
            answer = perform(steps.send(answer))
    except StopIteration as stop:
        return cast("T", stop.value)
    finally:
        steps.close()


async def arun_steps(steps: Generator[Step, Any, T]) -> T:
    """As `run_steps`."""
    answer: Any = None
    try:
        while True:
            answer = await aperform(steps.send(answer))
    except StopIteration as stop:
        return cast("T", stop.value)
    finally:
        steps.close()


def _end(call: Call, outcome: Outcome) -> Any:
    """Close the call, and return the value or raise the exception object of the function."""
    call.close(outcome.value, outcome.error, outcome.result, outcome.error_type)
    # The traceback keeps these frames and every object that they refer to: drop the references.
    error, outcome.error = outcome.error, None
    if error is None:
        return outcome.value
    try:
        raise error
    finally:
        del error
