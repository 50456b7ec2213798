"""A wrong, missing or superfluous argument of a public class or function says what was meant."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import otel_tools
import otel_tools.stores
import otel_tools.testing
from otel_tools import (
    Cache,
    CircuitBreaker,
    Concurrency,
    ConfigurationError,
    Objective,
    RateLimit,
    RedisStore,
    Retry,
    SQLiteStore,
    ToolSet,
    agent,
    arun_loop,
    configure,
    flush,
    instrument,
    run_loop,
    schema_from_model,
    shutdown,
    stats,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@tool
def lookup(key: str) -> str:
    return key


async def ends(coroutine: Any) -> Any:
    return await coroutine


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function with arguments that a type checker would refuse."""
    result = function(*args, **options)
    return asyncio.run(ends(result)) if inspect.iscoroutine(result) else result


WITH_OPTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "tool": (tool, ()),
    "Retry": (Retry, ()),
    "Cache": (Cache, (300,)),
    "RateLimit": (RateLimit, (10,)),
    "Concurrency": (Concurrency, (8,)),
    "CircuitBreaker": (CircuitBreaker, ()),
    "Objective": (Objective, ()),
    "RedisStore": (RedisStore, ("redis://localhost",)),
    "SQLiteStore": (SQLiteStore, ("file",)),
    "ToolSet": (ToolSet, ([lookup],)),
    "agent": (agent, ("travel",)),
    "configure": (configure, ()),
    "flush": (flush, ()),
    "shutdown": (shutdown, ()),
    "run_loop": (run_loop, (None, "hello", [lookup])),
    "arun_loop": (arun_loop, (None, "hello", [lookup])),
    "schema_from_model": (schema_from_model, (dict,)),
    "faults": (otel_tools.testing.faults, (lookup,)),
    "ToolSet.schemas": (ToolSet([lookup]).schemas, ()),
    "Tool.schema": (lookup.tool.schema, ()),
    "tool 'lookup': override": (lookup.tool.override, ()),
}


def options_of(function: Callable[..., Any]) -> list[str]:
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    if function == lookup.tool.override:
        function = tool
    return [name for name, each in inspect.signature(function).parameters.items() if each.kind in named]


def misspelt() -> list[Any]:
    """Each option of each callable with two letters exchanged, and with one letter too few."""
    found = []
    for where, (function, args) in WITH_OPTIONS.items():
        for option in options_of(function)[len(args) :]:
            if "override" in where and option in {"name", "description", "args", "redact", "objective"}:
                continue
            middle = len(option) // 2
            swapped = f"{option[: middle - 1]}{option[middle]}{option[middle - 1]}{option[middle + 1 :]}"
            # Shorter names have too little left of them.
            found += [
                pytest.param(where, wrong, option, id=f"{where}-{wrong}")
                for wrong in dict.fromkeys([swapped, option[:-1]])
                if len(option) > 4 and wrong not in options_of(function)
            ]
    return found


@pytest.mark.parametrize(("where", "wrong", "option"), misspelt())
def test_a_misspelt_option_is_refused_with_the_option_that_was_meant(where: str, wrong: str, option: str) -> None:
    function, args = WITH_OPTIONS[where]

    with pytest.raises(ConfigurationError) as refused:
        call(function, *args, **{wrong: "s3cret"})

    assert str(refused.value).startswith(
        f"{where}({wrong}=...): no such option; did you mean {option}=...? (accepted: "
    )
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("function", "args", "wrong", "meant"),
    [
        (tool, (), "nmae", "name"),
        (tool, (), "retries", "retry"),
        (tool, (), "rateLimit", "rate_limit"),
        (Retry, (), "max_attempts", "attempts"),
        (Retry, (), "max_retries", "attempts"),
        (Retry, (), "retry_on", "on"),
        (Retry, (), "backoff_factor", "multiplier"),
        (Retry, (), "max_delay", "max"),
        (Cache, (), "ttl_seconds", "ttl"),
        (Cache, (), "timeout", "ttl"),
        (Cache, (300,), "max_size", "maxsize"),
        (RateLimit, (10,), "period", "per"),
        (RateLimit, (), "max_calls", "rate"),
        (Concurrency, (), "max_workers", "limit"),
        (CircuitBreaker, (), "fail_max", "failures"),
        (CircuitBreaker, (), "reset_timeout", "cooldown"),
        (configure, (), "service", "service_name"),
        (configure, (), "api_key", "headers"),
        (configure, (), "url", "endpoint"),
        (agent, ("travel",), "conversation", "conversation_id"),
        (agent, ("travel",), "session_id", "conversation_id"),
        (RedisStore, (), "host", "url"),
        (SQLiteStore, (), "filename", "path"),
        (run_loop, (None, "hello", [lookup]), "max_turn", "max_turns"),
    ],
)
def test_a_name_that_another_library_has_is_answered_with_ours(
    function: Callable[..., Any], args: Any, wrong: str, meant: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"\({wrong}=\.\.\.\): no such option; did you mean {meant}=\.\.\.\?"):
        call(function, *args, **{wrong: 1}, **({"model": "m"} if function is run_loop else {}))


