"""`validate=` on tools: refusals are seen and counted, results are checked, late classes are found."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, field_validator

from otel_tools import tool
from otel_tools._arguments.tool_info import ToolInfo
from otel_tools._call.binding import Arguments
from otel_tools._call.call import Call
from otel_tools._call.outcome import Outcome
from otel_tools._call.steps import Invoke
from otel_tools._policies.validation import validate_arguments, validate_result
from otel_tools.errors import ConfigurationError, InvalidArguments, InvalidResult
from tests.policies.validating import Place, Window, ended, result_of, typed, weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools._call.steps import Flow
    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def test_a_validator_that_breaks_is_an_error_and_not_the_models_mistake() -> None:
    class Broken(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            raise ZeroDivisionError(n)

    outcome = ended(typed(Broken), (), {"value": {"n": 3}})

    assert outcome.result == "error"
    assert isinstance(outcome.error, ZeroDivisionError)


def later(value: Later) -> Any:
    return value


def test_a_class_that_is_defined_later_is_found_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(globals(), "Later")
    info = ToolInfo("later", later, asynchronous=False, generator=False, arguments=Arguments(later))
    calls = []

    def inner(call: Call) -> Flow:
        calls.append(call.kwargs)
        yield from ()
        return Outcome("ran")

    policy = validate_arguments(info)(inner)

    def run() -> Outcome:
        return result_of(policy(Call((), {"value": {"x": 1}})))

    early = run()
    monkeypatch.undo()

    assert isinstance(early.error, ConfigurationError)
    assert "'Later' is not defined where the function is" in str(early.error)
    assert run().value == "ran"
    assert calls == [{"value": Later(x=1)}]


class Later(BaseModel):
    x: int


def test_a_validator_that_is_built_at_the_first_call_is_built_once_for_many_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from otel_tools._arguments import signature_model  # noqa: PLC0415 - patched where it is looked up

    built = []
    build = signature_model.model_of_signature

    def counted(info: ToolInfo) -> Any:
        built.append(info)
        return build(info)

    monkeypatch.setattr(signature_model, "model_of_signature", counted)
    monkeypatch.delitem(globals(), "Later")
    decorated: Any = tool(validate=True)(late)
    monkeypatch.setitem(globals(), "Later", Later_)
    start = threading.Barrier(8)

    def work() -> Any:
        start.wait()
        return decorated(value={"x": "1"}).x

    with ThreadPoolExecutor(8) as pool:
        assert [each.result() for each in [pool.submit(work) for _ in range(8)]] == [1] * 8
    assert len(built) == 2  # in vain at decoration, and at one of the calls


Later_ = Later


def late(value: Later, by: int = 1) -> Any:
    return value


def test_a_tool_refuses_before_it_runs_and_is_counted_as_invalid(seen: Captured, both: Flavour) -> None:
    ran = []

    def work(location: str, unit: Literal["a", "b"] = "a") -> str:
        ran.append(location)
        return unit

    decorated = tool(name="refusing", validate=True)(both.function(work))

    assert both.call(decorated, location="x") == "a"
    with pytest.raises(InvalidArguments, match="- unit: must be 'a' or 'b'") as caught:
        both.call(decorated, location="x", unit="c")

    assert ran == ["x"]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    attributes = dict(seen.spans[-1].attributes or {})
    assert attributes["otel_tools.outcome"] == "invalid"
    assert attributes["error.type"] == "invalid_arguments"


def test_an_override_uses_the_validator_built_at_decoration(both: Flavour) -> None:
    def made() -> Any:
        class Inner(BaseModel):
            x: int

        def work(value: Inner) -> int:
            return value.x

        return tool(validate=True)(both.function(work))

    decorated = made()

    with decorated.tool.override(validate=True):
        assert both.call(decorated, value={"x": "3"}) == 3


def checked(function: Callable[..., Any], value: Any) -> Outcome:
    """What becomes of a result."""
    info = ToolInfo("get_weather", function, asynchronous=False, generator=False, arguments=Arguments(function))

    def inner(_call: Call) -> Flow:
        return (yield Invoke())  # type: ignore[no-any-return] # the driver answers with an Outcome

    flow = validate_result(info)(inner)(Call((), {}))
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.send(value if isinstance(value, Outcome) else Outcome(value))
    assert isinstance(stop.value.value, Outcome)
    return stop.value.value


def test_a_result_that_fits_is_returned_unchanged() -> None:
    def function() -> list[dict[str, float]]: ...  # type: ignore[empty-body] # it is never called

    value = [{"a": 1}]

    outcome = checked(function, value)

    assert outcome.value is value
    assert outcome.result == "ok"


@pytest.mark.parametrize(
    ("annotation", "value", "line"),
    [
        (int, "3", "- result: must be an integer"),
        (Place, {"city": 3}, "- result.city: must be a string"),
        (Place, "x", "- result: must be an object"),
        (list[int], [1, "secret"], "- result.1: must be an integer"),
        (Window, {"start": dt.date(2026, 1, 1)}, "- result.days: is required"),
        (None, 0, "- result: must be null"),
    ],
)
def test_a_result_that_does_not_fit_is_an_error(annotation: Any, value: Any, line: str) -> None:
    def function() -> Any: ...

    function.__annotations__["return"] = annotation

    outcome = checked(function, value)

    assert (outcome.value, outcome.result) == (None, "error")
    assert isinstance(outcome.error, InvalidResult)
    assert str(outcome.error).splitlines() == ["get_weather returned what its annotation does not allow:", line]
    assert outcome.error.errors[0].field == line.split(":", maxsplit=1)[0].removeprefix("- ")


def test_an_error_of_the_function_is_not_a_result() -> None:
    error = ValueError("mine")

    assert checked(weather, Outcome.of_error(error)).error is error


def test_validate_both_checks_arguments_and_result(seen: Captured, both: Flavour) -> None:
    def work(n: int) -> int:
        return n if n > 0 else str(n)  # type: ignore[return-value] # that is the point

    decorated = tool(name="both_ways", validate="both")(both.function(work))

    assert both.call(decorated, n="1") == 1
    with pytest.raises(InvalidResult):
        both.call(decorated, n=0)
    attributes = dict(seen.spans[-1].attributes or {})
    assert (attributes["otel_tools.outcome"], attributes["error.type"]) == ("error", "invalid_result")


def test_a_generator_validates_its_arguments_and_cannot_validate_one_result() -> None:
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    assert list(tool(validate=True)(count)(n="3")) == [0, 1, 2]  # type: ignore[arg-type] # as a model sends it
    with pytest.raises(InvalidArguments):
        list(tool(validate=True)(count)(n="x"))  # type: ignore[arg-type] # as above
    with pytest.raises(ConfigurationError, match="count"):
        tool(validate="both")(count)


@pytest.mark.parametrize("validate", [True, "both"])
def test_an_annotation_that_cannot_be_checked_fails_at_decoration(validate: Any) -> None:
    class Socket:
        pass

    def send(socket: Socket, text: str) -> str:
        return text

    with pytest.raises(ConfigurationError, match=r"tool 'send': the annotation of 'socket'"):
        tool(validate=validate)(send)
