"""The fallback: when it serves, and which functions can stand in for a tool."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Retry, remaining
from otel_tools import tool as decorate
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke
from otel_tools._policies.fallback import fallback
from otel_tools._telemetry import names
from otel_tools.errors import CircuitOpen, ConfigurationError, ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Flow
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


class RecordingCall(Call):
    """A call that records what is reported to it."""

    def __init__(self) -> None:
        super().__init__((), {})
        self.told: list[Outcome] = []

    def recovered(self, outcome: Outcome) -> None:
        self.told.append(outcome)


def work(_call: Call) -> Flow:
    return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome


def tool_info_of(function: Callable[..., Any], *, asynchronous: bool = False) -> ToolInfo:
    return ToolInfo("search", function, asynchronous=asynchronous, generator=False, arguments=Arguments(function))


def tool(symbol: str, unit: str = "eur") -> Any:
    """Stands for the tool."""


def served(symbol: str, unit: str = "eur") -> Any:
    """Stands for the fallback."""


class Run:
    """One call, driven by hand.

    Attributes:
        asked: Whether the fallback was run.
        outcome: How the call ended.
    """

    def __init__(self, first: Outcome, second: Outcome | None = None, on: Any = None) -> None:
        self.call = RecordingCall()
        flow = fallback(served, on, tool_info_of(tool))(work)(self.call)
        next(flow)
        self.asked = False
        answer = first
        try:
            while True:
                assert flow.send(answer) == Invoke(served)
                assert not self.asked
                assert second is not None
                self.asked, answer = True, second
        except StopIteration as stop:
            self.outcome: Outcome = stop.value


def test_a_success_is_left_alone() -> None:
    for result in ("ok", "cached", "fallback"):
        outcome = Outcome(1, None, result)
        run = Run(outcome)
        assert run.outcome is outcome
        assert not run.asked
        assert run.call.told == []


def test_refused_arguments_are_not_replaced() -> None:
    outcome = Outcome(None, ValueError(), "invalid")
    assert Run(outcome).outcome is outcome


@pytest.mark.parametrize(
    "first",
    [
        Outcome.of_error(ValueError()),
        Outcome.of_error(ToolTimeout("")),
        Outcome.of_error(CircuitOpen("")),
        Outcome({"error": "down"}, None, "error", "tool_error"),
    ],
    ids=repr,
)
def test_the_fallback_serves_after_any_failure_of_the_tool(first: Outcome) -> None:
    run = Run(first, Outcome("served"))

    assert (run.outcome.value, run.outcome.error, run.outcome.result) == ("served", None, "fallback")
    assert run.call.told == [first]


@pytest.mark.parametrize(
    ("on", "replaced"),
    [
        (ConnectionError, True),
        (OSError, True),
        ((ValueError, OSError), True),
        (ValueError, False),
        ((ValueError, KeyError), False),
        (lambda error: error.errno == 5, True),
        (lambda error: error.errno == 6, False),
        (lambda _error: "anything true", True),
    ],
)
def test_fallback_on_decides_which_errors_are_replaced(on: Any, replaced: bool) -> None:
    first = Outcome.of_error(ConnectionError(5, "gone"))
    run = Run(first, Outcome(1), on)
    assert run.asked is replaced
    assert (run.outcome is first) is not replaced


@pytest.mark.parametrize("on", [Exception, lambda _error: True])
def test_with_fallback_on_a_failure_that_is_a_result_is_not_replaced(on: Any) -> None:
    first = Outcome({"error": "down"}, None, "error", "tool_error")
    assert Run(first, Outcome(1), on).outcome is first


def test_a_predicate_that_raises_is_logged_and_nothing_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    first = Outcome.of_error(ValueError())
    assert Run(first, Outcome(1), lambda error: error.status > 400).outcome is first
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "fallback_on of tool 'search' raised; the error is not replaced"


def test_neither_a_broken_predicate_nor_a_broken_log_fails_the_call() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    handler = Broken()
    logging.getLogger("otel_tools").addHandler(handler)
    first = Outcome.of_error(ValueError())
    try:
        assert Run(first, Outcome(1), lambda error: error.status > 400).outcome is first
    finally:
        logging.getLogger("otel_tools").removeHandler(handler)


def notes_of(outcome: Outcome) -> list[str]:
    return getattr(outcome.error, "__notes__", [])


def test_if_the_fallback_fails_too_the_first_error_stays_with_a_note_of_the_other() -> None:
    first = Outcome.of_error(ValueError("no price"))
    run = Run(first, Outcome.of_error(ConnectionError("no network")))

    assert run.outcome is first
    assert notes_of(first) == ["fallback served failed too: ConnectionError: no network"]
    assert run.call.told == []


def test_an_error_object_that_is_raised_again_and_again_does_not_grow() -> None:
    first, second = Outcome.of_error(ValueError()), Outcome.of_error(KeyError("k" * 5000))
    for _ in range(3):
        Run(first, second)
    (note,) = notes_of(first)
    assert len(note) <= 1000


def test_an_error_that_both_raise_has_no_note_of_itself() -> None:
    error = ValueError()
    assert notes_of(Run(Outcome.of_error(error), Outcome.of_error(error)).outcome) == []


def test_a_failure_that_is_a_result_stays_if_the_fallback_fails() -> None:
    first = Outcome({"error": "down"}, None, "error", "tool_error")
    assert Run(first, Outcome.of_error(ValueError())).outcome is first


def test_errors_that_cannot_be_noted_or_shown_do_no_harm() -> None:
    class Hostile(Exception):  # noqa: N818 - not what this is about
        __notes__ = 5  # type: ignore[assignment] # hostile

        def __str__(self) -> str:
            raise RuntimeError

    first = Outcome.of_error(Hostile())
    assert Run(first, Outcome.of_error(ValueError())).outcome is first
    second = Outcome.of_error(ValueError())
    assert Run(second, Outcome.of_error(Hostile())).outcome is second


@pytest.mark.parametrize("on", [5, "ConnectionError", (), int, (ValueError, 5), (ValueError, int), [ValueError]])
def test_a_fallback_on_that_says_nothing_about_errors_is_refused(on: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'search': fallback_on=.*is needed"):
        fallback(served, on, tool_info_of(tool))


def test_an_async_predicate_is_refused() -> None:
    async def on(_error: BaseException) -> bool:
        return False

    with pytest.raises(ConfigurationError, match="plain function"):
        fallback(served, on, tool_info_of(tool))


@pytest.mark.parametrize("function", [5, "served", None])
def test_a_fallback_that_is_not_callable_is_refused(function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'search': fallback=.*function"):
        fallback(function, None, tool_info_of(tool))


async def aserved(symbol: str, unit: str = "eur") -> Any:
    """Stands for an async fallback."""


class AsyncObject:
    async def __call__(self, symbol: str, unit: str = "eur") -> Any:
        """Stands for an async fallback."""


@pytest.mark.parametrize("function", [aserved, functools.partial(aserved), AsyncObject()])
def test_an_async_fallback_is_for_an_async_tool_alone(function: Any) -> None:
    fallback(function, None, tool_info_of(tool, asynchronous=True))
    with pytest.raises(ConfigurationError, match="is async, the tool is not"):
        fallback(function, None, tool_info_of(tool))


def test_an_async_tool_may_have_a_sync_fallback() -> None:
    assert callable(fallback(served, None, tool_info_of(tool, asynchronous=True)))


def nothing() -> None: ...
def one(a: Any) -> None: ...
def two(a: Any, b: Any) -> None: ...
def two_swapped(b: Any, a: Any) -> None: ...
def one_optional(a: Any = 1) -> None: ...
def second_optional(a: Any, b: Any = 1) -> None: ...
def other_name(x: Any) -> None: ...
def position_only(a: Any, /) -> None: ...
def other_position_only(x: Any, /) -> None: ...
def name_only(*, a: Any) -> None: ...
def name_only_optional(*, a: Any = 1) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...
def any_positions(*args: Any) -> None: ...
def any_names(**kwargs: Any) -> None: ...
def one_and_positions(a: Any, *args: Any) -> None: ...
def one_and_names(a: Any, **kwargs: Any) -> None: ...
def one_and_anything(a: Any, *args: Any, **kwargs: Any) -> None: ...
def name_after_positions(*args: Any, a: Any) -> None: ...


class Shop:
    def price(self, a: Any) -> None: ...
    def other(self, a: Any) -> None: ...
    def more(self, a: Any, b: Any = 1) -> None: ...
    def wrong(self, b: Any) -> None: ...
    @classmethod
    def of_class(cls, a: Any) -> None: ...


FITTING = [
    (nothing, nothing),
    (nothing, one_optional),
    (nothing, anything),
    (one, one),
    (one, second_optional),
    (one, one_optional),
    (one, anything),
    (one, one_and_positions),
    (one, one_and_names),
    (one, lambda a: a),
    (one, functools.partial(two, b=1)),
    (one, functools.partial(second_optional)),
    (one_optional, one_optional),
    (second_optional, second_optional),
    (position_only, one),
    (position_only, other_name),
    (position_only, other_position_only),
    (name_only, name_only),
    (name_only, one),
    (name_only, any_names),
    (name_only_optional, one_optional),
    (any_positions, any_positions),
    (any_positions, anything),
    (any_names, any_names),
    (one_and_anything, anything),
    (one_and_names, one_and_names),
    (one_and_positions, one_and_anything),
    (anything, anything),
    (functools.partial(two, 1), lambda b: b),
    (one, Shop().price),
    (Shop.price, Shop.other),
    (Shop.price, Shop.more),
    (Shop.price, one),
    (Shop.price, second_optional),
    (Shop.price, anything),
    (Shop.price, Shop().other),
    (Shop.of_class.__func__, one),  # type: ignore[attr-defined] # a classmethod has it
    (Shop.of_class.__func__, lambda cls, a: (cls, a)),  # type: ignore[attr-defined] # as above
    (one, max),
    (max, one),
]

NOT_FITTING = [
    (nothing, one),
    (one, nothing),
    (one, two),
    (one, other_name),
    (one, position_only),
    (one, name_only),
    (one, any_positions),
    (one, any_names),
    (one, name_after_positions),
    (two, one),
    (two, two_swapped),
    (two, one_and_positions),
    (one_optional, one),
    (second_optional, two),
    (position_only, name_only),
    (position_only, any_names),
    (name_only, position_only),
    (name_only_optional, name_only),
    (any_positions, one),
    (any_names, one),
    (anything, any_names),
    (one_and_names, one),
    (Shop.price, Shop.wrong),
    (Shop.price, two),
    (Shop.price, nothing),
    (Shop.price, other_name),
]


def name_of(function: Any) -> str:
    return getattr(function, "__qualname__", "partial")


@pytest.mark.parametrize(("function", "other"), FITTING, ids=name_of)
def test_a_fallback_that_takes_what_the_tool_takes_is_accepted(function: Any, other: Any) -> None:
    fallback(other, None, tool_info_of(function))


@pytest.mark.parametrize(("function", "other"), NOT_FITTING, ids=name_of)
def test_a_fallback_with_other_parameters_is_refused(function: Any, other: Any) -> None:
    with pytest.raises(ConfigurationError, match="must accept what the tool does"):
        fallback(other, None, tool_info_of(function))


def test_the_refusal_shows_both_signatures() -> None:
    with pytest.raises(ConfigurationError) as refused:
        fallback(functools.partial(two, "secret"), None, tool_info_of(one))
    assert str(refused.value) == (
        "tool 'search': fallback two(b: 'Any') -> 'None' must accept what the tool does, by the same names: "
        "one(a: 'Any') -> 'None'"
    )


def test_defaults_that_do_not_compare_do_no_harm() -> None:
    class Array:
        __hash__ = None  # type: ignore[assignment] # as arrays have it

        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

    def function(a: Any, b: Any = Array(), *args: Any, c: Any = Array()) -> None: ...  # noqa: B008 - what this is about

    fallback(function, None, tool_info_of(function))


@pytest.mark.parametrize("given", [True, False])
def test_a_method_gives_itself_only_to_a_fallback_that_takes_it(given: bool) -> None:
    taken: list[tuple[Any, ...]] = []

    def with_self(self: Any, a: Any) -> None:
        taken.append((self, a))

    def without(a: Any) -> None:
        taken.append((a,))

    flow = fallback(with_self if given else without, None, tool_info_of(Shop.price))(work)(Call((), {}))
    next(flow)
    step = flow.send(Outcome.of_error(ValueError()))
    assert isinstance(step, Invoke)
    assert step.function is not None
    step.function("the shop", 1)
    step.function("the shop", a=2)
    assert taken == ([("the shop", 1), ("the shop", 2)] if given else [(1,), (2,)])


def test_a_fallback_serves_and_the_call_says_so(seen: Captured, both: Flavour) -> None:
    def price(symbol: str) -> float:
        raise ConnectionError(symbol)

    def last_known(symbol: str) -> float:
        return float(len(symbol))

    decorated = decorate(name="price", fallback=both.function(last_known))(both.function(price))

    assert both.call(decorated, "ABC") == 3.0
    assert both.call(decorated, symbol="AB") == 2.0
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "price", names.OUTCOME: "fallback"}) == 2
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "price", names.OUTCOME: "error"}) == 0


def test_a_fallback_that_is_a_tool_with_a_fallback_makes_a_chain(seen: Captured, both: Flavour) -> None:
    def fail(symbol: str) -> str:
        raise ConnectionError(symbol)

    last = decorate(name="last", fallback=lambda symbol: symbol * 2)(both.function(fail))
    second = decorate(name="second", fallback=last)(both.function(fail))
    first = decorate(name="first", fallback=second)(both.function(fail))

    assert both.call(first, "A") == "AA"
    for name in ("first", "second", "last"):
        assert seen.value(names.CALLS.name, {names.TOOL_NAME: name, names.OUTCOME: "fallback"}) == 1


def test_if_both_fail_the_caller_gets_the_tools_own_error_object(seen: Captured, both: Flavour) -> None:
    error = ConnectionError("no network")

    def price() -> None:
        raise error

    def other() -> None:
        raise ValueError("no file")

    decorated = decorate(name="price", fallback=both.function(other))(both.function(price))
    with pytest.raises(ConnectionError) as caught:
        both.call(decorated)

    assert caught.value is error
    assert len(error.__notes__) == 1
    assert error.__notes__[0].endswith("failed too: ValueError: no file")
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "price", names.OUTCOME: "error"}) == 1


def test_a_method_may_have_another_method_or_a_function_of_its_arguments_as_its_fallback(both: Flavour) -> None:
    def fail(self: Any, symbol: str) -> str:
        raise ConnectionError

    class Exchange:
        name = "exchange"
        by_method = decorate(name="by_method", fallback=lambda self, symbol: f"{self.name} {symbol}")(
            both.function(fail)
        )
        by_function = decorate(name="by_function", fallback=lambda symbol: symbol.lower())(both.function(fail))

    assert both.call(Exchange().by_method, "ABC") == "exchange ABC"
    assert both.call(Exchange().by_function, symbol="ABC") == "abc"


def test_a_callable_object_that_is_false_is_a_fallback_too(both: Flavour) -> None:
    class Empty(dict[str, int]):
        def __call__(self, symbol: str) -> int:
            return self.get(symbol, 0)

    def fail(symbol: str) -> int:
        raise ConnectionError

    assert both.call(decorate(name="price", fallback=Empty())(both.function(fail)), "ABC") == 0


async def test_an_async_call_that_is_cancelled_in_its_fallback_is_cancelled(seen: Captured) -> None:
    began = asyncio.Event()

    async def other() -> None:
        began.set()
        await asyncio.sleep(3600)

    @decorate(name="price", fallback=other)
    async def price() -> None:
        raise ConnectionError

    task = asyncio.create_task(price())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen.value(names.CALLS.name, {names.TOOL_NAME: "price", names.OUTCOME: "cancelled"}) == 1


def test_a_fallback_serves_where_the_deadline_of_the_retries_is_over(both: Flavour) -> None:
    left: list[float | None] = []

    def price() -> None:
        raise ConnectionError

    def other() -> int:
        left.append(remaining())
        return 1

    decorated = decorate(name="price", retry=Retry(attempts=2, initial=5, deadline=1), fallback=both.function(other))
    assert both.call(decorated(both.function(price))) == 1
    assert len(left) == 1
