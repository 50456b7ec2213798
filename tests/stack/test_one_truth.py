"""However a call ends, its span, the histogram, the counters, `stats()`, the log and the model's message agree."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from opentelemetry.trace import StatusCode

from otel_tools import (
    Cache,
    CircuitBreaker,
    Concurrency,
    FailedResult,
    InvalidArguments,
    Objective,
    RateLimit,
    Retry,
    ToolError,
    ToolResult,
    ToolSet,
    agent,
    run_loop,
    stats,
    tool,
)
from otel_tools._model.toolset.failure_kinds import FailureKind
from otel_tools.testing import Captured, FakeClock
from tests.telemetry.log_lines import Lines, logs_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import Flavour

SERVED = {"ok", "cached", "fallback"}
Ended = tuple[str, str | None]
"""The outcome of a call and its ``error.type``."""

KINDS = {
    "invalid_result": "bad_result",
    "concurrency_limited": "unavailable",
    "circuit_open": "unavailable",
    "ConnectionError": "unavailable",
    "PermissionError": "authentication",
    "ValueError": "other",
}
"""What the model reads, where that is not the ``error.type``."""


@pytest.fixture
def lines(seen: Captured) -> Iterator[Lines]:
    """What is logged."""
    assert seen is not None
    with logs_on() as stream:
        yield stream


def call(name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def told(message: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(message["content"])
    return read


def spans_of(seen: Captured, name: str) -> list[Any]:
    return [span for span in seen.spans if span.name == f"execute_tool {name}"]


def assert_agree(seen: Captured, lines: Lines, name: str, *ended: Ended) -> None:
    """All that is recorded of a tool's calls says that they ended so."""
    outcomes = Counter(outcome for outcome, _ in ended)

    spans = spans_of(seen, name)
    said = [(span.attributes["otel_tools.outcome"], span.attributes.get("error.type")) for span in spans]
    assert Counter(said) == Counter(ended)
    for span in spans:
        failed = span.attributes["otel_tools.outcome"] in {"error", "invalid"}
        assert span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
        assert ("error.type" in span.attributes) is failed

    points = [p for p in seen.points("gen_ai.execute_tool.duration") if p.attributes["gen_ai.tool.name"] == name]
    durations = {point.attributes.get("error.type"): point.count for point in points}
    assert durations == Counter(error_type for _, error_type in ended)

    counted = {
        point.attributes["otel_tools.outcome"]: point.value
        for point in seen.points("otel_tools.calls")
        if point.attributes["gen_ai.tool.name"] == name and point.value
    }
    numbers = stats()[name]
    in_stats = {outcome: count for outcome, count in numbers.as_dict()["calls"].items() if count}
    assert counted == in_stats == outcomes
    assert numbers.active == 0

    logged = [(line["outcome"], line.get("error_type")) for line in lines.ends if line["tool"] == name]
    assert Counter(logged) == Counter(ended)


def assert_told(message: dict[str, Any], ended: Ended) -> None:
    """The model reads the same."""
    outcome, error_type = ended
    read = told(message)
    assert read["success"] is (outcome in SERVED)
    if not read["success"]:
        assert read["error"]["kind"] == KINDS.get(error_type or "", error_type or outcome)


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        raise error

    return body


def cyclic() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def made() -> object:
    return object()


class RaisesWhenWritten:
    """An object whose own code raises."""

    def tolist(self) -> list[int]:
        raise OSError("gone")


def next_of(bodies: list[Any]) -> Callable[[], Any]:
    """A function that does what the next of these does."""

    def body() -> Any:
        return bodies.pop(0)()

    return body


class Ending(NamedTuple):
    """One way in which a call can end.

    Attributes:
        body: The tool's function.
        ended: How its call ends.
        options: Its options.
        plain: How a call ends that is not made for a model; by default alike.
    """

    body: Callable[[], Any]
    ended: Ended
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    plain: Ended | None = None


OK: Ended = ("ok", None)
UNWRITABLE: Ended = ("error", "invalid_result")
FAILURES: dict[str, Ended] = {
    kind: {
        "invalid_arguments": ("invalid", "invalid_arguments"),
        "unknown_tool": ("invalid", "unknown_tool"),
        "cancelled": ("cancelled", None),
        "bad_result": ("error", "invalid_result"),
    }.get(kind, ("error", kind))
    for kind in get_args(FailureKind)
}

