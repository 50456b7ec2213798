"""What the APIs of the scripted model have in common: refusals, checked requests, calls paired with results."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from otel_tools._demo.script import Call, Done

MODEL = "scripted"

Event = tuple[str | None, dict[str, Any]]
"""One event of a stream: its name, where the API gives it one, and its data."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]

R = TypeVar("R", bound=BaseModel)

_PIECE = 7
"""Characters in one event of a stream: few enough that names, numbers and escapes are cut in two."""


class BadRequest(Exception):  # noqa: N818  (the name that HTTP gives it)
    """A request that this server refuses, as OpenAI words such a thing."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class OpenCalls:
    """The calls of a conversation, each paired with its result.

    Attributes:
        done: those that have one, oldest first.
    """

    def __init__(self) -> None:
        self.done: list[Done] = []
        self._open: dict[str, Call] = {}

    def ask(self, call_id: str, name: str, arguments: Any) -> None:
        """The model asked for a call."""
        self._open[call_id] = Call(name, arguments if isinstance(arguments, dict) else {})

    def answer(self, call_id: str, text: str, param: str) -> None:
        """The application sent a result.

        Raises:
            BadRequest: for a call that the model never asked for.
        """
        call = self._open.pop(call_id, None)
        if call is None:
            raise BadRequest(f"Invalid {param}: no tool call before it has the id {call_id!r}.", param=param)
        self.done.append(Done(call, value_of(text)))

    def refuse_open(self, param: str) -> None:
        """Nothing else may follow before each call has its result.

        Raises:
            BadRequest: a call has none.
        """
        if self._open:
            ids = ", ".join(self._open)
            raise BadRequest(f"Each tool call must be followed by its result; missing: {ids}.", param=param)


def parsed(kind: type[R], body: bytes) -> R:
    """Check a request.

    Args:
        kind: what it is to be; has a field `model`.
        body: the request, JSON.

    Raises:
        BadRequest: it is not that, or asks for another model.
    """
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        param = where.removeprefix(".") or None
        raise BadRequest(f"Invalid {param or 'request'}: {first['msg']}.", param=param) from error
    model = getattr(request, "model", None)
    if model != MODEL:
        raise BadRequest(
            f"The model {model!r} does not exist; this server has {MODEL!r}.",
            param="model",
            code="model_not_found",
            status=HTTPStatus.NOT_FOUND,
        )
    return request


def value_of(text: str) -> Any:
    """The JSON value of a text, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a stream does."""
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def tokens(text: str) -> int:
    """A number of tokens that is about right: four characters each."""
    return len(text) // 4 + 1
