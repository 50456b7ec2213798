"""Type-checked by mypy and pyright, never run: a decorated method is accepted wherever the undecorated one is."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, assert_type

from otel_tools import tool

T = TypeVar("T")


class Weather:
    """Methods that return ``Self``, of each kind."""

    @tool
    def within(self, city: str) -> Self:
        print(city)
        return self

    @tool(name="renamed")
    def named(self, city: str) -> Self:
        print(city)
        return self

    @tool
    async def later(self, city: str) -> Self:
        print(city)
        return self

    @tool
    @classmethod
    def over(cls, city: str) -> Self:
        print(city)
        return cls()

    @classmethod
    @tool
    def under(cls, city: str) -> Self:
        print(city)
        return cls()

    @tool
    def look(self, city: str) -> int:
        return len(city)

    @tool
    def every_kind(self, city: str, days: int = 1, *more: int, key: str = "", **others: float) -> dict[str, Any]:
        return {"city": city, "days": days, "more": more, "key": key, **others}

    @tool
    def same(self, value: T) -> T:
        return value


class Overridden(Weather):
    """A tool method overrides a tool method; it may take more, and call the first."""

    @tool
    def within(self, city: str) -> Self:
        return super().within(city)

    @tool
    def look(self, city: str, days: int = 1) -> int:
        return super().look(city) + days


class OverriddenUndecorated(Weather):
    def look(self, city: str) -> int:
        return super().look(city)

    def every_kind(self, city: str, days: int = 1, *more: int, key: str = "", **others: float) -> dict[str, Any]:
        return super().every_kind(city, days, *more, key=key, **others)


class WrongOverride(Weather):
    @tool
    def look(self, city: int) -> int:  # type: ignore[override]
        return city


class Undecorated:
    def look(self, city: str) -> int:
        return len(city)


class Decorated(Undecorated):
    @tool
    def look(self, city: str) -> int:
        return len(city)


class Looks(Protocol):
    def look(self, city: str) -> int: ...


class Explicit(Looks):
    @tool
    def look(self, city: str) -> int:
        return len(city)


class Abstract(ABC):
    @abstractmethod
    def look(self, city: str) -> int: ...

    @tool
    @abstractmethod
    def find(self, city: str) -> int: ...


class Concrete(Abstract):
    @tool
    def look(self, city: str) -> int:
        return len(city)

    @tool
    def find(self, city: str) -> int:
        return len(city)


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @tool
    def get(self, count: int) -> T:
        print(count)
        return self.value

    @tool
    def chain(self, count: int) -> Self:
        print(count)
        return self


class LooksByCall(Protocol):
    def __call__(self, city: str) -> int: ...


@tool
def look(city: str) -> int:
    return len(city)


@tool
def label(cls: str, n: int = 1) -> str:
    return cls * n


@tool
def same(value: T) -> T:
    return value


looking: list[Looks] = [Weather(), Overridden(), OverriddenUndecorated(), Decorated(), Explicit(), Concrete()]
callables: list[LooksByCall] = [Weather().look, look, Concrete().find]
bound: Callable[[str], int] = Weather().look
unbound: Callable[[Weather, str], int] = Weather.look

assert_type(Weather().within("Oslo"), Weather)
assert_type(Overridden().within("Oslo"), Overridden)
assert_type(Overridden().named("Oslo"), Overridden)
assert_type(Weather.over("Oslo"), Weather)
assert_type(Overridden.over("Oslo"), Overridden)
assert_type(Weather.under("Oslo"), Weather)
assert_type(Overridden.under("Oslo"), Overridden)
assert_type(Overridden().look("Oslo", days=2), int)
assert_type(Weather().every_kind("Oslo"), dict[str, Any])
assert_type(Weather().same(3), int)
assert_type(Box(3).get(1), int)
assert_type(Box(3).chain(1), Box[int])
assert_type(label("a"), str)
assert_type(same(3), int)
Weather().look(3)  # type: ignore[arg-type]


async def awaited() -> None:
    assert_type(await Overridden().later("Oslo"), Overridden)
