"""Which call takes which id."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from pydantic import BaseModel

import otel_tools
from otel_tools._call.clock import clock
from otel_tools._model.call_ids import pending_calls
from otel_tools._model.call_ids.argument_matching import ReceivedArguments, sent_arguments
from otel_tools._model.call_ids.pending_calls import (
    RequestedCall,
    RequestOrigin,
    call_id_of,
    clear,
    discard_answered,
    known_call_id,
    remember,
)
from otel_tools._telemetry.instruments import instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured


class Unit(Enum):
    CELSIUS = "celsius"


@dataclass
class Place:
    city: str
    floor: int = 0


class Weather(BaseModel):
    location: str
    unit: str = "celsius"


def function(location: Any = "here", unit: Any = "celsius", *, days: Any = 1, **more: Any) -> None:
    """Stands for a tool."""


def received(*args: Any, **kwargs: Any) -> ReceivedArguments:
    return ReceivedArguments(args, kwargs, lambda: inspect.signature(function))


def take(*args: Any, tool: str = "f", **kwargs: Any) -> str | None:
    found = call_id_of(tool, args, kwargs, lambda: inspect.signature(function))
    return None if found is None else found[0]


def asked(*ids: str, tool: str = "f", **arguments: Any) -> list[RequestedCall]:
    return [RequestedCall(call_id, tool, json.dumps(arguments)) for call_id in ids]


def here() -> RequestOrigin:
    return RequestOrigin(trace.get_current_span().get_span_context().trace_id)


def in_a_new_context(work: Callable[..., Any], *args: Any) -> Any:
    return contextvars.Context().run(work, *args)


@pytest.fixture(autouse=True)
def _nothing_pending() -> Iterator[None]:
    clear()
    yield
    clear()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr(clock, "now", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("written", "args", "kwargs"),
    [
        ('{"location": "Paris"}', (), {"location": "Paris"}),
        ('{"location": "Paris"}', ("Paris",), {}),
        ('{"location": "Paris"}', ("Paris", "celsius"), {"days": 1}),
        ('{"location": "Paris", "unit": null}', (), {"location": "Paris"}),
        ('{"location": "Paris"}', (), {"location": "Paris", "unit": None}),
        ('{"unit": "celsius", "location": "Paris"}', (), {"location": "Paris"}),
        ('{"days": 1.0, "location": 1}', (1.0,), {"days": 1}),
        ('{"days": 1e3}', (), {"days": 1000}),
        ('{"days": 0.5}', (), {"days": Decimal("0.5")}),
        ('{"b": {"x": 1, "y": [1, 2.0]}, "a": 1}', (), {"a": 1, "b": {"y": (1, 2), "x": 1.0}}),
        ('{"location": "2015-07-04", "unit": "celsius"}', (date(2015, 7, 4), Unit.CELSIUS), {}),
        ('{"location": {"city": "Paris", "floor": 2}}', (Place("Paris", 2),), {}),
        ('{"location": "Paris"}', (Weather(location="Paris"),), {}),
        ('{"city": "Paris", "floor": 2}', (Place("Paris", 2),), {}),
        ("", (), {}),
        ("{}", (), {}),
        (json.dumps({"location": "x" * 100_000}), ("x" * 100_000,), {}),
        ('{"location": "caf\\u00e9 \\ud83d\\ude00"}', ("café 😀",), {}),
        ('{"location": "\\ud800"}', ("\ud800",), {}),
        ('{"location": true}', (True,), {}),
        ('{"location": NaN}', (float("nan"),), {}),
    ],
)
def test_received_arguments_match_the_sent_ones(written: str, args: Any, kwargs: Any) -> None:
    known = sent_arguments(written)
    assert known is not None
    assert received(*args, **kwargs).match(known)


class _Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class _Model:
    def model_dump(self, **_: Any) -> Any:
        raise ValueError


def _cyclic() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    ("written", "args", "kwargs"),
    [
        ('{"location": "Paris"}', (), {"location": "paris"}),
        ('{"location": "Paris"}', (), {}),
        ('{"location": "Paris"}', ("Paris", "kelvin"), {}),
        ('{"location": "Paris", "unit": "kelvin"}', ("Paris",), {}),
        ('{"days": "1"}', (), {"days": 1}),
        ('{"days": true}', (), {"days": 1}),
        ('{"days": 0}', (), {"days": False}),
        ('{"location": [1, 2]}', ([2, 1],), {}),
        ('{"location": "x"}', (object(),), {}),
        ('{"location": "x"}', (_Hostile(),), {}),
        ('{"location": "x"}', (_Model(),), {}),
        ('{"location": [[]]}', (_cyclic(),), {}),
        ('{"location": "x"}', (b"x",), {}),
        ("{}", (), {"days": object()}),
    ],
)
def test_received_arguments_differ_from_the_sent_ones(written: str, args: Any, kwargs: Any) -> None:
    known = sent_arguments(written)
    assert known is not None
    assert not received(*args, **kwargs).match(known)


@pytest.mark.parametrize(
    "written",
    [
        "{",
        "[]",
        "1",
        '"x"',
        "[" * 100_000,
        '{"a": ' * 100_000,
        " " * 1_000_001,
        json.dumps(dict.fromkeys(map(str, range(300)))),
        json.dumps({"x" * 1000: 1}),
        7,
        ["x"],
        {7: 7},
        {"x": object()},
    ],
)
def test_arguments_that_no_function_can_take_are_not_remembered(written: Any) -> None:
    remember([RequestedCall("c1", "f", written)], RequestOrigin())

    assert take() is None
    assert pending_calls._store.count == 0


@pytest.mark.parametrize("name", ["", None, 7, "x" * 1000])
def test_a_call_without_a_proper_name_or_id_is_not_remembered(name: Any) -> None:
    calls = [RequestedCall(name, "f", "{}"), RequestedCall("c1", name, "{}"), RequestedCall("c2", "f", {"x": 1})]

    remember(calls, RequestOrigin())

    assert pending_calls._store.count == 1
    assert take(x=1) == "c2"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name != "self"), JSON, max_size=4), st.randoms())
def test_parsed_arguments_match_in_any_order(arguments: dict[str, Any], random: Any) -> None:
    known = sent_arguments(json.dumps(arguments))
    items = list(json.loads(json.dumps(arguments)).items())
    random.shuffle(items)

    assert known is not None
    assert ReceivedArguments((), dict(items), lambda: inspect.signature(function)).match(known)


def test_the_text_of_a_custom_tool_is_its_one_argument() -> None:
    calls = [("c1", "print('{')"), ("c2", "other")]
    remember([RequestedCall(call_id, "f", text, free_form=True) for call_id, text in calls], RequestOrigin())

    assert take("other") == "c2"
    assert take("print('{')", "kelvin") is None
    assert take(location="print('{')") == "c1"


def test_equal_calls_are_taken_in_their_order() -> None:
    remember(asked("c1", "c2", x=1), RequestOrigin())
    remember(asked("c3", x=1), RequestOrigin())

    assert [take(x=1) for _ in range(4)] == ["c1", "c2", "c3", None]


def test_a_call_of_another_tool_or_with_other_arguments_is_left() -> None:
    remember([*asked("c1", x=1), *asked("c2", tool="g", x=2)], RequestOrigin())

    assert take(x=2) is None
    assert take(tool="g", x=1) is None
    assert take(tool="g", x=2) == "c2"
    assert take(x=1) == "c1"


def test_this_context_goes_before_others(seen: Captured) -> None:
    with otel_tools.agent("one"):
        origin = here()
        in_a_new_context(remember, asked("elsewhere", x=1), origin)
        remember(asked("here", x=1), origin)

        assert take(x=1) == "here"
        assert take(x=1) == "elsewhere"


def test_calls_of_another_trace_are_not_taken(seen: Captured) -> None:
    with otel_tools.agent("one"):
        in_a_new_context(remember, asked("c1", x=1), here())
    in_a_new_context(remember, asked("c2", x=1), RequestOrigin())
    with otel_tools.agent("two"):
        assert take(x=1) is None


def test_the_same_context_goes_before_no_trace_at_all(seen: Captured) -> None:
    with otel_tools.agent("one"):
        remember(asked("c1", x=1), here())
    with otel_tools.agent("two"):
        assert take(x=1) == "c1"


def test_without_a_trace_the_only_conversation_that_asked_is_meant(seen: Captured) -> None:
    with otel_tools.agent("one"):
        in_a_new_context(remember, asked("c1", "c2", x=1), here())
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(take, x=1).result() == "c1"
        with otel_tools.agent("two"):
            in_a_new_context(remember, asked("c3", x=1), here())
        assert pool.submit(take, x=1).result() is None


async def test_calls_of_a_task_are_not_seen_by_its_parent_and_siblings(seen: Captured) -> None:
    async def converse(name: str) -> list[str | None]:
        with otel_tools.agent(name):
            remember(asked(f"{name} 1", f"{name} 2", x=1), here())
            await asyncio.sleep(0)
            return [take(x=1), await asyncio.create_task(_later(x=1))]

    async def _later(**arguments: Any) -> str | None:
        return take(**arguments)

    first, second = await asyncio.gather(converse("a"), converse("b"))
    assert first == ["a 1", "a 2"]
    assert second == ["b 1", "b 2"]


def test_calls_are_forgotten_after_ten_minutes(now: list[float]) -> None:
    remember(asked("c1", x=1), RequestOrigin())
    now[0] += 599.0
    remember(asked("c2", x=1), RequestOrigin())
    now[0] += 1.0

    assert take(x=1) == "c2"
    assert take(x=1) is None


def test_memory_is_bounded() -> None:
    for number in range(3 * pending_calls.MAX_CALLS // 2):
        in_a_new_context(remember, asked(f"c{number}", tool=f"t{number % 100}", x=number), RequestOrigin())
    for number in range(2 * pending_calls.MAX_CALLS_PER_TOOL):
        remember(asked(f"f{number}", x=number), RequestOrigin())

    memory = pending_calls._store
    assert memory.count == sum(len(each.calls) for each in memory.by_tool.values()) == pending_calls.MAX_CALLS
    assert len(memory.by_tool["f"].calls) == pending_calls.MAX_CALLS_PER_TOOL
    assert len(pending_calls._context_calls.get()) == pending_calls.MAX_CALLS_PER_CONTEXT
    assert take(x=0) is None
    assert take(x=2 * pending_calls.MAX_CALLS_PER_TOOL - 1) == f"f{2 * pending_calls.MAX_CALLS_PER_TOOL - 1}"


def test_taken_calls_are_removed_from_memory() -> None:
    for number in range(1000):
        remember(asked(f"c{number}", x=number), RequestOrigin())
        assert take(x=number) == f"c{number}"

    assert pending_calls._store.by_tool == {}
    assert pending_calls._store.count == 0
    assert len(pending_calls._context_calls.get()) == 1


def test_an_answered_call_is_not_pending(seen: Captured) -> None:
    remember(asked("c1", "c2", x=1), RequestOrigin())
    in_a_new_context(remember, asked("c1", x=2), RequestOrigin())
    discard_answered({"c1", "c9"}, 0)

    assert take(x=1) == "c2"
    assert take(x=1) is None
    assert take(x=2) == "c1"


def test_many_threads_take_each_call_once() -> None:
    remember(asked(*(f"c{number}" for number in range(400)), x=1), RequestOrigin())
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.extend([take(x=1) for _ in range(60)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(filter(None, got)) == sorted(f"c{number}" for number in range(400))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("held", [False, True])
def test_a_forked_child_matches_also_where_a_thread_held_the_lock(*, held: bool) -> None:
    remember(asked("c1", x=1), RequestOrigin())
    locked, go = threading.Event(), threading.Event()

    def hold() -> None:
        with pending_calls._store.lock:
            locked.set()
            go.wait(60)

    thread = threading.Thread(target=hold)
    if held:
        thread.start()
        locked.wait(60)
    child = os.fork()
    if child == 0:
        first = take(x=1)
        remember(asked("c2", x=1), RequestOrigin())
        os._exit(0 if (first, take(x=1)) == (None if held else "c1", "c2") else 1)
    go.set()
    assert os.waitpid(child, 0)[1] == 0
    if held:
        thread.join()
    assert take(x=1) == "c1"


def test_a_known_id_is_exact_and_is_for_one_call(seen: Captured, both: Any) -> None:
    @otel_tools.tool
    def inner(x: int) -> int:
        return x

    def body(x: int) -> int:
        return inner(x)

    outer = otel_tools.tool(name="outer")(both.function(body))
    remember([*asked("c1", "c2", tool="outer", x=1), *asked("c3", tool="inner", x=1)], RequestOrigin())
    with known_call_id("c2", "outer"):
        both.call(outer, x=1)
    both.call(outer, x=1)
    with known_call_id("c4"):
        inner(2)
        inner(3)
    with known_call_id("c5", "outer"):
        inner(4)

    got = [(span.name.split()[1], (span.attributes or {}).get("gen_ai.tool.call.id")) for span in seen.spans]
    assert got == [
        ("inner", "c3"),
        ("outer", "c2"),
        ("inner", None),
        ("outer", "c1"),
        ("inner", "c4"),
        ("inner", None),
        ("inner", None),
    ]


def test_the_id_is_known_when_the_span_begins_and_is_in_no_metric(seen: Captured) -> None:
    @otel_tools.tool
    def f(x: int) -> int:
        return x

    with otel_tools.agent("one"):
        remember(asked("c1", x=1), here())
        f(1)

    (span,) = (span for span in seen.spans if span.name == "execute_tool f")
    assert (span.attributes or {})["gen_ai.tool.call.id"] == "c1"
    assert (span.attributes or {})["gen_ai.agent.name"] == "one"
    for metric in seen.metrics:
        for point in metric.data.data_points:
            assert "gen_ai.tool.call.id" not in (point.attributes or {})


def test_the_span_links_to_that_of_the_models_call(seen: Captured) -> None:
    @otel_tools.tool
    def f(x: int) -> int:
        return x

    with instruments.tracer.start_as_current_span("chat") as model:
        pass
    remember(asked("c1", "c2", x=1), RequestOrigin(0, model.get_span_context()))
    f(x=1)
    with known_call_id("c2", "f"):
        f(x=1)
    f(x=1)

    links = [[link.context for link in span.links] for span in seen.spans if span.name == "execute_tool f"]
    assert links == [[model.get_span_context()], [model.get_span_context()], []]


def test_hostile_arguments_do_not_change_the_call(seen: Captured) -> None:
    class Hostile:
        @property  # type: ignore[misc] # as hostile as can be
        def __class__(self) -> Any:
            raise RuntimeError

    @otel_tools.tool
    def f(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args, kwargs

    hostile = Hostile()
    remember([*asked("c1", x=1), *asked("c2", args=1), *asked("c3")], RequestOrigin())
    assert f(hostile, x=hostile) == ((hostile,), {"x": hostile})
    assert f(hostile) == ((hostile,), {})
    with pytest.raises(TypeError):
        otel_tools.tool(name="f")(lambda x: x)(1, 2)

    assert len(seen.spans) == 3


def test_methods_are_matched_without_their_receiver(seen: Captured) -> None:
    class Station:
        @otel_tools.tool(name="f")
        def measure(self, location: str) -> str:
            return location

    remember(asked("c1", location="Paris"), RequestOrigin())
    Station().measure("Paris")

    assert [(span.attributes or {}).get("gen_ai.tool.call.id") for span in seen.spans] == ["c1"]
