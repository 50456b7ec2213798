"""`ToolInfo`: what a policy and a schema need to know of a tool; its validators, built once."""

from __future__ import annotations

import contextlib
import copy
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from otel_tools._arguments.annotations import NotYetDefined
from otel_tools._call.function_info import FunctionInfo
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._arguments.validators import ArgumentValidator, ResultValidator

__all__ = ["BuiltOnce", "ToolInfo"]

T = TypeVar("T")


class BuiltOnce(Generic[T]):
    """A validator that is built once: at decoration, or at the first call if an annotation is not defined before.

    Attributes:
        built: The validator; None until it could be built.
    """

    __slots__ = ("_build", "_lock", "built")

    def __init__(self, build: Callable[[], T]) -> None:
        """Try to build it now."""
        self.built: T | None = None
        self._build = build
        self._lock = RLock()
        with contextlib.suppress(NotYetDefined):  # the first call tries again
            self.built = build()

    def get(self) -> T:
        """The validator, built now if it has to be.

        Raises:
            ConfigurationError: A name in an annotation is still not defined, or pydantic cannot check an annotation.
        """
        with self._lock:
            if self.built is None:
                try:
                    self.built = self._build()
                except NotYetDefined as error:
                    raise ConfigurationError(str(error)) from None
            return self.built


class ToolInfo(FunctionInfo):
    """What a policy and a schema need to know of a tool.

    The validators are built when first asked for. An override shares those of its tool: the scopes that defined the
    function may be gone by then.
    """

    @cached_property
    def argument_validator(self) -> BuiltOnce[ArgumentValidator]:
        """Validates and coerces the arguments of a call.

        Raises:
            ConfigurationError: pydantic cannot check an annotation.
        """

        def build() -> ArgumentValidator:
            from otel_tools._arguments.validators import ArgumentValidator  # noqa: PLC0415 - imports pydantic

            if self.declared is None:
                from otel_tools._arguments.signature_model import model_of_signature as model_of  # noqa: PLC0415 - as above
            else:
                from otel_tools._arguments.args_model import model_of_args as model_of  # noqa: PLC0415 - as above
            return ArgumentValidator(model_of(self), self.arguments.receiver)

        return BuiltOnce(build)

    @cached_property
    def result_validator(self) -> BuiltOnce[ResultValidator]:
        """Checks the result of a call against the return annotation.

        Raises:
            ConfigurationError: There is no annotation, or pydantic cannot check it.
        """

        def build() -> ResultValidator:
            from otel_tools._arguments.adapters import result_adapter  # noqa: PLC0415 - as above
            from otel_tools._arguments.validators import ResultValidator  # noqa: PLC0415 - imports pydantic

            return ResultValidator(result_adapter(self))

        return BuiltOnce(build)

    def with_function(self, function: Callable[..., Any]) -> Self:
        """The same tool around another function of the same parameters; validators that were built are shared."""
        other = copy.copy(self)
        other.function = function
        return other
