"""What type checkers see of a decorated function. tests/typing/api.py says what that comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools.decorator import Tool

__all__ = ["ToolDecorator", "ToolFunction"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

MYPY: Final = False
"""True for mypy alone, which compares the first parameter of a Callable, and not that of a Protocol's call."""

if MYPY:
    from collections.abc import Callable as _Called
else:

    class _Called(Protocol[P, R_co]):
        """A call alone: what is compared when a `ToolFunction` is bound. pyright takes no Callable for a self."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call it."""
            ...


class ToolFunction(Protocol[P, R_co]):
    """What type checkers see of a decorated function: the call it always had, and ``tool``."""

    tool: Tool
    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the tool."""
        ...

    # A classmethod through its class; then whatever else is looked up there.
    @overload
    def __get__(  # type: ignore[misc] # mypy takes no Callable for a self, and yet goes by it
        self: _Called[Concatenate[type[T], Q], R],
        instance: None,
        owner: type[T],
        /,
    ) -> ToolFunction[Q, R]: ...

    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> ToolFunction[P, R_co]: ...

    # Through an instance: a classmethod, a method, a staticmethod.
    @overload
    def __get__(  # type: ignore[misc] # as above
        self: _Called[Concatenate[type[T], Q], R],
        instance: T,
        owner: type | None = None,
        /,
    ) -> ToolFunction[Q, R]: ...

    @overload
    def __get__(
        self: _Called[Concatenate[T, Q], R], instance: T, owner: type | None = None, /
    ) -> ToolFunction[Q, R]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> ToolFunction[P, R_co]: ...


class ToolDecorator(Protocol):
    """What ``tool(name=...)`` gives back."""

    @overload
    def __call__(self, function: classmethod[T, P, R], /) -> classmethod[T, P, R]: ...
    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap] # a staticmethod is callable, and stays a staticmethod
    @overload
    def __call__(self, function: Callable[P, R], /) -> ToolFunction[P, R]: ...
