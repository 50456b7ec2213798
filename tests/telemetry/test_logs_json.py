"""Every record becomes one line of valid JSON, redacted and bounded."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.content.redaction import Redaction
from otel_tools._telemetry.logs.json_lines import JsonFormatter
from tests.telemetry.log_lines import Lines, logs_on, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("shop")


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logs_on() as started:
        yield started


def line_of(**values: Any) -> dict[str, Any]:
    text = JsonFormatter().format(logging.makeLogRecord({"name": "shop", "levelname": "INFO", **values}))
    assert text.isascii()
    assert "\n" not in text
    assert "\r" not in text
    return dict(json.loads(text, parse_constant=refuse))


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("one\ntwo\r\nthree", "one\ntwo\r\nthree"),
        ('{"message": "forged"}', '{"message": "forged"}'),
        ("{0} {} %(name)s %s }{", "{0} {} %(name)s %s }{"),
        ("\x00\x07\x1b[31mred\x7f", "\x00\x07\x1b[31mred\x7f"),
        ("a\u2028b\u2029c\x85d", "a\u2028b\u2029c\x85d"),
        ("Zürich 😀", "Zürich 😀"),
        ("a\ud800b", "a?b"),
        ("\\", "\\"),
    ],
)
def test_a_message_stays_one_line(message: str, written: str, lines: Lines) -> None:
    log.warning(message)

    assert lines.one["message"] == written


@given(st.text(st.characters()), st.dictionaries(st.text(st.characters()), st.floats() | st.integers() | st.binary()))
def test_any_message_with_any_extra_field_is_one_line(text: str, extra: dict[str, Any]) -> None:
    line_of(msg=text, shop=extra)


def test_the_timestamp_is_in_utc() -> None:
    assert dt.datetime.fromisoformat(line_of(created=1.5)["timestamp"]) == dt.datetime.fromtimestamp(1.5, dt.UTC)


def test_extra_fields_are_in_the_line(lines: Lines) -> None:
    log.warning("sold", extra={"count": 3, "items": ["a", "b"], "price": float("nan"), "by": {"id": 2**70}})

    line = lines.one
    assert (line["count"], line["items"], line["price"], line["by"]) == (3, ["a", "b"], "nan", {"id": 2**70})


@pytest.mark.parametrize("key", ["timestamp", "level", "logger"])
def test_an_extra_field_whose_name_is_taken_is_not_lost(key: str, lines: Lines) -> None:
    log.warning("x", extra={key: "theirs"})

    assert lines.one[f"extra.{key}"] == "theirs"
    assert lines.one[key] != "theirs"


def test_a_dictionary_is_a_line_of_its_own(lines: Lines) -> None:
    message = {"message": "sold", "count": 3, "password": "hunter2"}
    log.warning(message)

    assert (lines.one["message"], lines.one["count"], lines.one["password"]) == ("sold", 3, "[REDACTED]")
    assert message == {"message": "sold", "count": 3, "password": "hunter2"}


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("message", "args"), [("%d items", ("many",)), ("%s", (Hostile(),)), ("%s %s", (1,)), ("%(a)s", ({"b": 1},))]
)
def test_a_message_whose_arguments_do_not_fit_is_written_without_them(message: str, args: tuple[Any, ...]) -> None:
    assert line_of(msg=message, args=args)["message"] == f"{message} (its arguments do not fit)"


def test_objects_without_a_json_form_are_named(lines: Lines) -> None:
    log.warning("x", extra={"what": Hostile()})

    assert lines.one["what"] == f"<{Hostile.__module__}.Hostile>"


def test_a_cycle_is_cut() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)

    assert line_of(msg="x", cycle=cycle)["cycle"] == ["…"]


def test_secrets_are_redacted_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "redaction", Redaction(patterns=["swordfish"]))
    error = ValueError("swordfish")
    line = line_of(
        msg="password=%s",
        args=("hunter2",),
        exc_info=(ValueError, error, None),
        said="swordfish",
        by={"api_key": "k"},
        name="swordfish",
    )

    assert "swordfish" not in str(line)
    assert "hunter2" not in str(line)
    assert line["by"] == {"api_key": "[REDACTED]"}
    assert line["exc_info"].endswith("ValueError: [REDACTED]")


def test_an_exception_and_a_stack_are_in_the_line(lines: Lines) -> None:
    log.error("failed", exc_info=KeyError("x\ny"), stack_info=True)

    assert "KeyError" in lines.one["exc_info"]
    assert "test_logs_json" in lines.one["stack_info"]


def test_a_line_is_bounded(lines: Lines) -> None:
    log.warning("m" * 5_000_000, extra={"said": "s" * 5_000_000, "many": list(range(1_000_000))})

    assert len(lines.getvalue()) < 200_000
    assert lines.one["message"].endswith("…")


def test_ids_are_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "redaction", Redaction(patterns=["[0-9a-f]{16,}"]))

    assert line_of(trace_id="ab" * 16)["trace_id"] == "ab" * 16
    assert line_of(call_id="c\ud800d")["call_id"] == "c?d"


def test_the_applications_handlers_can_use_the_formatter() -> None:
    handler = logging.StreamHandler(stream := Lines())
    handler.setFormatter(JsonFormatter())

    handler.handle(logging.makeLogRecord({"msg": "x", "name": "shop"}))

    assert stream.one["message"] == "x"
