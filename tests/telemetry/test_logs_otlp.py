"""Records become OpenTelemetry log records, except those about the export of telemetry."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from otel_tools import tool
from otel_tools._telemetry.instruments import instruments
from tests.telemetry.log_lines import logs_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tools.testing import Captured

log = logging.getLogger("shop")


@pytest.fixture(autouse=True)
def _on(seen: Captured) -> Iterator[None]:
    with logs_on("otlp"):
        yield


def application_records(seen: Captured) -> list[Any]:
    return [each.log_record for each in seen.logs if each.log_record.event_name != "tool.call"]


def test_a_record_carries_its_source_its_call_and_its_trace(seen: Captured) -> None:
    tool(lambda: log.warning("%s is cloudy", "Paris", extra={"wind": 3}), name="get_weather")()

    span = seen.span("get_weather")
    assert span.context is not None
    (each,) = (each for each in seen.logs if not each.log_record.event_name)
    record = each.log_record
    attributes = dict(record.attributes or {})
    assert record.body == "Paris is cloudy"
    assert (record.severity_number, record.severity_text) == (SeverityNumber.WARN, "WARN")
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert each.instrumentation_scope is not None
    assert each.instrumentation_scope.name == "shop"
    assert attributes.pop("code.file.path") == __file__
    assert isinstance(attributes.pop("code.line.number"), int)
    assert attributes == {"code.function.name": "<lambda>", "gen_ai.tool.name": "get_weather", "wind": 3}


def test_the_end_of_a_call_is_an_event_with_the_spans_attributes(seen: Captured) -> None:
    with pytest.raises(ZeroDivisionError):
        tool(lambda: 1 // 0, name="t")()

    (record,) = (each.log_record for each in seen.logs)
    attributes = dict(record.attributes or {})
    assert record.event_name == "tool.call"
    assert record.severity_number == SeverityNumber.ERROR
    context = seen.span("t").context
    assert context is not None
    assert record.trace_id == context.trace_id
    assert isinstance(attributes.pop("otel_tools.call.duration"), float)
    assert attributes == {
        "gen_ai.tool.name": "t",
        "otel_tools.outcome": "error",
        "otel_tools.retry.count": 0,
        "error.type": "ZeroDivisionError",
    }


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (5, SeverityNumber.TRACE),
        (10, SeverityNumber.DEBUG),
        (20, SeverityNumber.INFO),
        (25, SeverityNumber.INFO),
        (50, SeverityNumber.FATAL),
        (90, SeverityNumber.FATAL),
    ],
)
def test_levels_become_severities(level: int, number: SeverityNumber, seen: Captured) -> None:
    log.setLevel(1)
    try:
        log.log(level, "x")
    finally:
        log.setLevel(logging.NOTSET)

    assert application_records(seen)[0].severity_number == number


def test_an_exception_is_recorded_as_the_conventions_say(seen: Captured) -> None:
    log.error("failed", exc_info=KeyError("password=hunter2"))

    attributes = application_records(seen)[0].attributes
    assert attributes["exception.type"] == "KeyError"
    assert "hunter2" not in str(attributes)
    assert attributes["exception.stacktrace"].startswith("KeyError")


def test_an_integer_beyond_64_bits_is_sent_as_a_text(seen: Captured) -> None:
    log.warning("a\ud800b", extra={"n": 2**70, "many": [1, {"m": -(2**64)}]})

    record = application_records(seen)[0]
    assert record.body == "a?b"
    assert record.attributes["n"] == str(2**70)
    assert record.attributes["many"][1]["m"] == str(-(2**64))


def test_a_dictionary_is_a_body(seen: Captured) -> None:
    log.warning({"count": 3, "password": "hunter2"})

    assert application_records(seen)[0].body == {"count": 3, "password": "[REDACTED]"}


def test_an_attribute_of_the_application_with_the_name_of_an_id_is_sent_beside_it(seen: Captured) -> None:
    tool(lambda: log.warning("x", extra={"tool": "hammer", "trace_id": "mine"}), name="t")()

    attributes = application_records(seen)[0].attributes
    assert (attributes["gen_ai.tool.name"], attributes["tool"], attributes["trace_id"]) == ("t", "hammer", "mine")


@pytest.mark.parametrize(
    "name", ["opentelemetry.sdk._shared_internal", "opentelemetry", "otel_tools", "otel_tools.telemetry.setup"]
)
def test_records_of_telemetry_itself_are_not_exported(name: str, seen: Captured) -> None:
    logging.getLogger(name).error("cannot be delivered")

    assert seen.logs == ()


@pytest.mark.parametrize("name", ["otel_tools._policies.retry.retry", "otel_tools_shop", "opentelemetry_shop"])
def test_records_of_policies_and_of_others_are_exported(name: str, seen: Captured) -> None:
    logging.getLogger(name).error("x")

    assert len(seen.logs) == 1


def test_records_made_during_an_export_are_not_exported(seen: Captured) -> None:
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, "yes"))
    try:
        logging.getLogger("urllib3.connectionpool").error("retrying")
    finally:
        detach(token)

    assert seen.logs == ()


def test_a_record_that_a_processor_makes_does_not_go_to_it(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = instruments.logger_provider
    assert provider is not None
    get_logger = provider.get_logger

    def talkative(*args: Any, **kwargs: Any) -> Any:
        log.warning("again")
        return get_logger(*args, **kwargs)

    monkeypatch.setattr(provider, "get_logger", talkative)
    log.warning("x")

    assert [record.body for record in application_records(seen)] == ["x"]


def test_a_failing_provider_fails_no_call(seen: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    assert instruments.logger_provider is not None
    monkeypatch.setattr(instruments.logger_provider, "get_logger", fails)

    @tool
    def seven() -> int:
        log.warning("x")
        return 7

    assert seven() == 7


def test_a_record_made_inside_the_garbage_collector_is_sent_after_it(seen: Captured) -> None:
    during: list[int] = []

    class Loud:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            log.warning("collected")
            during.append(len(seen.logs))

    Loud()
    gc.collect()
    _ = seen.spans

    assert during == [0]
    assert [record.body for record in application_records(seen)] == ["collected"]
