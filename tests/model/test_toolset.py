"""`ToolSet`: from a model's calls to the messages that answer them."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from otel_tools import ConfigurationError, Tool, agent, tool
from otel_tools._call.threads import MAX_ABANDONED
from otel_tools._model.toolset.results import ToolResult
from otel_tools._model.toolset.toolset import ToolSet
from otel_tools._telemetry.content.redaction import Redact
from otel_tools.testing import Captured


def call(name: Any, arguments: Any = "{}", call_id: Any = "id") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def told(message: dict[str, Any]) -> Any:
    text = json.loads(message["content"])
    return text["data"] if text["success"] else text["error"]


Ask = Callable[[ToolSet, Any], list[dict[str, Any]]]


@pytest.fixture(params=["run", "arun"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Answers the calls, from sync or from async code."""
    if request.param == "run":
        return lambda tools, said: tools.run(said)

    async def main(tools: ToolSet, said: Any) -> Any:
        return await tools.arun(said)

    return lambda tools, said: asyncio.run(main(tools, said))


@tool
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


@tool
async def aadd(x: int, y: int = 1) -> int:
    """Add two numbers, later."""
    await asyncio.sleep(0)
    return x + y


@tool
def count(to: int) -> Iterator[int]:
    yield from range(to)


@tool
async def acount(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@tool
def fail() -> None:
    raise ValueError("no such thing")


@tool
async def afail() -> None:
    raise ValueError("no such thing")


def test_every_kind_of_tool_is_answered_in_the_order_of_the_calls(ask: Ask) -> None:
    def later(x: int) -> Any:
        return aadd(x)

    tools = ToolSet([add, aadd, count, acount, later])
    said = [
        call("aadd", '{"x": 1}', "a"),
        call("add", '{"x": 2, "y": 3}', "b"),
        call("count", '{"to": 3}', "c"),
        call("acount", '{"to": 2}', "d"),
        call("later", '{"x": 5}', "e"),
    ]
    answers = ask(tools, {"role": "assistant", "tool_calls": said})

    assert [(each["role"], each["tool_call_id"]) for each in answers] == [("tool", each) for each in "abcde"]
    assert [told(each) for each in answers] == [2, 5, [0, 1, 2], [0, 1], 6]
    assert [each.__name__ for each in tools] == ["add", "aadd", "count", "acount", "later"]


def test_the_responses_api_is_answered_in_its_own_form(ask: Ask) -> None:
    items = [{"type": "function_call", "call_id": "a", "name": "add", "arguments": '{"x": 1}'}]

    assert ask(ToolSet([add], envelope=False), {"output": items}) == [
        {"type": "function_call_output", "call_id": "a", "output": "2"}
    ]


def test_a_failure_does_not_affect_other_calls(ask: Ask) -> None:
    answers = ask(ToolSet([add, fail, afail]), [call("fail"), call("add", '{"x": 1}'), call("afail")])

    assert told(answers[1]) == 2
    for failed in (answers[0], answers[2]):
        assert (told(failed)["kind"], told(failed)["message"]) == ("other", "ValueError: no such thing")
        assert "Traceback" not in failed["content"]


def test_calls_of_one_turn_run_in_parallel(ask: Ask) -> None:
    meeting = threading.Barrier(3)

    def meet() -> int:
        return meeting.wait(20)

    async def ameet() -> int:
        return await asyncio.to_thread(meeting.wait, 20)

    answers = ask(ToolSet([meet, ameet]), [call("meet"), call("ameet"), call("meet")])

    assert sorted(map(told, answers)) == [0, 1, 2]


@pytest.mark.parametrize("options", [{"parallel": False}, {"ordered": ["write"]}, {"max_parallel": 1}])
def test_calls_run_in_sequence_with_parallel_false_or_ordered(ask: Ask, options: dict[str, Any]) -> None:
    written: list[int] = []

    async def write(number: int) -> None:
        await asyncio.sleep(0.01 if number == 0 else 0)
        written.append(number)

    ask(ToolSet([write], **options), [call("write", f'{{"number": {each}}}') for each in range(4)])

    assert written == [0, 1, 2, 3]


def test_ordered_takes_the_functions_themselves() -> None:
    def write() -> None: ...

    assert ToolSet([write, add], ordered=[write, add])._settings.ordered == {"write", "add"}
    assert ToolSet({"put": add}, ordered=[add])._settings.ordered == {"put"}


def test_two_hundred_calls_at_once_are_all_answered(ask: Ask) -> None:
    said = [call("add" if each % 2 else "aadd", f'{{"x": {each}}}', f"id{each}") for each in range(200)]
    answers = ask(ToolSet([add, aadd]), said)

    assert [(each["tool_call_id"], told(each)) for each in answers] == [(f"id{each}", each + 1) for each in range(200)]


def test_spans_are_under_the_callers(seen: Captured, ask: Ask) -> None:
    def later_tool() -> Any:
        return aadd(1)

    tools = ToolSet([add, aadd, tool(later_tool, name="later")])
    with agent("travel"):
        ask(tools, [call("add", '{"x": 1}'), call("aadd", '{"x": 1}'), call("later"), call("add", '{"y": 1}')])

    (parent,) = (span for span in seen.spans if span.name == "invoke_agent travel")
    later = seen.span("later")
    for span in seen.spans:
        if span is parent:
            continue
        assert span.parent is not None
        assert span.parent.span_id in {parent.context.span_id, later.context.span_id}
        assert dict(span.attributes or {})["gen_ai.agent.name"] == "travel"
    assert sorted(span.name for span in seen.spans) == [
        "execute_tool aadd",
        "execute_tool aadd",
        "execute_tool add",
        "execute_tool add",
        "execute_tool later",
        "invoke_agent travel",
    ]


def test_the_time_of_a_turn_is_limited(seen: Captured, ask: Ask) -> None:
    let_go = threading.Event()

    def slow() -> None:
        let_go.wait(120)

    async def aslow() -> None:
        await asyncio.sleep(120)

    tools = ToolSet([add, slow, aslow], timeout=0.5)
    answers = ask(tools, [call("slow"), call("add", '{"x": 1}'), call("aslow")])
    assert tools["slow"].tool.stats().abandoned == 1  # type: ignore[attr-defined] # it was decorated on its way in
    assert seen.value("otel_tools.timeout.abandoned", {"gen_ai.tool.name": "slow"}) == 1
    let_go.set()

    assert told(answers[1]) == 2
    for late in (answers[0], answers[2]):
        assert (told(late)["kind"], told(late)["retryable"]) == ("timeout", True)
        assert "0.5 s" in told(late)["message"]
    for name in ("slow", "aslow"):
        attributes = dict(seen.span(name).attributes or {})
        assert (attributes["otel_tools.outcome"], attributes["error.type"]) == ("error", "timeout")


async def test_cancelling_arun_loses_no_span(seen: Captured) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.sleep(20)

    turn = asyncio.create_task(ToolSet([slow]).arun([call("slow")]))
    await began.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert dict(seen.span("slow").attributes or {})["otel_tools.outcome"] == "cancelled"


async def test_run_refuses_to_block_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match=r"await tools\.arun"):
        ToolSet([add]).run([call("add", '{"x": 1}')])
    assert told((await ToolSet([add]).arun([call("add", '{"x": 1}')]))[0]) == 2