ENDINGS: dict[str, Ending] = {
    "value": Ending(lambda: {"a": 1}, OK),
    "nothing": Ending(lambda: None, OK),
    "not a number": Ending(lambda: float("nan"), OK),
    "bytes": Ending(lambda: b"\xff\xfe", OK),
    "huge": Ending(lambda: "x" * 200_000, OK),
    "half a surrogate pair": Ending(lambda: "\ud800", OK),
    "raised": Ending(raising(ValueError("no")), ("error", "ValueError")),
    "refused": Ending(raising(ConnectionError("no")), ("error", "ConnectionError")),
    "forbidden": Ending(raising(PermissionError("no")), ("error", "PermissionError")),
    "arguments that the tool refuses": Ending(raising(InvalidArguments("no")), ("invalid", "invalid_arguments")),
    "object": Ending(object, UNWRITABLE, plain=OK),
    "cycle": Ending(cyclic, UNWRITABLE, plain=OK),
    "endless number": Ending(lambda: 10**5000, UNWRITABLE, plain=OK),
    "code that raises": Ending(RaisesWhenWritten, UNWRITABLE, plain=OK),
    "object in a result": Ending(lambda: ToolResult.of(object()), UNWRITABLE, plain=OK),
    "object and retries": Ending(object, UNWRITABLE, {"retry": Retry(initial=0)}, plain=OK),
    "object and a limit": Ending(object, UNWRITABLE, {"concurrency": Concurrency(1)}, plain=OK),
    "object and a fallback": Ending(object, ("fallback", None), {"fallback": lambda: 1}, plain=OK),
    "error and a fallback": Ending(raising(ValueError("no")), ("fallback", None), {"fallback": lambda: 1}),
    "failure and a fallback": Ending(
        lambda: ToolResult.failure("unavailable", "no"),
        ("fallback", None),
        {"fallback": lambda: 1, "fallback_on": (OSError, FailedResult)},
    ),
    "failure and another's fallback": Ending(
        lambda: ToolResult.failure("unavailable", "no"),
        ("error", "unavailable"),
        {"fallback": lambda: 1, "fallback_on": Exception},
    ),
    "error and an object": Ending(
        raising(ValueError("no")), UNWRITABLE, {"fallback": object}, plain=("fallback", None)
    ),
    "error and a failure": Ending(
        raising(ValueError("no")),
        ("error", "unavailable"),
        {"fallback": lambda: ToolResult.failure("unavailable", "later")},
    ),
    "failed_if": Ending(lambda: {"error": "no"}, ("error", "tool_error"), {"failed_if": lambda r: "error" in r}),
    "failed_if and retries": Ending(
        lambda: {"error": "no"},
        ("error", "tool_error"),
        {"failed_if": lambda r: "error" in r, "retry": Retry(initial=0, on=FailedResult)},
    ),
    "failed_if and an object": Ending(object, ("error", "tool_error"), {"failed_if": lambda _: True}),
    "failed_if and a result": Ending(lambda: ToolResult.of(1), ("error", "tool_error"), {"failed_if": lambda _: True}),
    "failure without an error": Ending(lambda: ToolResult(success=False), ("error", "other")),
    **{
        f"failure {kind}": Ending(functools.partial(ToolResult.failure, kind, "no"), ended)  # type: ignore[arg-type] # one of the kinds
        for kind, ended in FAILURES.items()
    },
}


def decorated(both: Flavour, name: str, ending: Ending) -> Any:
    return tool(name=name, **ending.options)(both.function(next_of([ending.body] * 3)))


def in_a_toolset(function: Any, *, to: str = "run") -> list[dict[str, Any]]:
    tools = ToolSet([function])
    said = [call(function.tool.name)]
    return tools.run(said) if to == "run" else asyncio.run(tools.arun(said))


@pytest.mark.parametrize("ending", ENDINGS)
def test_of_a_call_that_a_toolset_makes(seen: Captured, lines: Lines, both: Flavour, ending: str) -> None:
    each = ENDINGS[ending]
    (message,) = in_a_toolset(decorated(both, "it", each))

    assert_agree(seen, lines, "it", each.ended)
    assert_told(message, each.ended)


