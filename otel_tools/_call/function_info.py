"""`FunctionInfo`: the facts about a tool's function that hold for all its calls."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_tools._call.binding import Arguments

__all__ = ["FunctionInfo"]


class FunctionInfo:
    """The facts about a tool's function that hold for all its calls.

    Attributes:
        tool: The tool's name.
        function: The user's function.
        asynchronous: Whether it is a coroutine function or an async generator function.
        generator: Whether it is a generator function or an async generator function.
        arguments: Binds the arguments of a call to the parameters.
        declared: The pydantic model given as ``@tool(args=...)``; None where the signature declares the arguments.
        local_names: What the annotations name of the scopes around the function, which may be gone when they are read.
    """

    def __init__(  # noqa: PLR0913 - each is one fact, by keyword
        self,
        tool: str,
        function: Callable[..., Any],
        *,
        asynchronous: bool,
        generator: bool,
        arguments: Arguments,
        declared: Any = None,
        local_names: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.tool = tool
        self.function = function
        self.asynchronous = asynchronous
        self.generator = generator
        self.arguments = arguments
        self.declared = declared
        self.local_names = local_names
