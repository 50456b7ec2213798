"""Under trio: tools without waits work, and whatever needs asyncio says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel

from otel_tools import (
    Cache,
    CircuitBreaker,
    Concurrency,
    ConfigurationError,
    RateLimit,
    Retry,
    ToolSet,
    tool,
)

if TYPE_CHECKING:
    from otel_tools.testing import Captured

WAITING: dict[str, dict[str, Any]] = {
    "timeout": {"timeout": 1},
    "retry": {"retry": Retry(attempts=2, initial=0.01)},
    "rate_limit": {"rate_limit": RateLimit(1, per=5, burst=1)},
    "concurrency": {"concurrency": Concurrency(1)},
    "cache": {"cache": Cache(ttl=60)},
}


@pytest.mark.parametrize("options", WAITING.values(), ids=list(WAITING))
def test_a_wait_says_that_it_needs_asyncio(options: dict[str, Any], seen: Captured) -> None:
    errors: list[BaseException] = []

    @tool(**options)
    async def look(city: str) -> str:
        await trio.sleep(0.05)
        if "retry" in options:
            raise ConnectionError(city)
        return city

    async def call() -> None:
        try:
            await look("Oslo")
        except Exception as error:
            errors.append(error)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            nursery.start_soon(call)

    trio.run(main)
    assert errors
    assert all(isinstance(error, ConfigurationError) and "need asyncio" in str(error) for error in errors)
    assert {dict(span.attributes or {}).get("error.type") for span in seen.spans if "execute_tool" in span.name} <= {
        None,
        "otel_tools.errors.ConfigurationError",
    }


def test_tools_that_need_no_wait_work(seen: Captured) -> None:
    @tool(cache=Cache(ttl=60), circuit_breaker=CircuitBreaker(), concurrency=Concurrency(2), retry=Retry())
    async def look(city: str) -> str:
        await trio.lowlevel.checkpoint()
        return city

    async def main() -> list[str]:
        return [await look("Oslo"), await look("Oslo")]

    assert trio.run(main) == ["Oslo", "Oslo"]
    assert len(seen.spans) == 2


def test_a_toolset_says_that_it_needs_asyncio() -> None:
    async def look(city: str) -> str:
        return city

    tools = ToolSet([look])
    with pytest.raises(ConfigurationError, match="needs asyncio"):
        trio.run(tools.arun, [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}])