@pytest.mark.parametrize("ending", ENDINGS)
def test_of_a_call_in_a_loop_of_the_users_own(seen: Captured, lines: Lines, both: Flavour, ending: str) -> None:
    each = ENDINGS[ending]
    function = decorated(both, "it", each)
    with contextlib.suppress(Exception):
        both.call(function)

    assert_agree(seen, lines, "it", each.plain or each.ended)


@pytest.mark.parametrize("ending", ["value", "raised", "object", "failed_if", "failure unavailable"])
@pytest.mark.parametrize("way", ["arun", "run_loop", "method", "override", "around", "returns a coroutine"])
def test_of_other_ways_to_be_called(seen: Captured, lines: Lines, both: Flavour, ending: str, way: str) -> None:
    each = ENDINGS[ending]
    function = decorated(both, "it", each)
    ended = each.ended
    if way == "run_loop":
        (message,) = answered_in_a_loop(function)
    elif way == "method":

        class Thing:
            it = tool(name="it", **each.options)(
                (lambda _self: each.body()) if both.name == "sync" else amethod(each.body)
            )

        (message,) = in_a_toolset(Thing().it)
    elif way == "override":
        with function.tool.override(concurrency=Concurrency(1)):
            (message,) = in_a_toolset(function)
    elif way == "around":
        message, ended = around(function, each)
    elif way == "returns a coroutine":
        if both.name == "async":
            later = tool(name="it", **each.options)(lambda: amethod(each.body)(None))
            (message,) = in_a_toolset(later)
        else:
            (message,) = in_a_toolset(function)
    else:
        (message,) = in_a_toolset(function, to="arun")

    assert_agree(seen, lines, "it", ended)
    if way != "around" or ending != "object":
        assert_told(message, ended)


def amethod(body: Callable[[], Any]) -> Callable[[Any], Any]:
    async def method(_self: Any) -> Any:
        await asyncio.sleep(0)
        return body()

    return method


def around(function: Any, each: Ending) -> tuple[dict[str, Any], Ended]:
    """A function around a tool: what it makes of the result is its own, so that the tool's own result is as it was."""

    @functools.wraps(function)
    def outer() -> Any:
        return function()

    (message,) = in_a_toolset(outer)
    return message, each.plain or each.ended


def answered_in_a_loop(function: Any) -> list[dict[str, Any]]:
    asked = SimpleNamespace(
        id="call_1", type="function", function=SimpleNamespace(name=function.tool.name, arguments="{}")
    )
    turns = [SimpleNamespace(role="assistant", content=None, tool_calls=[asked])]
    turns.append(SimpleNamespace(role="assistant", content="done", tool_calls=None))

    def create(**_request: Any) -> Any:
        return SimpleNamespace(choices=[SimpleNamespace(message=turns.pop(0), finish_reason="stop")], usage=None)

    client: Any = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    result = run_loop(client, "go", [function], model="any")
    return [message for message in result.messages if isinstance(message, dict) and message["role"] == "tool"]


def test_what_failed_if_refuses_reaches_the_model_with_its_data(both: Flavour) -> None:
    function = decorated(both, "it", ENDINGS["failed_if"])
    assert both.call(function) == {"error": "no"}
    (message,) = in_a_toolset(function)

    read = told(message)
    assert (read["success"], read["error"]["kind"], read["data"]) == (False, "tool_error", {"error": "no"})
    assert read["suggestion"]

    read = told(in_a_toolset(decorated(both, "it", ENDINGS["failed_if and an object"]))[0])
    assert (read["error"]["kind"], "data" in read) == ("tool_error", False)
    nothing = tool(name="nothing", failed_if=lambda result: result is None)(both.function(lambda: None))
    assert told(in_a_toolset(nothing)[0])["data"] is None


def test_the_span_says_what_a_returned_failure_says(seen: Captured, both: Flavour) -> None:
    function = tool(name="it")(both.function(lambda: ToolResult.failure("unavailable", "closed, password=hunter2")))
    both.call(function)

    description = seen.span("it").status.description or ""
    assert "closed" in description
    assert "hunter2" not in description


