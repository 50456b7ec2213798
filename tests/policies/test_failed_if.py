"""`failed_if`: a result that the predicate calls a failure is counted as one, and reaches the caller untouched."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import tool
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke
from otel_tools._policies.failed_if import failed_if
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._call.steps import Flow
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def outcome_of(seen: Captured, name: str) -> tuple[Any, Any]:
    attributes = dict(seen.span(name).attributes or {})
    return attributes["otel_tools.outcome"], attributes.get("error.type")


class _Result:
    """Not to be compared, hashed or shown."""

    __hash__ = None  # type: ignore[assignment] # as above

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("predicate", "outcome"),
    [
        (lambda _: True, ("error", "tool_error")),
        (lambda _: "anything true", ("error", "tool_error")),
        (lambda _: False, ("ok", None)),
        (lambda _: None, ("ok", None)),
        (bool, ("error", "tool_error")),
    ],
)
def test_the_predicate_decides_which_results_are_failures(
    seen: Captured, both: Flavour, predicate: Callable[[Any], object], outcome: tuple[str, str | None]
) -> None:
    result = _Result()
    decorated = tool(name="judged", failed_if=predicate)(both.function(lambda: result))

    assert both.call(decorated) is result
    assert outcome_of(seen, "judged") == outcome


def test_a_failure_by_result_is_counted_once_and_timed_under_its_type(seen: Captured, both: Flavour) -> None:
    both.call(tool(name="counted", failed_if=lambda _: True)(both.function(lambda: 1)))

    me = {names.TOOL_NAME: "counted"}
    assert seen.value(names.CALLS.name, {**me, names.OUTCOME: "error"}) == 1
    assert seen.value(names.CALLS.name, {**me, names.OUTCOME: "ok"}) == 0
    point = {**me, names.TOOL_TYPE: "function", names.ERROR_TYPE: "tool_error"}
    assert seen.value(names.DURATION.name, point) == 1


def test_the_predicate_is_called_once_for_each_result_and_never_for_an_error(seen: Captured, both: Flavour) -> None:
    asked: list[Any] = []

    def work(value: Any) -> Any:
        if value is None:
            raise LookupError
        return value

    decorated = tool(failed_if=asked.append)(both.function(work))
    both.call(decorated, 1)
    with pytest.raises(LookupError):
        both.call(decorated, None)
    both.call(decorated, 2)

    assert asked == [1, 2]


@pytest.mark.parametrize("result", [3, _Result()])
def test_a_predicate_that_raises_is_logged_and_ignored(
    seen: Captured, both: Flavour, caplog: pytest.LogCaptureFixture, result: Any
) -> None:
    def broken(value: Any) -> bool:
        return bool(value["error"])

    assert both.call(tool(name="misjudged", failed_if=broken)(both.function(lambda: result))) is result

    assert outcome_of(seen, "misjudged") == ("ok", None)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "failed_if of tool 'misjudged' raised; the result counts as a success"
    assert record.exc_info is not None


def test_a_result_of_the_predicate_that_is_neither_true_nor_false_is_ignored(
    seen: Captured, both: Flavour, caplog: pytest.LogCaptureFixture
) -> None:
    class Unclear:
        def __bool__(self) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

    assert both.call(tool(name="unclear", failed_if=lambda _: Unclear())(both.function(lambda: 1))) == 1
    assert outcome_of(seen, "unclear") == ("ok", None)
    assert len(caplog.records) == 1


def test_neither_a_broken_predicate_nor_a_broken_log_fails_the_tool(seen: Captured, both: Flavour) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    def broken(_: Any) -> bool:
        raise ValueError

    handler = Broken()
    logging.getLogger("otel_tools").addHandler(handler)
    try:
        assert both.call(tool(name="calm", failed_if=broken)(both.function(lambda: 1))) == 1
    finally:
        logging.getLogger("otel_tools").removeHandler(handler)
    assert outcome_of(seen, "calm") == ("ok", None)


def outcome_after_policy(outcome: Outcome, predicate: Callable[[Any], object]) -> Outcome:
    """The outcome that the policy returns for an inner outcome, without function, driver or telemetry."""

    def inner(_call: Call) -> Flow:
        return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome

    info = ToolInfo("tool", len, asynchronous=False, generator=False, arguments=Arguments(len))
    flow = failed_if(predicate, info)(inner)(Call((), {}))
    assert isinstance(next(flow), Invoke)
    with pytest.raises(StopIteration) as stop:
        flow.send(outcome)
    assert isinstance(stop.value.value, Outcome)
    return stop.value.value


def test_results_with_an_outcome_of_their_own_are_left_alone() -> None:
    for result in ("fallback", "invalid"):
        assert outcome_after_policy(Outcome(1, None, result), bool).result == result
    error = ValueError()
    assert outcome_after_policy(Outcome.of_error(error), bool).error is error
    assert outcome_after_policy(Outcome.of_error(error), bool).error_type is None