def test_a_tool_may_use_a_set_of_its_own(ask: Ask) -> None:
    inner = ToolSet([add, aadd], max_parallel=1)

    def outer() -> Any:
        return [told(each) for each in inner.run([call("add", '{"x": 1}'), call("aadd", '{"x": 2}')])]

    assert [told(each) for each in ask(ToolSet([outer], max_parallel=2), [call("outer")] * 4)] == [[2, 3]] * 4


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_an_exception_that_ends_the_program_is_raised(ask: Ask, error: BaseException) -> None:
    def leave() -> None:
        raise error

    async def aleave() -> None:
        raise error

    for name in ("leave", "aleave"):
        with pytest.raises(type(error)) as raised:
            ask(ToolSet([leave, aleave]), [call(name)])
        assert raised.value is error


def test_a_tool_that_cancels_itself_is_answered(ask: Ask) -> None:
    def stop() -> None:
        raise asyncio.CancelledError

    async def astop() -> None:
        raise asyncio.CancelledError

    answers = ask(ToolSet([stop, astop, add]), [call("stop"), call("astop"), call("add", '{"x": 1}')])

    assert [told(each)["kind"] for each in answers[:2]] == ["cancelled"] * 2
    assert told(answers[2]) == 2


def test_a_type_error_of_the_tool_is_not_the_models_mistake(seen: Captured, ask: Ask) -> None:
    def broken(x: int) -> int:
        return len(x)  # type: ignore[arg-type] # that is the point

    answers = ask(ToolSet([broken]), [call("broken", '{"x": 1}'), call("broken", '{"z": 1}')])

    assert [told(each)["kind"] for each in answers] == ["other", "invalid_arguments"]
    assert sorted(str(dict(span.attributes or {})["otel_tools.outcome"]) for span in seen.spans) == ["error", "invalid"]
    assert seen.value("otel_tools.calls", {"gen_ai.tool.name": "broken", "otel_tools.outcome": "invalid"}) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("{}", "- x: is required"),
        ('{"x": 1, "z": 2}', "- z: is no argument of this tool; known: 'x', 'y'"),
        ('{"X": 1}', "- X: is no argument of this tool; did you mean 'x'?"),
        ('{"x": 1, "x ": 2}', "did you mean 'x'?"),
    ],
)
def test_the_answer_names_the_wrong_field(ask: Ask, arguments: str, named: str) -> None:
    (answer,) = ask(ToolSet([add]), [call("add", arguments)])

    assert named in told(answer)["message"]