def test_the_data_of_a_failure_fit_and_hold_no_secret() -> None:
    secret = "sk-" + "a1B2" * 12
    broken = tool(name="broken", failed_if=lambda _: True)(lambda: {"text": f"{secret} " + "x" * 50_000})
    (message,) = ToolSet([broken], max_characters=2000).run([call("broken")])

    assert len(message["content"]) <= 2000
    assert secret not in message["content"]
    assert "cut" in told(message)["note"]


@pytest.mark.parametrize(
    "on", [FailedResult, ToolError, (OSError, FailedResult), lambda e: isinstance(e, FailedResult)]
)
def test_retries_of_results_that_are_failures(seen: Captured, both: Flavour, on: Any) -> None:
    results: list[Any] = [{"error": "busy"}, ToolResult.failure("unavailable", "busy", retry_after=0), "done"]
    function = tool(name="it", failed_if=lambda r: "error" in r, retry=Retry(initial=0, on=on))(
        both.function(lambda: results.pop(0))
    )

    assert both.call(function) == "done"
    assert stats()["it"].calls.ok == 1
    assert seen.value("otel_tools.retries", {"gen_ai.tool.name": "it", "error.type": "tool_error"}) == 1
    assert seen.value("otel_tools.retries", {"gen_ai.tool.name": "it", "error.type": "unavailable"}) == 1


def test_the_result_that_is_a_failure_says_how_long_to_wait(both: Flavour) -> None:
    clock = FakeClock()
    results: list[Any] = [ToolResult.failure("rate_limited", "busy", retry_after=7), "done"]
    function = tool(name="it", retry=Retry(on=FailedResult))(both.function(lambda: results.pop(0)))
    with clock:
        began = clock.now()
        assert both.call(function) == "done"
        assert clock.now() - began == pytest.approx(7)


@pytest.mark.parametrize("on", [None, Exception, ConnectionError])
def test_other_retries_leave_such_results_alone(seen: Captured, both: Flavour, on: Any) -> None:
    options = {} if on is None else {"on": on}
    function = tool(name="it", failed_if=lambda _: True, retry=Retry(initial=0, **options))(both.function(lambda: 1))

    assert both.call(function) == 1
    assert seen.value("otel_tools.calls", {"gen_ai.tool.name": "it", "otel_tools.outcome": "error"}) == 1
    assert stats()["it"].retries == 0


@pytest.mark.parametrize("body", [object, lambda: ToolResult.failure("unavailable", "no")], ids=["object", "failure"])
def test_a_failure_is_not_kept_for_the_next_call(seen: Captured, lines: Lines, both: Flavour, body: Any) -> None:
    bodies = [body, lambda: 1]
    function = tool(name="it", cache=Cache(ttl=300))(both.function(next_of(bodies)))
    read = [told(in_a_toolset(function)[0])["success"] for _ in range(3)]

    assert read == [False, True, True]
    error_type = "invalid_result" if body is object else "unavailable"
    assert_agree(seen, lines, "it", ("error", error_type), OK, ("cached", None))


def test_a_value_that_a_caller_in_python_cached_is_an_error_to_each_model(seen: Captured, lines: Lines) -> None:
    function: Any = tool(name="it", cache=Cache(ttl=300))(made)
    function()
    for _ in range(2):
        assert_told(in_a_toolset(function)[0], UNWRITABLE)

    assert_agree(seen, lines, "it", OK, UNWRITABLE, UNWRITABLE)


@pytest.mark.parametrize("failed", [object, lambda: ToolResult.failure("unavailable", "no")], ids=["object", "failure"])
def test_a_stale_value_is_served_in_its_place(seen: Captured, lines: Lines, both: Flavour, failed: Any) -> None:
    bodies = [lambda: 1, failed]
    with FakeClock() as clock:
        function = tool(name="it", cache=Cache(ttl=1, stale_if_error=300))(both.function(next_of(bodies)))
        first = in_a_toolset(function)
        clock.advance(2)
        second = in_a_toolset(function)

    assert [told(each[0])["data"] for each in (first, second)] == [1, 1]
    assert_agree(seen, lines, "it", OK, ("fallback", None))


