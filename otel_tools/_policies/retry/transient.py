"""May the same call succeed a moment later, and how long does the server ask to wait? What `Retry` goes by.

Client libraries are known by the names of their classes and by their attributes, so that none of them is imported.
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
    """What the class of an error says."""

    YES = auto()
    """Try again."""
    NO = auto()
    """It will fail again."""
    UNLESS = auto()
    """Try again, unless one of its causes will be there again."""
    CAUSE = auto()
    """It wraps what happened: ask that."""


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
"""By top-level package and class name; the nearest class of an error's bases that is here speaks for it."""

_UNREACHABLE: Final = frozenset(
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
"""The numbers of an `OSError` that the network causes; not every system has all."""

_FIRST_FAILURE: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_AFTER_ALL_STATUSES: Final = 600
_RETRIED_REQUEST_ERRORS: Final = frozenset({408, 429})

_DEEPEST_CAUSE: Final = 16
_LONGEST_HEADER: Final = 64
_SECONDS: Final = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


def transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later.

    Yes for HTTP statuses 408, 429 and 5xx; for failures to connect, connections that broke and timeouts of the
    standard library, httpx, requests, urllib3, aiohttp and openai; for an exception group of nothing but such. No for
    all other HTTP statuses, for certificates that do not verify, names that do not exist and URLs that cannot be
    called, also when a library wraps them in a connection error; and for every error that is not known.

    Args:
        error: What an attempt raised. Attributes of it that raise are taken as missing.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(transient(one) for one in error.exceptions)
    verdict = _verdict(error)
    if verdict in {_Verdict.UNLESS, _Verdict.CAUSE}:
        for cause in _causes(error):
            said = _verdict(cause)
            if said in {_Verdict.YES, _Verdict.NO}:
                return said is _Verdict.YES
            if said is _Verdict.UNLESS:
                verdict = said
    return verdict in {_Verdict.YES, _Verdict.UNLESS}


def retry_after(error: BaseException) -> float | None:
    """Seconds for which the server asks to be left alone; None where it does not.

    Looked for in the headers of the error's response or of the error itself (``retry-after-ms`` in milliseconds, as
    OpenAI sends it; ``Retry-After`` in seconds or as an HTTP date, RFC 9110 section 10.2.3), then in an attribute
    ``retry_after``, a number of seconds or a `timedelta`. What is negative, infinite or no number is ignored.

    Args:
        error: What an attempt raised.
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
    """What an error says by itself; None is nothing."""
    status = http_status(error)
    if status is not None:
        again = status in _RETRIED_REQUEST_ERRORS or status >= _FIRST_SERVER_ERROR
        return _Verdict.YES if again else _Verdict.NO
    for kind in type(error).__mro__:
        package = str(kind.__module__).partition(".")[0]
        if package == "socket" and kind.__name__ == "gaierror":
            return _Verdict.YES if _is_lookup_again(error) else _Verdict.NO
        verdict = _KNOWN.get(package, {}).get(kind.__name__)
        if verdict is not None:
            return verdict
    return _Verdict.YES if isinstance(error, OSError) and _read(error, "errno") in _UNREACHABLE else None


def _is_lookup_again(error: BaseException) -> bool:
    """Whether a name could not be looked up for now, rather than not at all."""
    import socket  # noqa: PLC0415 - whoever gets this error has imported it

    return bool(_read(error, "errno") == socket.EAI_AGAIN)


def http_status(error: BaseException) -> int | None:
    """The HTTP status of the failed response behind an error.

    ``error.code`` is not looked at: it means something else in most libraries, and warns in aiohttp.
    """
    for holder in (error, _read(error, "response")):
        for name in ("status_code", "status"):
            status = _read(holder, name)
            if isinstance(status, int) and _FIRST_FAILURE <= status < _AFTER_ALL_STATUSES:
                return int(status)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error wraps or was raised from, nearest first."""
    for _ in range(_DEEPEST_CAUSE):
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
    """An attribute of an object that is not ours: properties may raise anything."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - as above
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
    """A wait as servers and libraries write it, in seconds; None is one that cannot be waited."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (str, bytes)):
        text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
        if len(text) > _LONGEST_HEADER:
            return None
        if _SECONDS.fullmatch(text) is None:
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
    """Seconds until an HTTP date; 0.0 when it is over."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few servers send dates

    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - clock.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
