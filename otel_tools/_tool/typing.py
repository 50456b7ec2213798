"""The types of `tool` and of a decorated function for type checkers; tests/typing/api.py shows the effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._tool.tool import Tool

__all__ = ["MethodT", "ToolDecorator", "ToolFunction", "ToolObject", "Untyped"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound="ToolObject")

MYPY: Final = False
"""True for mypy alone: it compares the first parameter of a Callable, but not of a Protocol's ``__call__``."""

if MYPY:
    from collections.abc import Callable as _Called
else:

    class _Called(Protocol[P, R_co]):
        """The call of a `ToolFunction`, compared when it is bound; pyright takes no Callable as the type of self."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call it."""
            ...


class _Unknown:
    """No parameter has this type: only a callable with unknown parameters takes it."""


class Untyped(Protocol[R_co]):
    """A callable with unknown parameters, such as ``Callable[..., int]``."""

    def __call__(self, first: _Unknown, /, *args: _Unknown, **kwargs: _Unknown) -> R_co:
        """Call it."""
        ...


class Unannotated(Protocol):
    """A function without annotations, or a lambda: mypy compares no parameter names of these, and pyright does."""

    def __call__(_, no_parameter_has_this_name: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as below
        """Call it."""
        ...


class Method(Protocol):
    """A function whose first parameter is ``self``."""

    def __call__(_, self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - the name is the method's own
        """Call it."""
        ...


class ClassMethod(Protocol):
    """A function whose first parameter is ``cls``."""

    def __call__(_, cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as above
        """Call it."""
        ...


MethodT = TypeVar("MethodT", bound=Method | ClassMethod)
"""A method, which keeps its type.

Type checkers let nothing but a function override a method, implement the method of a Protocol, and return ``Self``.
They do not see the attribute ``tool`` of a method; `Tool.of` returns it.
"""


class ToolFunction(Protocol[P, R_co]):
    """A decorated function for type checkers: its own call signature, and ``tool``."""

    tool: Tool
    __name__: str
    __qualname__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the tool."""
        ...

    # What follows is for methods whose first parameter is not named ``self`` or ``cls``.
    # A classmethod through its class; then whatever else is looked up there.
    @overload
    def __get__(  # type: ignore[misc] # mypy rejects a Callable as the type of self, and uses it
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
        """Calls the tool."""
        ...


class ToolDecorator(Protocol):
    """The decorator that ``tool(name=...)`` returns."""

    @overload
    def __call__(self, function: classmethod[T, P, R], /) -> classmethod[T, P, R]: ...
    @overload
    def __call__(self, function: staticmethod[P, R], /) -> staticmethod[P, R]: ...  # type: ignore[overload-overlap] # a staticmethod is callable, and stays a staticmethod
    @overload
    def __call__(self, function: Untyped[R], /) -> ToolFunction[..., R]: ...
    @overload
    def __call__(self, function: Unannotated, /) -> ToolFunction[..., Any]: ...
    @overload
    def __call__(self, function: MethodT, /) -> MethodT: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> ToolFunction[P, R]: ...
    @overload
    def __call__(self, function: ObjectT, /) -> ObjectT: ...