def test_calls_that_share_a_result_agree(seen: Captured, lines: Lines, both: Flavour) -> None:
    function = tool(name="it", cache=Cache(ttl=300))(both.function(lambda: (threading.Event().wait(0.05), object())[1]))
    messages = ToolSet([function]).run([call("it")] * 4)

    for message in messages:
        assert_told(message, UNWRITABLE)
    assert_agree(seen, lines, "it", *[UNWRITABLE] * 4)


def test_unwritable_results_open_a_circuit(seen: Captured, lines: Lines, both: Flavour) -> None:
    function = tool(name="it", circuit_breaker=CircuitBreaker(failures=2))(both.function(made))
    messages = [in_a_toolset(function)[0] for _ in range(3)]

    ended = [UNWRITABLE, UNWRITABLE, ("error", "circuit_open")]
    for message, each in zip(messages, ended, strict=True):
        assert_told(message, each)
    assert_agree(seen, lines, "it", *ended)


def test_of_limits(seen: Captured, lines: Lines, both: Flavour) -> None:
    limited = tool(name="limited", rate_limit=RateLimit(1, per=60, max_wait=0))(both.function(lambda: 1))
    messages = ToolSet([limited], parallel=False).run([call("limited")] * 2)
    for message, ended in zip(messages, (OK, ("error", "rate_limited")), strict=True):
        assert_told(message, ended)
    assert_agree(seen, lines, "limited", OK, ("error", "rate_limited"))

    meet, leave = threading.Event(), threading.Event()

    def hold() -> bool:
        meet.set()
        return leave.wait(20)

    crowded = tool(name="crowded", concurrency=Concurrency(1, max_wait=0))(hold)
    holder = threading.Thread(target=crowded)
    holder.start()
    meet.wait(20)
    (message,) = in_a_toolset(crowded)
    leave.set()
    holder.join()
    assert_told(message, ("error", "concurrency_limited"))
    assert_agree(seen, lines, "crowded", OK, ("error", "concurrency_limited"))


def test_of_arguments_and_names_that_do_not_exist(seen: Captured, lines: Lines, both: Flavour) -> None:
    function = tool(name="it")(both.function(lambda x: x))
    bad = ['{"x"', "[1]", '"x"', "{}", '{"y": 1}', '{"x": 1, "y": 1}', "\ud800"]
    messages = ToolSet([function]).run([call("it", arguments) for arguments in bad])
    for message in messages:
        assert_told(message, ("invalid", "invalid_arguments"))
    assert_agree(seen, lines, "it", *[("invalid", "invalid_arguments")] * len(bad))

    unknown: list[Any] = [call(f"invented_{number}") for number in range(5)]
    unknown += [{"id": "x"}, {"id": "y", "type": "custom", "custom": {"name": "it", "input": ""}}, call("\ud800" * 999)]
    messages = ToolSet([function]).run(unknown)
    for message in messages:
        assert_told(message, ("invalid", "unknown_tool"))
    assert_agree(seen, lines, "_OTHER", *[("invalid", "unknown_tool")] * len(unknown))
    # The names are on spans and in the log, and never on a metric.
    exported = {point.attributes["gen_ai.tool.name"] for point in seen.points("otel_tools.calls") if point.value}
    assert exported == {"it", "_OTHER"}
    assert spans_of(seen, "_OTHER")[0].attributes["otel_tools.tool.name"] == "invented_0"
    assert spans_of(seen, "_OTHER")[0].attributes["gen_ai.tool.call.id"] == "call_1"
    assert [line.get("called") for line in lines.ends if line["tool"] == "_OTHER"][:2] == ["invented_0", "invented_1"]
    assert all(line["level"] == "WARNING" for line in lines.ends)


def test_mistakes_are_logged_once_also_where_logs_are_off(seen: Captured, caplog: pytest.LogCaptureFixture) -> None:
    function = tool(name="mute")(made)
    secret = "sk-" + "a1B2" * 12
    for _ in range(3):
        ToolSet([function]).run([call("mute"), call("invented_here"), call(secret)])

    assert stats()["mute"].calls.error == 3
    logged = [record.getMessage() for record in caplog.records if record.name == "otel_tools.model.toolset"]
    assert ["mute" in logged[2], "invented_here" in logged[0], secret in "".join(logged)] == [True, True, False]
    assert len(logged) == 3
    assert seen.spans


