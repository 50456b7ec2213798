"""Tells errors that may pass from those that will not, and reads how long a server asks to wait.

Client libraries are recognised by the names of their classes and by their attributes, so that none is imported.
"""

from __future__ import annotations

import errno
import math
import re
from datetime import UTC, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from otel_tools._call.clock import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["http_status", "retry_after", "transient"]


class _Verdict(Enum):
    """Whether an error of a class is transient."""

    YES = auto()
    """Transient."""
    NO = auto()
    """The call would fail again."""
    UNLESS = auto()
    """Transient, unless one of its causes is not."""
    CAUSE = auto()
    """It wraps another error, which decides."""


_HTTPX: Final = {
    "TransportError": _Verdict.UNLESS,
    "UnsupportedProtocol": _Verdict.NO,
    "LocalProtocolError": _Verdict.NO,
}

_KNOWN: Final = {
    "builtins": {"ConnectionError": _Verdict.YES, "TimeoutError": _Verdict.YES},
    "asyncio": {"IncompleteReadError": _Verdict.YES},
    "http": {"IncompleteRead": _Verdict.YES},
    "ssl": {"SSLEOFError": _Verdict.YES, "SSLZeroReturnError": _Verdict.YES, "SSLError": _Verdict.NO},
    "urllib": {"URLError": _Verdict.CAUSE, "ContentTooShortError": _Verdict.YES},
    "httpx": _HTTPX,
    "httpx2": _HTTPX,
    "requests": {
        "ConnectionError": _Verdict.UNLESS,
        "SSLError": _Verdict.CAUSE,
        "Timeout": _Verdict.YES,
        "ChunkedEncodingError": _Verdict.YES,
        "RetryError": _Verdict.YES,
    },
    "urllib3": {
        "MaxRetryError": _Verdict.CAUSE,
        "SSLError": _Verdict.CAUSE,
        "ProxyError": _Verdict.UNLESS,
        "ProtocolError": _Verdict.UNLESS,
        "ResponseNotChunked": _Verdict.NO,
        "TimeoutError": _Verdict.UNLESS,
        "NewConnectionError": _Verdict.UNLESS,
        "EmptyPoolError": _Verdict.YES,
    },
    "aiohttp": {
        "ClientConnectionError": _Verdict.UNLESS,
        "ClientSSLError": _Verdict.CAUSE,
        "ServerFingerprintMismatch": _Verdict.NO,
        "ClientPayloadError": _Verdict.YES,
    },
    "openai": {"APIConnectionError": _Verdict.UNLESS},
}
"""By top-level package and class name; for an error, the first class of its MRO that is here decides."""

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

_MIN_FAILURE_STATUS: Final = 400
_MIN_SERVER_ERROR_STATUS: Final = 500
_END_OF_STATUSES: Final = 600
_TRANSIENT_CLIENT_ERRORS: Final = frozenset({408, 429})

_MAX_CAUSES: Final = 16
_MAX_HEADER_LENGTH: Final = 64
_SECONDS_PATTERN: Final = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def transient(error: BaseException) -> bool:
    """Whether an error is transient: the same call may succeed a moment later.

    True for HTTP statuses 408, 429 and 5xx; for failures to connect, connections that broke and timeouts of the
    standard library, httpx, requests, urllib3, aiohttp and openai; for an exception group of such errors alone. False
    for all other HTTP statuses, for certificates that do not verify, names that do not exist and URLs that cannot be
    called, also when a library wraps them in a connection error; and for every error that is not known.

    Args:
        error: The exception that an attempt raised. Attributes of it that raise count as missing.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(transient(member) for member in error.exceptions)
    verdict = _verdict(error)
    if verdict in {_Verdict.UNLESS, _Verdict.CAUSE}:
        for cause in _causes(error):
            of_cause = _verdict(cause)
            if of_cause in {_Verdict.YES, _Verdict.NO}:
                return of_cause is _Verdict.YES
            if of_cause is _Verdict.UNLESS:
                verdict = of_cause
    return verdict in {_Verdict.YES, _Verdict.UNLESS}


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait before the next request; None where it does not ask.

    They are read from the headers of the error's response or of the error itself (``retry-after-ms`` in milliseconds,
    as OpenAI sends it; ``Retry-After`` in seconds or as an HTTP date, RFC 9110 section 10.2.3), then from an attribute
    ``retry_after``, a number of seconds or a `timedelta`. A value that is negative, infinite or no number is ignored.

    Args:
        error: The exception that an attempt raised.
    """
    for holder in (_read(error, "response"), error):
        headers = _read(holder, "headers")
        milliseconds = _seconds(_header(headers, "retry-after-ms", "Retry-After-Ms"), dated=False)
        if milliseconds is not None:
            return milliseconds / 1000
        seconds = _seconds(_header(headers, "retry-after", "Retry-After"))
        if seconds is not None:
            return seconds
    return _seconds(_read(error, "retry_after"))


def _verdict(error: BaseException) -> _Verdict | None:
    """The verdict by the error alone, without its causes; None where it is not known."""
    status = http_status(error)
    if status is not None:
        passes = status in _TRANSIENT_CLIENT_ERRORS or status >= _MIN_SERVER_ERROR_STATUS
        return _Verdict.YES if passes else _Verdict.NO
    for kind in type(error).__mro__:
        package = str(kind.__module__).partition(".")[0]
        if package == "socket" and kind.__name__ == "gaierror":
            return _Verdict.YES if _is_temporary_lookup_failure(error) else _Verdict.NO
        verdict = _KNOWN.get(package, {}).get(kind.__name__)
        if verdict is not None:
            return verdict
    return _Verdict.YES if isinstance(error, OSError) and _read(error, "errno") in _NETWORK_ERRNOS else None


def _is_temporary_lookup_failure(error: BaseException) -> bool:
    """Whether a name could not be looked up for the moment, rather than not at all."""
    import socket  # noqa: PLC0415 - code that raises this error has imported it

    return bool(_read(error, "errno") == socket.EAI_AGAIN)


def http_status(error: BaseException) -> int | None:
    """The HTTP status of the failed response behind an error.

    ``error.code`` is not read: it means something else in most libraries, and warns in aiohttp.
    """
    for holder in (error, _read(error, "response")):
        for name in ("status_code", "status"):
            status = _read(holder, name)
            if isinstance(status, int) and _MIN_FAILURE_STATUS <= status < _END_OF_STATUSES:
                return int(status)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that an error wraps or was raised from, nearest first."""
    for _ in range(_MAX_CAUSES):
        cause = _read(error, "reason")
        if not isinstance(cause, BaseException):
            cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        if cause is None:
            return
        yield cause
        error = cause


def _read(holder: Any, name: str) -> Any:
    """An attribute of an object of another library; None where reading it raises."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property may raise anything
        return None


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
