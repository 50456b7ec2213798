"""Binds the arguments of a call to the parameters of the function, with the defaults applied.

`inspect.Signature.bind` takes several microseconds; a function that Python compiles once, with the same parameters,
takes a fraction of one and refuses what does not fit exactly as the tool's own function would.
"""

from __future__ import annotations

import functools
import inspect
import types
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECEIVERS", "Arguments"]

_MARKS: Final[dict[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
RECEIVERS: Final = frozenset({"self", "cls"})
"""The names of a method's first parameter; never an argument of a model."""

_TYPES_OF_CLASSES: Final = frozenset({"type", "Type", "Any"})
_TYPES_OF_DATA: Final = frozenset(
    {
        "bool",
        "bytes",
        "dict",
        "float",
        "int",
        "list",
        "set",
        "str",
        "tuple",
        "Dict",
        "List",
        "Literal",
        "Optional",
        "Union",
    }
)


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
        """``self`` or ``cls`` if the first parameter of a method has that name, else None.

        An annotation tells an argument of that name from a receiver: that of a receiver is its class or a type
        variable, never ``str``. Outside of a class, ``cls`` with a type of its own is an argument too.
        """
        first = next(iter(self.signature.parameters.values()), None)
        method = _unbound(self._function)
        if first is None or first.name not in RECEIVERS or method is None:
            return None
        if first.annotation is first.empty:
            return first.name
        annotation = _name_of_type(first.annotation)
        if annotation in _TYPES_OF_DATA:
            return None
        is_argument = first.name == "cls" and not _is_defined_in_class(method) and annotation not in _TYPES_OF_CLASSES
        return None if is_argument else first.name

    @cached_property
    def bind(self) -> Callable[..., dict[str, Any]]:
        """A function that takes the arguments of a call and returns a dictionary of all parameters, in order.

        Defaults are applied, ``*args`` are a tuple and ``**kwargs`` a dictionary under their own names. It raises the
        `TypeError` that the function would.

        Raises:
            ConfigurationError: A parameter of the function's ``__signature__`` has a name that Python does not allow.
        """
        return _compiled(self.signature, getattr(self._function, "__name__", "tool"))


def _unbound(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function whose first parameter nothing has filled yet: no bound method has one, and no callable object."""
    while isinstance(function, functools.partial) and not function.args:
        function = function.func
    return (
        None if isinstance(function, types.MethodType) or not inspect.isfunction(inspect.unwrap(function)) else function
    )


def _is_defined_in_class(function: Callable[..., Any]) -> bool:
    qualified = getattr(function, "__qualname__", "")
    return isinstance(qualified, str) and "." in qualified and qualified.split(".")[-2] != "<locals>"


def _name_of_type(annotation: Any) -> str:
    """``list`` of ``list[int]``, ``int`` of ``int | None``; an annotation may be a string."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.removeprefix("typing.").partition("[")[0].partition("|")[0].strip()


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
    try:
        # The names come from a signature, so they are identifiers; no text of a caller gets here.
        exec(f"def bind({', '.join(declared)}): return {{{items}}}", namespace)  # noqa: S102 - as above
    except SyntaxError:
        # `inspect.Parameter` takes a keyword as the name of a parameter that is given by position alone.
        raise ConfigurationError(
            f"tool {name!r}: its __signature__ {signature} has a parameter whose name is a word of Python's own, such "
            "as 'class': give the parameter another name"
        ) from None
    bind: Callable[..., dict[str, Any]] = namespace["bind"]
    bind.__name__ = bind.__qualname__ = name
    return bind