@pytest.mark.parametrize("to", ["run", "arun"])
def test_of_a_turn_that_takes_too_long(  # noqa: C901 - a tool for each way to hang
    seen: Captured, lines: Lines, to: str
) -> None:
    let_go, began, ended = threading.Event(), threading.Event(), threading.Event()

    @tool
    def hangs() -> int:
        began.set()
        let_go.wait(60)
        ended.set()
        return 1

    @tool(retry=Retry(initial=0, on=ConnectionError), cache=Cache(ttl=300))
    def hangs_with_policies() -> int:
        let_go.wait(60)
        raise ConnectionError("no")

    @tool
    async def ahangs() -> None:
        await asyncio.sleep(60)

    @tool
    async def says_it_was_done() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"
        return ""

    @tool
    def yields() -> Iterator[int]:
        yield 1
        let_go.wait(60)
        yield 2

    @tool
    async def ayields() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    @tool
    def quick() -> int:
        return 1

    names = ["hangs", "hangs_with_policies", "ahangs", "says_it_was_done", "yields", "ayields"]
    tools = ToolSet([hangs, hangs_with_policies, ahangs, says_it_was_done, yields, ayields, quick], timeout=0.5)
    said = [call(name) for name in [*names, "quick"]]
    messages = tools.run(said) if to == "run" else asyncio.run(tools.arun(said))
    timeout: Ended = ("error", "timeout")
    try:
        assert began.is_set()
        for message in messages[:-1]:
            assert_told(message, timeout)
        # At once, and not when they end.
        for name in names:
            assert_agree(seen, lines, name, timeout)
        abandoned = {name: stats()[name].abandoned for name in ("hangs", "hangs_with_policies", "yields")}
        assert abandoned == {"hangs": 1, "hangs_with_policies": 1, "yields": 1}
        assert seen.value("otel_tools.timeout.abandoned", {"gen_ai.tool.name": "hangs"}) == 1
        durations = [p for p in seen.points("gen_ai.execute_tool.duration") if "error.type" in p.attributes]
        assert all(0.45 < point.max < 20 for point in durations)
    finally:
        let_go.set()
    until_none_is_abandoned()
    assert ended.is_set()
    # Their late end changes nothing.
    for name in names:
        assert_agree(seen, lines, name, timeout)
    assert stats()["hangs_with_policies"].retries == 0
    assert_told(messages[-1], OK)
    assert_agree(seen, lines, "quick", OK)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_of_calls_that_end_just_when_their_time_is_over(seen: Captured, lines: Lines, asynchronous: bool) -> None:
    def body(number: int) -> str:
        threading.Event().wait(0.02 + number / 1000)
        return "x" * 2000

    async def abody(number: int) -> str:
        await asyncio.sleep(0.02 + number / 1000)
        return "x" * 2000

    function: Any = tool(name="it")(abody if asynchronous else body)
    said = [call("it", f'{{"number": {number}}}') for number in range(20)]
    tools = ToolSet([function], timeout=0.03)
    read = [told(message)["success"] for _ in range(15) for message in tools.run(said)]
    until_none_is_abandoned()

    assert_agree(seen, lines, "it", *[OK if success else ("error", "timeout") for success in read])


def until_none_is_abandoned() -> None:
    pause = threading.Event()
    for _ in range(1000):
        if not any(each.abandoned for each in stats().values()):
            return
        pause.wait(0.02)
    raise AssertionError("a thread is still running")


@pytest.mark.parametrize("options", [{"parallel": False}, {"max_parallel": 1}], ids=["in order", "one at once"])
def test_calls_that_were_never_begun_are_counted_too(
    seen: Captured, lines: Lines, both: Flavour, options: dict[str, Any]
) -> None:
    let_go = threading.Event()
    runs: list[int] = []

    def body(number: int) -> None:
        runs.append(number)
        let_go.wait(60)

    async def abody(number: int) -> None:
        runs.append(number)
        await asyncio.sleep(60)

    function: Any = tool(name="it")(body if both.name == "sync" else abody)
    messages = ToolSet([function], timeout=0.4, **options).run([call("it", f'{{"number": {n}}}') for n in range(3)])
    let_go.set()
    until_none_is_abandoned()

    for message in messages:
        assert_told(message, ("error", "timeout"))
    assert runs == [0]
    assert_agree(seen, lines, "it", *[("error", "timeout")] * 3)


