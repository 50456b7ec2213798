"""One tool, sync and async, as it was written and as `tool` makes it; every test here calls it in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from otel_tools import Cache, Retry, tool

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tools.testing import Captured

Unit = Literal["celsius", "fahrenheit"]


class Place(BaseModel):
    """Where on earth."""

    city: str = Field(description="Its name in English.", min_length=1)
    country: str | None = None


class Forecast(BaseModel):
    """What is to be expected."""

    place: Place
    degrees: list[float]
    unit: Unit


outages: list[Exception] = []
"""What the next runs of the tools fail of, one each."""

runs: list[str] = []
"""The city of each run of a tool, decorated or not, that did not fail."""


POLICIES: Any = {
    "retry": Retry(attempts=3, on=(ConnectionError,), initial=0.001),
    "cache": Cache(ttl=60),
    "validate": True,
}


def _look_up(place: Place, unit: Unit, days: int) -> Forecast:
    if outages:
        raise outages.pop()
    runs.append(place.city)
    return Forecast(place=place, degrees=[20.5] * days, unit=unit)


@tool(**POLICIES)
def weather(
    place: Place, unit: Unit = "celsius", days: Annotated[int, Field(ge=1, le=7, description="How many.")] = 1
) -> Forecast:
    """Forecast the weather.

    Args:
        place: Where.
        unit: Of the degrees.
        days: How many days.
    """
    return _look_up(place, unit, days)


@tool(**POLICIES)
async def weather_async(
    place: Place, unit: Unit = "celsius", days: Annotated[int, Field(ge=1, le=7, description="How many.")] = 1
) -> Forecast:
    """Forecast the weather.

    Args:
        place: Where.
        unit: Of the degrees.
        days: How many days.
    """
    return _look_up(place, unit, days)


bare = weather.tool.function
bare_async = weather_async.tool.function
PAIRS = [(bare, weather), (bare_async, weather_async)]
"""Each as it was written, and as it is decorated; both have one name."""

ARGUMENTS: dict[str, Any] = {"place": {"city": "Oslo"}, "days": 2}
"""Of a call, as a model writes them."""

EXPECTED = Forecast(place=Place(city="Oslo"), degrees=[20.5, 20.5], unit="celsius")


def fresh() -> None:
    """No outage, no run, nothing in the caches."""
    outages.clear()
    runs.clear()
    weather.tool.cache.clear()
    weather_async.tool.cache.clear()


def tool_spans(seen: Captured, under: str = "invoke_agent travel") -> list[ReadableSpan]:
    """The spans of calls, oldest first; each is the child of the one span with that name.

    Args:
        seen: What was sent.
        under: The name of the parent.
    """
    [parent] = [span for span in seen.spans if span.name == under]
    calls = sorted(
        (span for span in seen.spans if span.name.startswith("execute_tool")), key=lambda span: span.start_time or 0
    )
    assert [call.parent and call.parent.span_id for call in calls] == [parent.context.span_id] * len(calls)
    return calls


def policies_seen(calls: list[ReadableSpan]) -> list[tuple[int, str]]:
    """Of each call: how often it was tried again, and what the cache said."""
    attributes = [dict(call.attributes or {}) for call in calls]
    return [(each.get("otel_tools.retry.count", 0), each["otel_tools.cache.result"]) for each in attributes]  # type: ignore[misc] # numbers and strings
