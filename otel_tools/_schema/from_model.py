"""`schema_from_model`: for those who have a pydantic model of the arguments and no tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from otel_tools._schema.formats import Api

__all__ = ["schema_from_model"]


def schema_from_model(
    model: type[BaseModel],
    *,
    name: str | None = None,
    description: str | None = None,
    api: Api = "chat",
    strict: bool = False,
) -> dict[str, Any]:
    """What the model is told of a tool whose arguments a pydantic model declares: one of the ``tools`` of a request.

    Args:
        model: The arguments.
        name: What the model calls; the name of the class by default.
        description: What it does; the docstring of the class by default.
        api: Whose form it has: that of Chat Completions (``"chat"``) or of Responses (``"responses"``).
        strict: Whether the server holds the model to it.

    Raises:
        ConfigurationError: It is no pydantic model with fields, the name is none that OpenAI takes, a field is nothing
            that JSON can give or, with ``strict``, that strict mode can express.
    """
    from otel_tools._schema.schema import schema_of_model  # noqa: PLC0415 - imports pydantic

    return schema_of_model(model, name, description, api=api, strict=strict)