def test_the_timeout_of_the_tool_itself(seen: Captured, lines: Lines, both: Flavour) -> None:
    let_go = threading.Event()

    async def asleep() -> None:
        await asyncio.sleep(60)

    function: Any = tool(name="it", timeout=0.05)((lambda: let_go.wait(60)) if both.name == "sync" else asleep)
    (message,) = in_a_toolset(function)
    let_go.set()
    until_none_is_abandoned()

    assert_told(message, ("error", "timeout"))
    assert_agree(seen, lines, "it", ("error", "timeout"))


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_turn_that_its_caller_cancels(seen: Captured, lines: Lines, asynchronous: bool) -> None:
    began, let_go = threading.Event(), threading.Event()

    def body() -> int:
        began.set()
        let_go.wait(60)
        return 1

    async def abody() -> None:
        began.set()
        await asyncio.sleep(60)

    function: Any = tool(name="it")(abody if asynchronous else body)

    async def main() -> None:
        turn = asyncio.create_task(ToolSet([function], timeout=50).arun([call("it")]))
        await asyncio.to_thread(began.wait, 20)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn

    asyncio.run(main())
    # Also of a sync tool, whose thread runs on: nobody waits for it.
    assert_agree(seen, lines, "it", ("cancelled", None))
    let_go.set()
    until_none_is_abandoned()
    assert_agree(seen, lines, "it", ("cancelled", None))


@pytest.mark.parametrize("options", [{}, {"timeout": 20}, {"parallel": False}, {"timeout": 20, "parallel": False}])
def test_a_tool_that_cancels_itself(seen: Captured, lines: Lines, options: dict[str, Any]) -> None:
    @tool
    async def leaves() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    @tool
    def quick() -> int:
        return 1

    messages = ToolSet([leaves, quick], **options).run([call("leaves"), call("quick")])

    assert_told(messages[0], ("cancelled", None))
    assert_told(messages[1], OK)
    assert_agree(seen, lines, "leaves", ("cancelled", None))
    assert_agree(seen, lines, "quick", OK)


@pytest.mark.parametrize(
    ("error", "ended"),
    [(KeyboardInterrupt(), ("cancelled", None)), (SystemExit(3), ("error", "SystemExit"))],
    ids=["KeyboardInterrupt", "SystemExit"],
)
def test_what_ends_the_program(seen: Captured, lines: Lines, both: Flavour, error: Any, ended: Ended) -> None:
    function = tool(name="it")(both.function(raising(error)))
    with pytest.raises(type(error)):
        in_a_toolset(function)

    assert_agree(seen, lines, "it", ended)


@pytest.mark.parametrize(
    ("items", "ended"),
    [([1, 2], OK), ([1, ValueError("no")], ("error", "ValueError")), ([1, object(), 2], UNWRITABLE)],
    ids=["all", "failed midway", "an object"],
)
def test_of_generators(seen: Captured, lines: Lines, both: Flavour, items: list[Any], ended: Ended) -> None:
    def produced() -> Iterator[Any]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    async def aproduced() -> AsyncIterator[Any]:
        for item in produced():
            yield item

    (message,) = in_a_toolset(tool(name="it")(produced if both.name == "sync" else aproduced))

    assert_told(message, ended)
    assert_agree(seen, lines, "it", ended)


def test_of_a_generator_without_an_end(seen: Captured, lines: Lines, both: Flavour) -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    async def aendless() -> AsyncIterator[int]:
        while True:
            yield 1

    (message,) = in_a_toolset(tool(name="it")(endless if both.name == "sync" else aendless))

    assert_told(message, OK)
    assert_agree(seen, lines, "it", OK)


def test_a_generator_that_its_caller_leaves(seen: Captured, lines: Lines) -> None:
    @tool(name="it")
    def items() -> Iterator[int]:
        yield 1
        yield 2

    for _ in items():
        break

    assert_agree(seen, lines, "it", ("cancelled", None))


