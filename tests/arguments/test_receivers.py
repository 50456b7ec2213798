"""A parameter named `self` or `cls` is the receiver of a method, and an argument of any other function."""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools import Cache, ConfigurationError, RateLimit, Tool, ToolSet, tool
from otel_tools._telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.testing import Captured


def label(cls: str, n: int = 1) -> str:
    return cls * n


def of_self(self: list[str], n: int = 1) -> list[str]:
    return self * n


def optional(cls: str | None = None) -> str | None:
    return cls


class Thing:
    def method(self: Thing, x: int) -> int:
        return x

    def of_class(cls: type[Thing], x: int) -> int:  # type: ignore[misc] # noqa: N805 - a classmethod below
        return x

    def about(self, cls: str) -> str:
        return cls

    def static(cls: str) -> str:  # type: ignore[misc] # noqa: N805 - a staticmethod below
        return cls

    def __call__(self, cls: str) -> str:
        return cls

    decorated = tool(method, name="decorated")
    over_class = tool(classmethod(of_class), name="over_class")
    under_class = classmethod(tool(of_class, name="under_class"))
    under_static = staticmethod(tool(static, name="under_static"))
    cached = tool(functools.lru_cache(method), name="cached")


def added_later(self, x: int) -> int:  # type: ignore[no-untyped-def] # nobody annotates it where it becomes a method
    return x


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (label, ["cls", "n"]),
        (of_self, ["self", "n"]),
        (optional, ["cls"]),
        (functools.partial(label, n=2), ["cls"]),
        (Thing(), ["cls"]),
        (Thing().about, ["cls"]),
        (Thing.static, ["cls"]),
        (Thing.under_static, ["cls"]),
        (Thing.decorated, ["x"]),
        (Thing.over_class, ["x"]),
        (Thing.under_class, ["x"]),
        (Thing.cached, ["x"]),
        (added_later, ["x"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", type(value).__name__),
)
def test_only_a_receiver_is_left_out_of_the_schema(function: Any, parameters: list[str]) -> None:
    schema = Tool.of(tool(function)).schema()
    properties = schema["function"]["parameters"]["properties"]
    # A parameter that a partial has filled stays in none.
    assert [name for name in properties if name in parameters or name != "n"] == parameters


@pytest.mark.parametrize("name", ["cls", "self"])
@pytest.mark.parametrize("validate", [None, True, False])
def test_an_argument_of_that_name_reaches_the_function(name: str, validate: bool | None, seen: Captured) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def look({name}: str, n: int = 1): return {name} * n", namespace)  # noqa: S102 - a function of each name
    options: dict[str, Any] = {} if validate is None else {"validate": validate}
    look: Callable[..., str] = tool(
        namespace["look"],
        cache=Cache(ttl=60),
        rate_limit=RateLimit(9, key=lambda arguments: arguments[name]),
        **options,
    )

    assert (look("a"), look(**{name: "a"}), look("b", n=2)) == ("a", "a", "bb")
    answered = ToolSet([look]).run(
        [{"id": "1", "type": "function", "function": {"name": "look", "arguments": json.dumps({name: "c", "n": 3})}}]
    )
    assert json.loads(answered[0]["content"])["data"] == "ccc"
    assert seen.value(names.CACHE_REQUESTS.name, {names.TOOL_NAME: "look", names.CACHE_RESULT: "hit"}) == 1


@pytest.mark.parametrize("name", ["class", "None", "__debug__"])
@pytest.mark.parametrize("options", [{"cache": Cache(ttl=60)}, {"rate_limit": RateLimit(1, key=lambda _: "x")}])
def test_a_parameter_named_by_a_keyword_is_a_clear_error(name: str, options: dict[str, Any]) -> None:
    def look(*args: Any) -> Any:
        return args

    parameter = inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY)
    look.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined] # read by inspect

    with pytest.raises(ConfigurationError, match=rf"tool 'look': its __signature__ \({name}, /\)"):
        tool(look, **options)
