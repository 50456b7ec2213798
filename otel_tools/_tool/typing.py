"""What type checkers see of a decorated function. tests/typing/api.py says what that comes to."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - the TypedDicts are looked into at run time
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypedDict, TypeVar, overload

if TYPE_CHECKING:
    from pydantic import BaseModel

    from otel_tools._policies.cache.cache import Cache
    from otel_tools._policies.circuit_breaker.breaker import CircuitBreaker
    from otel_tools._policies.concurrency import Concurrency
    from otel_tools._policies.rate_limit.limit import RateLimit
    from otel_tools._policies.retry.retry import Retry
    from otel_tools._tool.tool import Objective, Tool

__all__ = ["PolicyArguments", "ToolArguments", "ToolDecorator", "ToolFunction", "ToolObject"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound="ToolObject")

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


class PolicyArguments(TypedDict, total=False):
    """The policies of a tool, by the keywords of `tool` and of ``fn.tool.override``."""

    failed_if: Callable[[Any], object] | None
    timeout: float | None
    retry: Retry | None
    cache: Cache | None
    rate_limit: RateLimit | None
    concurrency: Concurrency | None
    circuit_breaker: CircuitBreaker | None
    fallback: Callable[..., Any] | None
    fallback_on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object] | None
    validate: bool | Literal["both"] | None


class ToolArguments(PolicyArguments, total=False):
    """Every keyword of `tool`."""

    name: str | None
    description: str | None
    args: type[BaseModel] | None
    objective: Objective | None


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


class ToolObject(Protocol):
    """A tool as an object of a framework, such as LangChain's ``StructuredTool``."""

    name: str
    description: str

    @property
    def invoke(self) -> Callable[..., Any]:
        """What calls it."""
        ...


class ToolDecorator(Protocol):
    """What ``tool(name=...)`` gives back."""

    @overload
    def __call__(self, function: classmethod[T, P, R], /) -> classmethod[T, P, R]: ...
    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap] # a staticmethod is callable, and stays a staticmethod
    @overload
    def __call__(self, function: Callable[P, R], /) -> ToolFunction[P, R]: ...
    @overload
    def __call__(self, function: ObjectT, /) -> ObjectT: ...
