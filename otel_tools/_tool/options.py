"""Every option of `tool`, and what ``help(tool)`` says of them."""

from __future__ import annotations

import inspect
import reprlib
import textwrap
from typing import TYPE_CHECKING, Any, Final

from otel_tools._option_names import unknown_option
from otel_tools._policies.lines import line_for
from otel_tools._policies.options import ORDER, POLICY_OPTIONS, Option, Options
from otel_tools._telemetry.content.redaction import REDACT_CHOICES
from otel_tools._tool.objective import Objective
from otel_tools._tool.option_types import PolicyArguments, ToolArguments
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TOOL_OPTIONS", "check_override", "document_options", "options_from"]

TOOL_OPTIONS: Final = (
    Option("name", "The name that the model calls; by default the function's own."),
    Option(
        "description", "The description sent to the model; by default the docstring, its first paragraph on the span."
    ),
    Option(
        "args",
        "A pydantic model that declares the arguments in place of the signature, for the schema and for ``validate``, "
        "which it turns on. The function takes the model's fields by name, or has one parameter of its type.",
    ),
    *POLICY_OPTIONS,
    Option(
        "redact",
        "What is replaced in the results that a model reads, in place of the ``redact`` of its `ToolSet`: True for "
        "secrets by their shape, such as API keys, ``'keys'`` for the values of secret keys too, False for nothing.",
    ),
    Option(
        "objective",
        "The success ratio that the tool should keep; the alert on its failure ratio uses it.",
        Objective,
        example="Objective(success=0.99)",
    ),
)
"""Every option of `tool`, in the order of ``help(tool)``."""

_OBJECTIVE: Final = TOOL_OPTIONS[-1]
_NAMES: Final = frozenset(option.name for option in TOOL_OPTIONS)
_POLICY_NAMES: Final = tuple(option.name for option in POLICY_OPTIONS)
_WIDTH: Final = 110


def options_from(given: Mapping[str, Any]) -> Options:
    """The options in keyword arguments of `tool`.

    Raises:
        ConfigurationError: One is no option, the description is no text, or the objective is no `Objective`.
    """
    for name in given:
        if name not in _NAMES:
            raise unknown_option("tool", name, (option.name for option in TOOL_OPTIONS))
    options = Options(given)
    if options.objective is not None and not isinstance(options.objective, Objective):
        line = line_for(_OBJECTIVE, options.objective)
        raise ConfigurationError(f"tool(objective={reprlib.repr(options.objective)}): an Objective is needed: {line}")
    if options.description is not None and not isinstance(options.description, str):
        raise ConfigurationError(f"tool(description={options.description!r}): a text is needed")
    if options.redact is not None and options.redact not in REDACT_CHOICES:
        raise ConfigurationError(f"tool(redact={options.redact!r}): True, 'keys' or False is needed")
    return options


def check_override(tool: str, given: Mapping[str, Any]) -> None:
    """Check that only policies are overridden.

    Raises:
        ConfigurationError: Something else is.
    """
    unknown = sorted(given.keys() - set(_POLICY_NAMES))
    if not unknown:
        return
    if unknown[0] not in _NAMES:
        raise unknown_option(f"tool {tool!r}: override", unknown[0], _POLICY_NAMES)
    raise ConfigurationError(
        f"tool {tool!r}: override({', '.join(unknown)}): policies alone can be overridden: {', '.join(_POLICY_NAMES)}"
    )


def document_options(function: Callable[..., Any], *, order: str, keywords: str) -> None:
    """Give a function that takes every option as a keyword a signature and a docstring that show each.

    Args:
        function: The function; its one positional parameter stays.
        order: The text in its docstring that the order of the policies replaces.
        keywords: The text in its docstring that the list of options replaces.
    """
    signature = inspect.signature(function)
    first = next(iter(signature.parameters.values()))
    types = {**PolicyArguments.__annotations__, **ToolArguments.__annotations__}
    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=getattr(types[option.name], "__forward_arg__", types[option.name]),
        )
        for option in TOOL_OPTIONS
    ]
    function.__signature__ = signature.replace(parameters=[first, *parameters])  # type: ignore[attr-defined] # read by inspect
    if function.__doc__ is not None:  # None with python -OO
        entries = "\n".join(map(_entry, TOOL_OPTIONS)).lstrip()
        function.__doc__ = function.__doc__.replace(order, _order()).replace(keywords, entries)


def _order() -> str:
    by_place = {place: option for option in POLICY_OPTIONS for place in option.places}
    # An option that fills several places is named where the place of its own name stands.
    names = [place for place in ORDER if place in by_place and by_place[place].name == place]
    for_generators = ["validate=True" if n == "validate" else n for n in names if by_place[n].for_generators]
    *others, last = (f"``{name}``" for name in for_generators)
    text = (
        f"in this order, outermost first, whatever the order of the keywords: "
        f"{', '.join(f'``{name}``' for name in names)}. Generators take {', '.join(others)} and {last}."
    )
    return textwrap.fill(text, _WIDTH, subsequent_indent=" " * 4).lstrip()


def _entry(option: Option) -> str:
    return textwrap.fill(f"{option.name}: {option.text}", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12)