def test_tools_with_validate_refuse_arguments_themselves(seen: Captured, ask: Ask) -> None:
    checked = tool(validate=True, name="checked")(lambda x: x)

    def typed(x: int) -> int:
        return x

    tools = ToolSet([checked, tool(validate=True)(typed)])
    answers = ask(tools, [call("typed", '{"x": "5"}'), call("typed", '{"x": "five"}'), call("typed", '{"y": 1}')])

    assert told(answers[0]) == 5
    assert [told(each)["kind"] for each in answers[1:]] == ["invalid_arguments"] * 2
    assert "x" in told(answers[1])["message"]
    assert len([span for span in seen.spans if span.name == "execute_tool typed"]) == 3


def test_parameters_that_have_no_name_are_given_by_position(ask: Ask) -> None:
    def positional(a: int, b: int = 2, /, c: int = 3) -> Any:
        return [a, b, c]

    def variadic(a: int, b: int = 2, *rest: int) -> Any:
        return [a, b, *rest]

    def anything(*args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]

    tools = ToolSet([positional, variadic, anything])
    answers = ask(
        tools,
        [
            call("positional", '{"a": 1, "c": 5}'),
            call("positional", "{}"),
            call("variadic", '{"a": 1, "rest": [5, 6]}'),
            call("variadic", '{"a": 1, "rest": []}'),
            call("variadic", '{"a": 1, "rest": 5}'),
            call("anything", '{"args": 1, "b": 2}'),
        ],
    )

    assert told(answers[0]) == [1, 2, 5]
    assert "- a: is required" in told(answers[1])["message"]
    assert told(answers[2]) == [1, 2, 5, 6]
    assert told(answers[3]) == [1, 2]
    assert "- rest: must be an array" in told(answers[4])["message"]
    assert told(answers[5]) == [[], {"args": 1, "b": 2}]


