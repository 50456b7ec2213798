"""What all tests share: telemetry in memory, and one test for sync and async."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._telemetry import guard
from otel_tools._telemetry.content.capture import content
from otel_tools._telemetry.content.redaction import Redaction
from otel_tools.testing import Captured, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Flavour:
    """Makes sync or async functions of one body, and calls them from a test that is neither.

    Attributes:
        name: ``sync`` or ``async``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The body as a function of this flavour; an async one gives way to other tasks before it begins."""
        if self.name == "sync":
            return body

        @functools.wraps(body)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return body(*args, **kwargs)

        return coroutine

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of this flavour to its end."""
        if self.name == "sync":
            return function(*args, **kwargs)

        async def main() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(main())


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Flavour:
    """The test runs once with sync functions and once with async ones."""
    return Flavour(request.param)


@pytest.fixture
def seen() -> Iterator[Captured]:
    """What the tools of the test sent."""
    with capture() as captured:
        yield captured


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and results are recorded."""
    monkeypatch.setattr(content, "on", True)


@pytest.fixture(autouse=True)
def _as_a_program_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content off, nothing of a test's own redacted, and every failure of telemetry logged anew."""
    monkeypatch.setattr(content, "on", False)
    monkeypatch.setattr(content, "redaction", Redaction())
    monkeypatch.setattr(guard, "_last_logged", {})
