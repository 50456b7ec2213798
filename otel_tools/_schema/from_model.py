"""`schema_from_model`: the schema of a tool from a pydantic model of its arguments, without a tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_tools._option_names import check_option_names

if TYPE_CHECKING:
    from pydantic import BaseModel

    from otel_tools._schema.formats import Api

__all__ = ["schema_from_model"]


@check_option_names
def schema_from_model(
    model: type[BaseModel],
    *,
    name: str | None = None,
    description: str | None = None,
    api: Api = "chat",
    strict: bool = False,
) -> dict[str, Any]:
    """The schema of a tool whose arguments a pydantic model declares: one entry of the ``tools`` of a request.

    Args:
        model: Declares the arguments.
        name: The name that the model calls; the name of the class by default.
        description: What the tool does; the docstring of the class by default.
        api: Whose form the entry has: that of Chat Completions (``"chat"``) or of Responses (``"responses"``).
        strict: Whether the server forces the model to follow the schema.

    Returns:
        ``{"type": "function", "function": {"name", "description", "parameters"}}`` for Chat Completions, and the same
        without the inner ``function`` for Responses.

    Raises:
        ConfigurationError: ``model`` is not a pydantic model with fields, OpenAI does not accept the name, or JSON
            or, with ``strict``, strict mode cannot express a field.
    """
    from otel_tools._schema.schema import schema_of_model  # noqa: PLC0415 - imports pydantic

    return schema_of_model(model, name, description, api=api, strict=strict)