def test_a_model_cannot_change_what_a_partial_has_filled(ask: Ask) -> None:
    def account(user: str, what: str) -> str:
        return f"{what} of {user}"

    tools = ToolSet({"account": functools.partial(account, user="alice")})
    answers = ask(tools, [call("account", '{"what": "orders"}'), call("account", '{"what": "x", "user": "bob"}')])

    assert told(answers[0]) == "orders of alice"
    assert "- user: is no argument of this tool" in told(answers[1])["message"]


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @tool
    def sell(self, what: str) -> str:
        return f"{what} from {self.name}"

    def plain(self) -> str:
        return self.name


def test_bound_methods_are_tools(seen: Captured, ask: Ask) -> None:
    one, other = Shop("one"), Shop("other")
    tools = ToolSet([one.sell, other.plain, *ToolSet({"sell_other": other.sell})])
    answers = ask(
        tools, [call("sell", '{"what": "tea"}'), call("sell_other", '{"what": "tea"}'), call("plain"), call("sell")]
    )

    assert list(map(told, answers[:3])) == ["tea from one", "tea from other", "other"]
    assert "- what: is required" in told(answers[3])["message"]
    assert "self" not in told(answers[3])["message"]
    assert seen.span("sell_other").status.is_unset


def test_a_toolset_replaces_the_dictionary_of_a_loop() -> None:
    tools = ToolSet([add])

    assert tools["add"] is add
    assert tools["add"](**json.loads('{"x": 1}')) == 2
    assert "add" in tools
    assert "nothing" not in tools
    assert len(tools) == 1
    assert repr(tools) == "<ToolSet of add>"
    with pytest.raises(KeyError):
        tools["nothing"]


def test_functions_are_decorated_on_their_way_in_under_the_name_they_have_there(seen: Captured, ask: Ask) -> None:
    def plain() -> str:
        return "plain"

    tools: dict[str, Callable[..., Any]] = {"renamed": plain, "sum": add}
    ask(ToolSet(tools, parallel=False), [call("renamed"), call("sum", '{"x": 1}')])

    assert [span.name for span in seen.spans] == ["execute_tool renamed", "execute_tool sum"]


def test_one_span_for_a_tool_in_another_decorator(seen: Captured, ask: Ask) -> None:
    @functools.wraps(add)
    def around(*args: Any, **kwargs: Any) -> Any:
        return add(*args, **kwargs) * 10

    (answer,) = ask(ToolSet([around]), [call("add", '{"x": 1}')])

    assert told(answer) == 20
    assert seen.span("add").status.is_unset


def test_a_tool_may_return_a_result_of_its_own(ask: Ask) -> None:
    def closed() -> ToolResult:
        return ToolResult.failure("unavailable", "The office is closed.", retry_after=3600)

    (answer,) = ask(ToolSet([closed]), [call("closed")])

    assert told(answer) == {
        "kind": "unavailable",
        "message": "The office is closed.",
        "retryable": True,
        "retry_after": 3600,
    }


def test_a_malformed_result_of_a_tool_is_answered(ask: Ask) -> None:
    def wrong() -> ToolResult:
        return ToolResult(success=False, error="broken")  # type: ignore[arg-type] # that is the point

    assert told(ask(ToolSet([wrong]), [call("wrong")])[0])["kind"] == "bad_result"


def test_a_function_may_give_back_an_async_generator(ask: Ask) -> None:
    def numbers() -> AsyncIterator[int]:
        return acount(2)

    assert told(ask(ToolSet([numbers]), [call("numbers")])[0]) == [0, 1]


def test_no_thread_is_started_while_too_many_abandoned_ones_run(ask: Ask) -> None:
    tools = ToolSet([add, aadd])
    tools._tools["add"].thread_budget.abandoned += [None] * MAX_ABANDONED
    answers = ask(tools, [call("add", '{"x": 1}'), call("aadd", '{"x": 1}')])

    assert (told(answers[0])["kind"], told(answers[0])["retryable"]) == ("unavailable", True)
    assert told(answers[1]) == 2