def test_a_tool_that_calls_itself_and_others(seen: Captured, lines: Lines, both: Flavour) -> None:
    inner = tool(name="inner", failed_if=lambda _: True)(both.function(made))

    def body(depth: int) -> Any:
        return [it(depth - 1)] if depth else [repr(type(inner()))]

    async def abody(depth: int) -> Any:
        return [await it(depth - 1)] if depth else [repr(type(await inner()))]

    it: Any = tool(name="it")(body if both.name == "sync" else abody)
    (message,) = ToolSet([it, inner]).run([call("it", '{"depth": 2}')])

    assert told(message)["data"] == [[["<class 'object'>"]]]
    assert_agree(seen, lines, "it", OK, OK, OK)
    assert_agree(seen, lines, "inner", ("error", "tool_error"))


def test_a_function_around_a_tool_may_call_the_tool_that_called_it(seen: Captured, lines: Lines) -> None:
    @tool(failed_if=lambda result: result == "failed")
    def first(again: bool) -> Any:
        return told(ToolSet([around_second]).run([call("second")])[0]) if again else "failed"

    @tool
    def second() -> int:
        return 2

    @functools.wraps(second)
    def around_second() -> int:
        result: int = second()
        first(again=False)
        return result

    (message,) = ToolSet([first]).run([call("first", '{"again": true}')])

    assert told(message)["data"]["data"] == 2
    assert_agree(seen, lines, "first", ("error", "tool_error"), OK)
    assert_agree(seen, lines, "second", OK)


def test_a_function_around_a_tool_may_handle_its_errors(seen: Captured, lines: Lines) -> None:
    bodies: list[Callable[[], Any]] = [raising(ConnectionError("no")), lambda: 1]
    function = tool(name="it")(next_of(bodies))

    @functools.wraps(function)
    def twice() -> Any:
        with contextlib.suppress(ConnectionError):
            return function()
        return function()

    assert_told(in_a_toolset(twice)[0], OK)
    assert_agree(seen, lines, "it", ("error", "ConnectionError"), OK)


def test_what_attempts_and_agents_carry(seen: Captured) -> None:
    errors: list[BaseException | None] = [ConnectionError("no"), KeyboardInterrupt()]

    @tool(name="it", retry=Retry(initial=0))
    def it() -> None:
        if error := errors.pop(0):
            raise error

    with contextlib.suppress(KeyboardInterrupt), agent("a"):
        it()

    attempts = [span for span in seen.spans if span.name == "attempt it"]
    assert [dict(span.attributes or {}) for span in attempts] == [
        {"otel_tools.tool.name": "it", "error.type": "ConnectionError"},
        {"otel_tools.tool.name": "it", "otel_tools.outcome": "cancelled"},
    ]
    (run,) = (span for span in seen.spans if span.name == "invoke_agent a")
    assert (run.attributes or {})["otel_tools.outcome"] == "cancelled"
    # Of the conventions: an `error.type` only where the status is ERROR.
    for span in seen.spans:
        assert ("error.type" in (span.attributes or {})) is (span.status.status_code is StatusCode.ERROR)


def test_a_tool_that_is_defined_again_exports_what_stands_now(seen: Captured) -> None:
    breaker = CircuitBreaker(failures=1)

    @tool(name="again", objective=Objective(success=0.9), circuit_breaker=breaker)
    def first() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the breaker opens
        first()
    name = {"gen_ai.tool.name": "again"}
    assert (seen.value("otel_tools.objective", name), seen.value("otel_tools.circuit.state", name)) == (0.9, 2)
    assert stats()["again"].circuit == "open"

    @tool(name="again")
    def second() -> int:
        return 1

    assert second() == 1
    assert name not in [dict(point.attributes) for point in seen.points("otel_tools.objective")]
    assert name not in [dict(point.attributes) for point in seen.points("otel_tools.circuit.state")]
    assert stats()["again"].circuit is None

    tool(name="again", objective=Objective(success=0.5), circuit_breaker=CircuitBreaker())(second)
    assert (seen.value("otel_tools.objective", name), seen.value("otel_tools.circuit.state", name)) == (0.5, 0)
