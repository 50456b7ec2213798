"""How an exception is recorded: once, as span event, log event or both, redacted and without our frames."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import StatusCode

from otel_tools import agent, tool
from otel_tools._call.error_types import error_type_of
from otel_tools._telemetry.content.jsonable import CUT
from otel_tools._telemetry.content.redaction import REDACTED
from otel_tools._telemetry.exceptions import EXCEPTION_SIGNAL_OPT_IN, exception_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured
    from tests.conftest import Flavour


def event_of(span: ReadableSpan) -> dict[str, Any]:
    (event,) = span.events
    assert event.name == "exception"
    return dict(event.attributes or {})


def failing(seen: Captured, error: BaseException) -> ReadableSpan:
    """The span of a call that raised it."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        tool(fail)()
    return seen.span("fail")


@pytest.mark.parametrize(
    ("value", "signals"),
    [
        (None, (True, False)),
        ("", (True, False)),
        ("logs", (False, True)),
        ("logs/dup", (True, True)),
        ("LOGS", (False, True)),
        ("http, logs/dup", (True, True)),
        ("logs, logs/dup", (True, True)),
        ("nonsense", (True, False)),
    ],
)
def test_the_environment_variable_chooses_the_signal_of_exceptions(
    seen: Captured, monkeypatch: pytest.MonkeyPatch, both: Flavour, value: str | None, signals: tuple[bool, bool]
) -> None:
    monkeypatch.delenv(EXCEPTION_SIGNAL_OPT_IN, raising=False)
    if value is not None:
        monkeypatch.setenv(EXCEPTION_SIGNAL_OPT_IN, value)

    with pytest.raises(ZeroDivisionError):
        both.call(tool(name="divide")(both.function(lambda: 1 // 0)))

    assert exception_signals() == signals
    assert (len(seen.span("divide").events), len(seen.logs)) == tuple(int(each) for each in signals)
    assert seen.span("divide").status.status_code is StatusCode.ERROR


def test_the_log_event_equals_the_span_event_and_carries_the_trace(
    seen: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXCEPTION_SIGNAL_OPT_IN, "logs/dup")

    span = failing(seen, OSError("no network"))

    (log,) = seen.logs
    assert log.log_record.event_name == "gen_ai.execute_tool.exception"
    assert log.log_record.severity_number is SeverityNumber.ERROR
    assert dict(log.log_record.attributes or {}) == event_of(span)
    assert (log.log_record.trace_id, log.log_record.span_id) == (span.context.trace_id, span.context.span_id)


def test_the_log_event_of_an_agent_has_its_own_name(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXCEPTION_SIGNAL_OPT_IN, "logs")

    with pytest.raises(OSError, match="down"), agent("a"):
        raise OSError("down")

    assert [log.log_record.event_name for log in seen.logs] == ["gen_ai.invoke_agent.exception"]


def test_an_exception_is_recorded_once_where_it_passes_each_span(seen: Captured) -> None:
    @tool
    def inner() -> None:
        raise OSError("down")

    @tool
    def outer() -> None:
        inner()

    with pytest.raises(OSError, match="down"), agent("a"):
        outer()

    assert [len(span.events) for span in seen.spans] == [1, 1, 1]


def test_messages_stack_traces_and_descriptions_are_redacted(seen: Captured) -> None:
    secret = "https://app:hunter2@db refused token=hunter3"  # noqa: S105 - that is the point
    error = ConnectionError(secret)
    error.add_note("with password=hunter4")
    error.__cause__ = ValueError("api_key: hunter5")

    span = failing(seen, error)

    event = event_of(span)
    assert event["exception.message"] == f"https://app:{REDACTED}@db refused token={REDACTED}"
    assert span.status.description == event["exception.message"]
    assert "hunter" not in str(event)
    assert f"with password={REDACTED}" in event["exception.stacktrace"]
    assert f"ValueError: api_key: {REDACTED}" in event["exception.stacktrace"]


def test_the_stack_trace_is_pythons_own_without_our_frames(seen: Captured, both: Flavour) -> None:
    def fail() -> None:
        raise OSError("here")

    with pytest.raises(OSError, match="here") as caught:
        both.call(tool(both.function(fail)))

    recorded = event_of(seen.span("fail"))["exception.stacktrace"]
    assert "otel_tools/" not in recorded
    assert 'raise OSError("here")' in recorded
    full = "".join(traceback.format_exception(caught.value))
    assert full.endswith(recorded.partition("\n")[2])


@pytest.mark.parametrize("options", [{}, {"failed_if": bool}])
def test_the_stack_trace_of_every_kind_begins_in_the_tool(seen: Captured, options: dict[str, Any]) -> None:
    @tool
    def items() -> Iterator[int]:
        yield 1
        raise OSError("here")

    def plain() -> None:
        raise OSError("here")

    uses: list[Callable[[], object]] = [tool(**options)(plain), lambda: list(items())]
    for use in uses:
        with pytest.raises(OSError, match="here"):
            use()

    for span in seen.spans:
        assert str(event_of(span)["exception.stacktrace"]).splitlines()[1].endswith(f"in {span.name.split()[1]}")


class _Unspeakable(Exception):  # noqa: N818 - as above
    def __str__(self) -> str:
        raise RuntimeError("cannot say")

    __repr__ = __str__


def test_an_exception_without_a_readable_message_ends_its_call(seen: Captured) -> None:
    span = failing(seen, _Unspeakable())

    assert span.status.description == "<_Unspeakable that cannot be shown>"
    assert event_of(span)["exception.type"] == f"{__name__}._Unspeakable"
    assert dict(span.attributes or {})["otel_tools.outcome"] == "error"


def test_long_messages_lose_their_end_and_stack_traces_their_start(seen: Captured) -> None:
    span = failing(seen, ValueError("begin " + "x" * 5_000_000 + " end"))

    event = event_of(span)
    message, stacktrace = str(event["exception.message"]), str(event["exception.stacktrace"])
    assert message.startswith("begin x")
    assert message.endswith(CUT)
    assert len(message) == 1024
    assert stacktrace.startswith(CUT)
    assert stacktrace.endswith(" end\n")
    assert len(stacktrace) == 16 * 1024


def test_deep_recursion_is_recorded(seen: Captured) -> None:
    @tool(name="deep")
    def deep() -> None:
        def deeper(n: int) -> int:
            return deeper(n + 1) + 1

        deeper(0)

    with pytest.raises(RecursionError):
        deep()

    assert event_of(seen.span("deep"))["exception.type"] == "RecursionError"


def test_a_lone_surrogate_in_a_message_can_be_sent(seen: Captured) -> None:
    event = event_of(failing(seen, ValueError("\ud800")))

    for text in event.values():
        str(text).encode("utf-8")


def test_classes_are_named_like_exception_types() -> None:
    class Local(Exception):  # noqa: N818 - a name like any other
        pass

    assert error_type_of(ValueError()) == "ValueError"
    assert error_type_of(Local()).endswith("test_classes_are_named_like_exception_types.<locals>.Local")
    assert error_type_of(UnicodeDecodeError("utf-8", b"x", 0, 1, "no")) == "UnicodeDecodeError"
