"""Parts of OpenAI's HTTP APIs that its endpoints share: errors, checked requests, calls with their results, streams."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from otel_tools._demo.script import CompletedCall, FunctionCall

MODEL = "scripted"

Event = tuple[str | None, dict[str, Any]]
"""One event of a stream: its name, where the API gives it one, and its data."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]

R = TypeVar("R", bound=BaseModel)

_PIECE_LENGTH = 7
"""Characters in one event of a stream: few enough that names, numbers and escapes are cut in two."""

_CHARACTERS_PER_TOKEN = 4


class BadRequest(Exception):  # noqa: N818  (the name that HTTP gives it)
    """A refused request, with the error body that OpenAI's API sends.

    Args:
        message: the reason.
        param: the part of the request that is invalid.
        code: OpenAI's code for the error.
        status: the HTTP status.
    """

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


class CallPairing:
    """Pairs each function call of a conversation with its result.

    Attributes:
        completed: the calls with a result, oldest first.
    """

    def __init__(self) -> None:
        self.completed: list[CompletedCall] = []
        self._open: dict[str, FunctionCall] = {}

    def add_call(self, call_id: str, name: str, arguments: Any) -> None:
        """Add a call that the model asked for."""
        self._open[call_id] = FunctionCall(name, arguments if isinstance(arguments, dict) else {})

    def add_result(self, call_id: str, text: str, param: str) -> None:
        """Add a result that the application sent.

        Raises:
            BadRequest: the model never asked for that call.
        """
        call = self._open.pop(call_id, None)
        if call is None:
            raise BadRequest(f"Invalid {param}: no tool call before it has the id {call_id!r}.", param=param)
        self.completed.append(CompletedCall(call, json_or_text(text)))

    def require_all_completed(self, param: str) -> None:
        """Check that every call so far has its result: the API allows no other message before that.

        Raises:
            BadRequest: a call has none.
        """
        if self._open:
            ids = ", ".join(self._open)
            raise BadRequest(f"Each tool call must be followed by its result; missing: {ids}.", param=param)


def parse_request(request_class: type[R], body: bytes) -> R:
    """Parse and validate a request.

    Args:
        request_class: the class of the request; has a field `model`.
        body: the request, JSON.

    Raises:
        BadRequest: it is invalid, or asks for another model.
    """
    try:
        request = request_class.model_validate_json(body)
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


def json_or_text(text: str) -> Any:
    """The JSON value of a text, or the text itself where it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def stream_pieces(text: str) -> Iterator[str]:
    """A text in the pieces that a stream sends."""
    return (text[start : start + _PIECE_LENGTH] for start in range(0, len(text), _PIECE_LENGTH))


def estimate_tokens(text: str) -> int:
    """The approximate number of tokens in a text: one for every four characters."""
    return len(text) // _CHARACTERS_PER_TOKEN + 1