def test_one_tool_may_cancel_all_the_others(ask: Ask) -> None:
    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task() and "_run" in repr(task.get_coro()):
                task.cancel()

    async def slow() -> None:
        await asyncio.sleep(20)

    answers = ask(ToolSet([slow, cancel_all]), [call("slow"), call("cancel_all")])

    assert told(answers[0])["kind"] == "cancelled"
    assert told(answers[1]) is None


def test_kinds_and_suggestions_of_the_user_apply(ask: Ask) -> None:
    class BusyError(Exception):
        pass

    def busy() -> None:
        raise BusyError

    tools = ToolSet(
        [busy], kinds={BusyError: "rate_limited"}, suggestions={"rate_limited": "Wait.", "unknown_tool": None}
    )
    answers = ask(tools, [call("busy"), call("nothing")])

    assert json.loads(answers[0]["content"])["suggestion"] == "Wait."
    assert told(answers[0])["kind"] == "rate_limited"
    assert json.loads(answers[1]["content"])["suggestion"] is None


def test_long_results_are_cut_and_say_so(ask: Ask) -> None:
    def long() -> list[str]:
        return ["word"] * 100_000

    (answer,) = ask(ToolSet([long], max_characters=1000), [call("long")])

    assert len(answer["content"]) <= 1000
    assert "cut" in json.loads(answer["content"])["note"]


def test_secrets_in_results_are_replaced_unless_the_model_is_meant_to_have_them(ask: Ask) -> None:
    key = f"sk-{'a1' * 12}"

    def login() -> dict[str, str]:
        # The next call needs the first two.
        return {"access_token": "f00d", "next_page_token": "abc", "key": key}

    hidden = "[REDACTED]"
    by_shape = {"access_token": "f00d", "next_page_token": "abc", "key": hidden}
    by_key = {**by_shape, "access_token": hidden}
    everything = {**by_shape, "key": key}
    strengths: list[tuple[Redact, dict[str, str]]] = [(True, by_shape), ("keys", by_key), (False, everything)]
    for redact, shown in strengths:
        assert told(ask(ToolSet([login], redact=redact), [call("login")])[0]) == shown
        # A tool decides for itself.
        own = tool(redact=redact)(login)
        assert told(ask(ToolSet([own], redact=not redact), [call("login")])[0]) == shown
    assert told(ask(ToolSet([login]), [call("login")])[0]) == by_shape


@pytest.mark.parametrize("redact", ["shapes", None, 2])
def test_an_unknown_strength_of_redaction_is_refused(redact: Any) -> None:
    with pytest.raises(ConfigurationError, match="True, 'keys' or False"):
        ToolSet([], redact=redact)


def test_an_endless_generator_is_stopped(ask: Ask) -> None:
    closed: list[str] = []

    def forever() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("sync")

    async def aforever() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("async")

    ask(ToolSet([forever, aforever]), [call("forever"), call("aforever")])

    assert sorted(closed) == ["async", "sync"]


def test_values_that_no_model_returns_raise_a_type_error(ask: Ask) -> None:
    with pytest.raises(TypeError, match="chat message"):
        ask(ToolSet([add]), 5)


@pytest.mark.parametrize("said", [None, [], {"role": "assistant", "content": "Hello."}, {"output": []}])
def test_no_calls_no_messages(ask: Ask, said: Any) -> None:
    assert ask(ToolSet([add]), said) == []