def test_an_option_of_another_class_is_said_to_be_one() -> None:
    with pytest.raises(ConfigurationError, match=r"tool\(ttl=\.\.\.\): no such option; ttl is an option of Cache "):
        call(tool, ttl=300)
    with pytest.raises(ConfigurationError, match=r"Retry\(fallback=\.\.\.\): no such option; fallback is an option of"):
        call(Retry, fallback=lookup)


@pytest.mark.parametrize(
    ("function", "missing"),
    [
        (Cache, "ttl is missing"),
        (RateLimit, "rate is missing"),
        (Concurrency, "limit is missing"),
        (Objective, "success is missing"),
        (agent, "name is missing"),
        (RedisStore, "url is missing"),
        (SQLiteStore, "path is missing"),
        (ToolSet, "tools is missing"),
        (instrument, "tools is missing"),
        (run_loop, "client and messages and tools and model are missing"),
        (arun_loop, "client and messages and tools and model are missing"),
        (schema_from_model, "model is missing"),
    ],
)
def test_a_missing_option_is_named(function: Callable[..., Any], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{function.__name__}\(\): {missing} \(accepted: "):
        call(function)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (tool, (lookup, "name")),
        (configure, ("my-service",)),
        (agent, ("travel", "conversation")),
        (ToolSet, ([lookup], True)),
        (stats, ("lookup",)),
        (flush, (1, 2)),
        (lookup.tool.override, (3,)),
    ],
)
def test_values_without_a_name_that_are_too_many_are_an_error(function: Callable[..., Any], args: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"too many values without a name \(\d, of \d at most\); give options"):
        call(function, *args)


def test_a_keyword_for_the_client_goes_to_the_client() -> None:
    class Client:
        """Refuses what it is asked for, with what it was asked."""

        def create(self, **asked: Any) -> Any:
            raise LookupError(sorted(asked))

    client: Any = Client()
    client.chat = client.completions = client

    with pytest.raises(LookupError, match=r"max_tokens.*parallel_tool_calls.*temperature"):
        run_loop(client, "hi", [lookup], model="m", max_tokens=9, temperature=0, parallel_tool_calls=False)


def test_an_error_from_inside_stays_what_it_is() -> None:
    class Broken:
        def __call__(self) -> Any:
            raise TypeError("inside")

        def __iter__(self) -> Any:
            raise TypeError("inside")

    with pytest.raises(TypeError, match=r"^inside$"):
        ToolSet(Broken())


@pytest.mark.parametrize("name", sorted(set(otel_tools.__all__) - {"__version__", "ToolFunction"}))
def test_every_public_name_shows_its_own_signature(name: str) -> None:
    public = getattr(otel_tools, name)
    try:
        parameters = inspect.signature(public).parameters
    except ValueError:  # a plain exception
        return
    assert not {"args", "kwargs"} <= set(parameters)


@pytest.mark.parametrize("function", [flush, shutdown])
@pytest.mark.parametrize("timeout", ["5s", -1, None, float("nan"), True])
def test_a_wait_that_is_no_number_of_seconds_is_refused(function: Callable[..., Any], timeout: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^{function.__name__}\(timeout=.*\): seconds are needed, 0 or more$"
    ):
        function(timeout=timeout)


def test_coroutine_functions_stay_coroutine_functions() -> None:
    assert inspect.iscoroutinefunction(arun_loop)
