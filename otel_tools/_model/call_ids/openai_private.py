"""The private names of the openai package that the package uses, and what is done without them. No other file uses any.

Private is what begins with an underscore, and what no reference of the package documents: the method that every request
of a client passes through, and what it is called with. A name that a new release has moved is logged once, on the
logger ``otel_tools``, with what is reduced.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ModelRequest", "create_methods", "missing_names", "model_request", "request_class", "wrap_stream"]

_logger = logging.getLogger("otel_tools")
_MISSING: Final = object()

missing_names: Final[set[str]] = set()
"""The names that were needed and that the installed openai package does not have; each was logged."""

_REDUCED: Final = {
    "OpenAI.request": "tool calls in the responses of a sync client are not seen: their spans have no call id",
    "AsyncOpenAI.request": "tool calls in the responses of an async client are not seen: their spans have no call id",
    "Stream._iterator": "streamed tool calls are not seen: their spans have no call id",
    "AsyncStream._iterator": "tool calls streamed by an async client are not seen: their spans have no call id",
    "FinalRequestOptions.url": "the responses of all requests are searched for tool calls, not only those of models",
    "FinalRequestOptions.method": "a response that is fetched again may give its call ids again",
    "FinalRequestOptions.json_data": "a call that is answered without its tool keeps its id for ten minutes",
    "openai.resources": "OpenTelemetry's instrumentation of openai is not switched on, so model calls have no spans",
}
"""What is reduced without a name."""


class ModelRequest(NamedTuple):
    """What is known of a request to a model.

    Attributes:
        fetches: Whether it fetches a response that was made before, instead of asking for a new one.
        body: The JSON that is sent; None where there is none.
    """

    fetches: bool
    body: Any


def request_class(client: str) -> Any:
    """The class whose method ``request`` every request of this client passes through.

    Args:
        client: ``OpenAI`` or ``AsyncOpenAI``.

    Returns:
        None where there is no such method any more.

    Raises:
        ImportError: The openai package is not installed.
    """
    import openai  # noqa: PLC0415 - loaded for those who instrument it

    for base in getattr(openai, client).__mro__:
        if callable(vars(base).get("request")):
            return base
    _log_reduced(f"{client}.request")
    return None


def model_request(options: Any) -> ModelRequest | None:
    """What ``request`` was called with; None for a request that does not go to a model."""
    url, method, body = (getattr(options, name, _MISSING) for name in ("url", "method", "json_data"))
    if not isinstance(url, str):
        _log_reduced("FinalRequestOptions.url")
    elif "/chat/completions" not in url and "/responses" not in url:
        return None
    if not isinstance(method, str):
        _log_reduced("FinalRequestOptions.method")
    if body is _MISSING:
        _log_reduced("FinalRequestOptions.json_data")
        body = None
    return ModelRequest(fetches=isinstance(method, str) and method.upper() == "GET", body=body)


def wrap_stream(answer: Any, wrap: Callable[[Any], Any]) -> bool:
    """Put a wrapper around the iterator of a stream, through which all ways of reading it go.

    Args:
        answer: What ``request`` returned.
        wrap: Takes the iterator and returns the one in its place.

    Returns:
        Whether the answer is a stream.
    """
    iterator = getattr(answer, "_iterator", None)
    if isinstance(iterator, (Iterator, AsyncIterator)):
        answer._iterator = wrap(iterator)  # noqa: SLF001 - this file is for it
        return True
    import openai  # noqa: PLC0415 - it has been loaded by the client

    for kind in (openai.Stream, openai.AsyncStream):
        if isinstance(answer, kind):
            _log_reduced(f"{kind.__name__}._iterator")
            return True
    return False


def create_methods() -> list[Any]:
    """The methods that instrumentations of the model's calls wrap; empty where they cannot be found."""
    try:
        from openai.resources.chat.completions import AsyncCompletions, Completions  # noqa: PLC0415 - as above
        from openai.resources.responses import AsyncResponses, Responses  # noqa: PLC0415 - as above

        return [kind.create for kind in (Completions, AsyncCompletions, Responses, AsyncResponses)]
    except (ImportError, AttributeError):
        _log_reduced("openai.resources")
        return []


def _log_reduced(name: str) -> None:
    """Say once what is reduced without this name."""
    if name in missing_names:
        return
    missing_names.add(name)
    with contextlib.suppress(Exception):  # a broken logging handler must not fail the application's request
        _logger.warning("openai has no %s any more: %s", name, _REDUCED[name])