@pytest.mark.parametrize(
    ("tools", "options", "named"),
    [
        ([add, tool(name="add")(lambda: None)], {}, "two tools are called 'add'"),
        ([add, add], {}, "two tools are called 'add'"),
        (add, {}, "list of functions"),
        ("add", {}, "list of functions"),
        (None, {}, "list of functions"),
        ([5], {}, "no function"),
        ({"five": 5}, {}, "'five'"),
        ([int], {}, "no function"),
        ([staticmethod(add)], {}, "no function"),
        ([lambda: None], {}, "a lambda has no name"),
        ([Shop.sell], {}, "method without its object"),
        ([Shop.plain], {}, "method without its object"),
        ({"a b": fail}, {}, "a b"),
        ([add], {"max_parallel": 0}, "max_parallel=0"),
        ([add], {"max_parallel": True}, "max_parallel=True"),
        ([add], {"max_parallel": 1.5}, "max_parallel=1.5"),
        ([add], {"max_characters": 10}, "max_characters=10"),
        ([add], {"timeout": 0}, "timeout=0"),
        ([add], {"timeout": -1}, "timeout=-1"),
        ([add], {"timeout": float("nan")}, "timeout=nan"),
        ([add], {"timeout": float("inf")}, "timeout=inf"),
        ([add], {"timeout": "5"}, "timeout='5'"),
        ([add], {"timeout": True}, "timeout=True"),
        ([add], {"parallel": "yes"}, "parallel='yes'"),
        ([add], {"redact": None}, "redact=None"),
        ([add], {"ordered": "add"}, "ordered='add'"),
        ([add], {"ordered": 5}, "ordered=5"),
        ([add], {"ordered": ["nothing"]}, "nothing"),
        ([add], {"ordered": [fail]}, "there is no such tool"),
        ([add], {"kinds": {5.0: "other"}}, "exception class"),
        ([add], {"suggestions": {"other": 5}}, "a text"),
    ],
)
def test_impossible_options_are_refused(tools: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        ToolSet(tools, **options)


def test_spans_carry_the_ids_of_the_calls(seen: Captured, ask: Ask) -> None:
    @tool
    def inner() -> None: ...

    @tool
    async def outer() -> None:
        inner()

    said = [
        call("outer", "{}", "call_1"),
        call("add", '{"x": 1}', "call_2"),
        call("add", "{", "call_3"),
        call("count", '{"to": 1}', "call_4"),
        call("acount", '{"to": 1}', "call_5"),
        call("add", '{"x": 2}', ""),
        call("add", '{"x": 3}', "\ud800" + "x" * 1000),
    ]
    ask(ToolSet([outer, add, count, acount], parallel=False), said)

    ids = [(span.name, dict(span.attributes or {}).get("gen_ai.tool.call.id")) for span in seen.spans]
    assert sorted(ids[1:], key=str) == [
        ("execute_tool acount", "call_5"),
        ("execute_tool add", "?" + "x" * 255),
        ("execute_tool add", "call_2"),
        ("execute_tool add", None),
        ("execute_tool count", "call_4"),
        ("execute_tool inner", None),
        ("execute_tool outer", "call_1"),
    ]
    assert ids[0] == ("execute_tool add", "call_3")


schemas = pytest.mark.skipif(not hasattr(Tool, "schema"), reason="there are no schemas yet")


@schemas
def test_schemas_are_those_of_the_tools() -> None:
    tools = ToolSet({"sum": add, "later": aadd})

    assert [each["function"]["name"] for each in tools.schemas()] == ["sum", "later"]
    assert [each["name"] for each in tools.schemas("responses")] == ["sum", "later"]
    assert tools.schemas()[0]["function"]["parameters"]["required"] == ["x"]
    assert tools.schemas(strict=True)[0]["function"]["strict"] is True
    assert ToolSet([]).schemas() == []


@schemas
def test_a_catalogue_describes_the_tools() -> None:
    @tool(timeout=5, validate="both", failed_if=bool)
    def search(query: str, limit: int = 3, kind: Literal["web", "news"] = "web", tags: list[str] | None = None) -> str:
        """Search the web.

        Args:
            query: What to look for, a | b.
            limit: Most results.
            kind: Where to look.
            tags: Only with these.
        """
        return query

    described = ToolSet([search, add, fail]).describe()

    assert "## `search`\n\nSearch the web." in described
    assert "| `query` | string | yes | What to look for, a \\| b. |" in described
    assert "| `limit` | integer | no | Most results. Default: `3`. |" in described
    assert "`'web'` or `'news'`" in described
    assert "array of string" in described
    assert "`timeout=5`" in described
    assert "`validate='both'`" in described
    assert "`failed_if=bool`" in described
    for error in ("invalid_arguments", "invalid_result", "timeout", "tool_error"):
        assert f"`{error}`" in described
    assert "## `fail`\n\nNo parameters.\n\nPolicies: none\n\nErrors: whatever the tool itself raises\n" in described
    assert ToolSet([]).describe() == "\n"


class Place(BaseModel):
    city: str


def test_a_tool_gets_the_types_of_its_signature(ask: Ask, seen: Captured) -> None:
    def where(place: Place, since: dt.date | None = None) -> str:
        return f"{type(place).__name__} {place.city} {type(since).__name__}"

    tools = ToolSet([where])
    answers = ask(
        tools,
        [
            call("where", '{"place": {"city": "Oslo"}, "since": "2026-11-24"}'),
            call("where", '{"place": {"town": "Oslo"}}'),
            call("where", '{"place": {"city": "Oslo"}, "since": "yesterday"}'),
        ],
    )

    assert told(answers[0]) == "Place Oslo date"
    assert told(answers[1])["message"] == "The arguments of where were refused:\n- place.city: is required"
    assert "- since: must be" in told(answers[2])["message"]
    stats = tools["where"].tool.stats()  # type: ignore[attr-defined] # a tool
    assert (stats.calls.ok, stats.calls.invalid, stats.calls.error) == (1, 2, 0)


def test_a_tool_with_validate_false_gets_what_the_model_sent(ask: Ask) -> None:
    plain = tool(validate=False)(kind_of_x)
    (answer,) = ask(ToolSet([plain]), [call("kind_of_x", '{"x": "1"}')])
    assert told(answer) == "str"


def kind_of_x(x: int) -> str:
    return type(x).__name__


def test_a_tool_that_hangs_does_not_use_up_the_threads_of_others(ask: Ask) -> None:
    stop = threading.Event()

    def hang() -> None:
        stop.wait(120)

    tools = ToolSet([hang, add], timeout=0.5, max_parallel=64)
    ask(tools, [call("hang")] * MAX_ABANDONED)
    answers = ask(tools, [call("hang"), call("add", '{"x": 1}')])
    stop.set()

    assert told(answers[0])["kind"] == "unavailable"
    assert told(answers[1]) == 2


def test_refused_arguments_are_repeated_nowhere(ask: Ask, seen: Captured) -> None:
    secrets = ["078-05-1120", "john.doe@example.com", "4111 1111 1111 1111", "stuvwxyz0123456789"]
    answers = ask(
        ToolSet([add]),
        [
            call("add", '{"ssn": "078-05-1120" "x": 1}'),
            call("add", '{"x": 1, "john.doe@example.com": 2, "4111 1111 1111 1111": 3}'),
            call("add", '{"api_key":"sk-abcdefghijklmnopqrstuvwxyz0123456789" "n":1}'),
            call("add", '{"x": "078-05-1120"}'),
        ],
    )

    events = [dict(event.attributes or {}) for span in seen.spans for event in span.events]
    spans = [(span.status.description, dict(span.attributes or {})) for span in seen.spans]
    everything = f"{spans} {events} {answers}"
    assert [secret for secret in secrets if secret in everything] == []
    assert all(told(answer)["kind"] == "invalid_arguments" for answer in answers)


def test_the_suggestion_of_a_tool_is_redacted_too(ask: Ask) -> None:
    def fails() -> ToolResult:
        return ToolResult.failure("other", "no", suggestion="use password=hunter22 instead")

    (answer,) = ask(ToolSet([fails]), [call("fails")])
    assert "hunter22" not in str(answer)


def test_log_records_name_the_call_also_where_no_span_is_recorded() -> None:
    program = """
import logging
from otel_tools import ToolSet, configure, tool
configure(service_name="logs", exporter="none", logs="json")

@tool
def work() -> int:
    logging.getLogger("app").warning("at it")
    return 1

ToolSet([work]).run([{"id": "c9", "type": "function", "function": {"name": "work", "arguments": "{}"}}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["message"][:5], line["call_id"]) for line in lines] == [("at it", "c9"), ("tool.", "c9")]
