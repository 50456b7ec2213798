"""Options as fields of an application's pydantic models: made from dictionaries, refused in our own words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from otel_tools import Cache, CircuitBreaker, Concurrency, Objective, RateLimit, Retry, tool

CLASSES: dict[type[Any], tuple[dict[str, Any], dict[str, Any], str]] = {
    Cache: ({"ttl": 5}, {"ttl": -1}, "Cache(ttl=-1): seconds above 0 are needed, such as 300"),
    Retry: (
        {"attempts": 2},
        {"max_attempts": 2},
        "Retry(max_attempts=...): no such option; did you mean attempts=...?",
    ),
    RateLimit: ({"rate": 10, "per": 60}, {"rate": 0}, "RateLimit(rate=0): a finite number above 0 is needed"),
    Concurrency: ({"limit": 8}, {}, "Concurrency(): limit is missing"),
    CircuitBreaker: ({"failures": 3}, {"failures": -1}, "CircuitBreaker(failures=-1): a whole number is needed"),
    Objective: ({"success": 0.9}, {"success": 99}, "Objective(success=99): a ratio above 0 and below 1 is needed"),
}


@pytest.mark.parametrize("options", CLASSES, ids=lambda options: options.__name__)
def test_a_dictionary_of_options_becomes_the_options(options: type[Any]) -> None:
    given = CLASSES[options][0]

    made = TypeAdapter(options).validate_python(given)

    assert type(made) is options
    assert {name: getattr(made, name) for name in given} == given
    assert TypeAdapter(options).validate_python(made) is made


@pytest.mark.parametrize("options", CLASSES, ids=lambda options: options.__name__)
def test_wrong_options_are_refused_in_our_words(options: type[Any]) -> None:
    _, wrong, text = CLASSES[options]

    with pytest.raises(ValidationError) as refused:
        TypeAdapter(options).validate_python(wrong)

    assert refused.value.errors()[0]["msg"].startswith(text)
    assert "Value error" not in str(refused.value)


@pytest.mark.parametrize("options", CLASSES, ids=lambda options: options.__name__)
def test_what_is_no_dictionary_is_refused(options: type[Any]) -> None:
    with pytest.raises(ValidationError, match=f"{options.__name__}: a {options.__name__} is needed, or a dictionary"):
        TypeAdapter(options).validate_python(3)


def test_settings_of_an_application_hold_options() -> None:
    class Settings(BaseModel):
        retry: Retry
        cache: Cache | None = None

    settings = Settings.model_validate({"retry": {"attempts": 2, "initial": 0}})

    @tool(retry=settings.retry, cache=settings.cache)
    def lookup(key: str) -> str:
        return key

    assert settings.retry.attempts == 2
    assert lookup("x") == "x"
