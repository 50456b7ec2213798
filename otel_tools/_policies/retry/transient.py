"""Tells errors that may pass from those that will not, and reads how long a server asks to wait.

Client libraries are recognised by the names of their classes and by their attributes, so that none is imported.
"""

from __future__ import annotations

import errno
import math
import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock
from otel_tools._policies.retry.client_libraries import (
    KNOWN,
    Verdict,
    read,
    status_of,
    text_is_permanent,
    verdict_of_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["http_status", "retry_after", "transient"]


_NETWORK_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "ECONNREFUSED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETRESET",
        "ENETUNREACH",
        "EPIPE",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
"""The ``errno`` values of an `OSError` that the network causes; not every system has all."""

_MIN_SERVER_ERROR_STATUS: Final = 500
_TRANSIENT_CLIENT_ERRORS: Final = frozenset({408, 429})

_MAX_CAUSES: Final = 16
_MAX_HEADER_LENGTH: Final = 64
_SECONDS_PATTERN: Final = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def transient(error: BaseException) -> bool:
    """Whether an error is transient: the same call may succeed a moment later.

    True for HTTP statuses 408, 429 and 5xx; for failures to connect, connections that broke and timeouts of the
    standard library, httpx, requests, urllib3, aiohttp, openai, anthropic, Google's clients, botocore, grpc, redis,
    pymongo and psycopg; for an exception group of such errors alone. False for all other HTTP statuses, for
    certificates that do not verify, names that do not exist and URLs that cannot be called, also when a library wraps
    them in a connection error; for a quota of OpenAI's that is used up; and for every error that is not known. A
    response's header ``x-should-retry`` wins.

    Args:
        error: The exception that an attempt raised. Attributes of it that raise count as missing.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(transient(member) for member in error.exceptions)
    verdict = _verdict(error)
    if verdict in {Verdict.UNLESS, Verdict.CAUSE}:
        for cause in _causes(error):
            of_cause = _verdict(cause)
            if of_cause in {Verdict.YES, Verdict.NO}:
                return of_cause is Verdict.YES
            if of_cause is Verdict.UNLESS:
                verdict = of_cause
    return verdict in {Verdict.YES, Verdict.UNLESS}


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait before the next request; None where it does not ask.

    They are read from the headers of the error's response or of the error itself (``retry-after-ms`` in milliseconds,
    as OpenAI sends it; ``Retry-After`` in seconds or as an HTTP date, RFC 9110 section 10.2.3), then from an attribute
    ``retry_after``, a number of seconds or a `timedelta`. A value that is negative, infinite or no number is ignored.

    Args:
        error: The exception that an attempt raised.
    """
    for holder in (read(error, "response"), error):
        headers = read(holder, "headers")
        milliseconds = _seconds(_header(headers, "retry-after-ms", "Retry-After-Ms"), dated=False)
        if milliseconds is not None:
            return milliseconds / 1000
        seconds = _seconds(_header(headers, "retry-after", "Retry-After"))
        if seconds is not None:
            return seconds
    return _seconds(read(error, "retry_after"))


def _verdict(error: BaseException) -> Verdict | None:
    """The verdict by the error alone, without its causes; None where it is not known."""
    answered = verdict_of_answer(error)
    if answered is not None:
        return answered
    status = http_status(error)
    if status is not None:
        passes = status in _TRANSIENT_CLIENT_ERRORS or status >= _MIN_SERVER_ERROR_STATUS
        return Verdict.YES if passes else Verdict.NO
    for kind in type(error).__mro__:
        package = str(kind.__module__).partition(".")[0]
        if package == "socket" and kind.__name__ == "gaierror":
            return Verdict.YES if _is_temporary_lookup_failure(error) else Verdict.NO
        verdict = KNOWN.get(package, {}).get(kind.__name__)
        if verdict is not None:
            return Verdict.NO if verdict is Verdict.UNLESS and text_is_permanent(error) else verdict
    return Verdict.YES if isinstance(error, OSError) and read(error, "errno") in _NETWORK_ERRNOS else None


def _is_temporary_lookup_failure(error: BaseException) -> bool:
    """Whether a name could not be looked up for the moment, rather than not at all."""
    import socket  # noqa: PLC0415 - code that raises this error has imported it

    return bool(read(error, "errno") == socket.EAI_AGAIN)


def http_status(error: BaseException) -> int | None:
    """The HTTP status of the failed response behind an error."""
    return status_of(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that an error wraps or was raised from, nearest first.

    Also where it was raised ``from None``: httpcore hides what the system said, and keeps it in the context.
    """
    for _ in range(_MAX_CAUSES):
        wrapped = (read(error, "reason"), error.__cause__, error.__context__, *error.args[:1])
        cause = next((each for each in wrapped if isinstance(each, BaseException) and each is not error), None)
        if cause is None:
            return
        yield cause
        error = cause


def _header(headers: Any, *spellings: str) -> Any:
    """A header's value. Most libraries ignore the case of its name; a plain dictionary does not."""
    for spelling in spellings:
        try:
            value = headers.get(spelling)
        except Exception:  # noqa: BLE001 - anything may be called headers
            return None
        if value is not None:
            return value
    return None


def _seconds(value: Any, *, dated: bool = True) -> float | None:
    """A wait as servers and libraries write it, in seconds; None where it is negative, infinite or no number."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (str, bytes)):
        text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
        if len(text) > _MAX_HEADER_LENGTH:
            return None
        if _SECONDS_PATTERN.fullmatch(text) is None:
            return _until(text) if dated else None
        seconds = float(text)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            return None
    else:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(text: str) -> float | None:
    """Seconds until an HTTP date; 0.0 for one in the past."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few servers send dates

    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - clock.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
