"""Binds the arguments of a call to the parameters of the function, with the defaults applied.

`inspect.Signature.bind` takes several microseconds; a function that Python compiles once, with the same parameters,
takes a fraction of one and refuses what does not fit exactly as the tool's own function would.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECEIVERS", "Arguments"]

_MARKS: Final[dict[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
RECEIVERS: Final = frozenset({"self", "cls"})
"""The names of a method's first parameter; never an argument of a model."""


def _anything(*args: Any, **kwargs: Any) -> None:
    """Has the signature that is used for builtins without one."""


class Arguments:
    """The signature of a function, read when it is first needed: most tools never need it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature; ``(*args, **kwargs)`` where it has none."""
        try:
            return inspect.signature(self._function)
        except (TypeError, ValueError):
            return inspect.signature(_anything)

    @cached_property
    def receiver(self) -> str | None:
        """``self`` or ``cls`` if the first parameter has that name, else None."""
        first = next(iter(self.signature.parameters), None)
        return first if first in RECEIVERS else None

    @cached_property
    def bind(self) -> Callable[..., dict[str, Any]]:
        """A function that takes the arguments of a call and returns a dictionary of all parameters, in order.

        Defaults are applied, ``*args`` are a tuple and ``**kwargs`` a dictionary under their own names. It raises the
        `TypeError` that the function would.
        """
        return _compiled(self.signature, getattr(self._function, "__name__", "tool"))


def _compiled(signature: inspect.Signature, name: str) -> Callable[..., dict[str, Any]]:
    """A function of the same parameters that returns them as a dictionary."""
    namespace: dict[str, Any] = {}
    declared: list[str] = []
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.KEYWORD_ONLY,
        } & set(kinds[:index]):
            declared.append("*")
        text = _MARKS.get(parameter.kind, "") + parameter.name
        if parameter.default is not inspect.Parameter.empty:
            namespace[f"_default_{index}"] = parameter.default
            text += f"=_default_{index}"
        declared.append(text)
        if (
            parameter.kind is inspect.Parameter.POSITIONAL_ONLY
            and inspect.Parameter.POSITIONAL_ONLY not in kinds[index + 1 :]
        ):
            declared.append("/")
    items = ", ".join(f"{parameter!r}: {parameter}" for parameter in signature.parameters)
    # The names come from a signature, so they are identifiers; no text of a caller gets here.
    exec(f"def bind({', '.join(declared)}): return {{{items}}}", namespace)  # noqa: S102 - as above
    bind: Callable[..., dict[str, Any]] = namespace["bind"]
    bind.__name__ = bind.__qualname__ = name
    return bind
