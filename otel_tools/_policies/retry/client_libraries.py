"""What the errors of client libraries say: their statuses and their classes, read by name so that none is imported.

The classes and attributes are those of the libraries' own documentation; how they chain was seen with real connections.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Final

__all__ = ["KNOWN", "Verdict", "read", "status_of", "text_is_permanent", "verdict_of_answer"]


class Verdict(Enum):
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
    "TransportError": Verdict.UNLESS,
    "UnsupportedProtocol": Verdict.NO,
    "LocalProtocolError": Verdict.NO,
}
_HTTPCORE: Final = {
    "NetworkError": Verdict.UNLESS,
    "TimeoutException": Verdict.YES,
    "RemoteProtocolError": Verdict.UNLESS,
    "ProxyError": Verdict.UNLESS,
}
_PSYCOPG: Final = {
    "OperationalError": Verdict.UNLESS,
    "InterfaceError": Verdict.NO,
}

KNOWN: Final = {
    "builtins": {"ConnectionError": Verdict.YES, "TimeoutError": Verdict.YES},
    "asyncio": {"IncompleteReadError": Verdict.YES},
    "http": {"IncompleteRead": Verdict.YES},
    "ssl": {"SSLEOFError": Verdict.YES, "SSLZeroReturnError": Verdict.YES, "SSLError": Verdict.NO},
    "urllib": {"URLError": Verdict.CAUSE, "ContentTooShortError": Verdict.YES},
    "httpx": _HTTPX,
    "httpx2": _HTTPX,
    "httpcore": _HTTPCORE,
    "httpcore2": _HTTPCORE,
    "requests": {
        "ConnectionError": Verdict.UNLESS,
        "SSLError": Verdict.CAUSE,
        "Timeout": Verdict.YES,
        "ChunkedEncodingError": Verdict.YES,
        "RetryError": Verdict.YES,
    },
    "urllib3": {
        "MaxRetryError": Verdict.CAUSE,
        "SSLError": Verdict.CAUSE,
        "ProxyError": Verdict.UNLESS,
        "ProtocolError": Verdict.UNLESS,
        "ResponseNotChunked": Verdict.NO,
        "TimeoutError": Verdict.UNLESS,
        "NameResolutionError": Verdict.CAUSE,
        "NewConnectionError": Verdict.UNLESS,
        "EmptyPoolError": Verdict.YES,
    },
    "aiohttp": {
        "ClientConnectionError": Verdict.UNLESS,
        "ClientSSLError": Verdict.CAUSE,
        "ServerFingerprintMismatch": Verdict.NO,
        "ClientPayloadError": Verdict.YES,
    },
    "openai": {"APIConnectionError": Verdict.UNLESS},
    "anthropic": {"APIConnectionError": Verdict.UNLESS},
    "google": {"RetryError": Verdict.CAUSE},
    "botocore": {
        "SSLError": Verdict.NO,
        "ConnectionError": Verdict.UNLESS,
        "HTTPClientError": Verdict.UNLESS,
        "EndpointConnectionError": Verdict.UNLESS,
        "ConnectionClosedError": Verdict.UNLESS,
        "ResponseStreamingError": Verdict.UNLESS,
        "IncompleteReadError": Verdict.YES,
    },
    "redis": {
        "AuthenticationError": Verdict.NO,
        "AuthorizationError": Verdict.NO,
        "ConnectionError": Verdict.UNLESS,
        "TimeoutError": Verdict.YES,
        "BusyLoadingError": Verdict.YES,
        "ClusterDownError": Verdict.YES,
        "MasterDownError": Verdict.YES,
        "TryAgainError": Verdict.YES,
    },
    "pymongo": {
        "ConnectionFailure": Verdict.UNLESS,
        "WaitQueueTimeoutError": Verdict.YES,
        "ExecutionTimeout": Verdict.YES,
    },
    "psycopg": _PSYCOPG,
    "psycopg2": _PSYCOPG,
    "psycopg_pool": {"PoolTimeout": Verdict.YES},
}
"""By top-level package and class name; for an error, the first class of its MRO that is here decides."""

_TEXT_PACKAGES: Final = frozenset({"botocore", "grpc", "psycopg", "psycopg2", "pymongo", "redis"})
"""Packages whose errors carry the reason in their text alone."""

_PERMANENT_TEXT: Final = re.compile(
    r"certificate|unknown ca\b|ssl error|name or service not known|nodename nor servname|could not translate host"
    r"|getaddrinfo failed"
    r"|no address associated|dns resolution failed|domain name not found|password authentication failed"
    r"|no pg_hba\.conf entry|authentication failed|does not exist",
    re.IGNORECASE,
)
"""What makes a failure to connect permanent: an untrusted certificate, an unknown host, wrong credentials."""

_GRPC_TRANSIENT: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL"})
_AWS_TRANSIENT: Final = re.compile(
    r"throttl|toomanyrequests|requestlimitexceeded|slowdown|provisionedthroughputexceeded|bandwidthlimitexceeded"
    r"|requesttimeout|prioritised?requestnotcomplete|transactioninprogress|serviceunavailable|internal(?:server)?error",
    re.IGNORECASE,
)
_SQL_TRANSIENT: Final = re.compile(r"08|40001|40P01|53|55P03|57P0|57014")
"""SQLSTATE (PostgreSQL's appendix A): connections, serialization failures, resources, locks, shutdowns, timeouts."""

_MIN_STATUS: Final = 400
_END_OF_STATUSES: Final = 600
_MAX_TEXT: Final = 4096


def read(holder: Any, name: str) -> Any:
    """An attribute of an object of another library, or a key of a dictionary; None where reading it raises."""
    try:
        return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a property may raise anything
        return None


def status_of(error: BaseException) -> int | None:
    """The HTTP status of the failed response behind an error; None where there is none.

    ``error.code`` is read of Google's libraries alone: it means something else in most, and warns in aiohttp.
    """
    response = read(error, "response")
    candidates = [read(holder, name) for holder in (error, response) for name in ("status_code", "status")]
    if isinstance(response, dict):
        # botocore's ClientError.
        candidates.append(read(read(response, "ResponseMetadata"), "HTTPStatusCode"))
    if _package(error) == "google":
        candidates.append(read(error, "code"))
    for status in candidates:
        if isinstance(status, int) and not isinstance(status, bool) and _MIN_STATUS <= status < _END_OF_STATUSES:
            return int(status)
    return None


def verdict_of_answer(error: BaseException) -> Verdict | None:  # noqa: PLR0911 - one for each library, in order
    """What the server said beside a status: to try again or not; a code of its own; None where it said nothing."""
    response = read(error, "response")
    headers = read(read(response, "ResponseMetadata"), "HTTPHeaders") or read(response, "headers")
    asked = _header(headers, "x-should-retry")
    if asked in {"true", "false"}:
        return Verdict.YES if asked == "true" else Verdict.NO
    package = _package(error)
    if package == "openai" and read(error, "code") == "insufficient_quota":
        return Verdict.NO
    if package == "botocore" and isinstance(response, dict):
        code = read(read(response, "Error"), "Code")
        return Verdict.YES if isinstance(code, str) and _AWS_TRANSIENT.search(code) else None
    if package == "grpc":
        return _of_grpc(error)
    if package in {"psycopg", "psycopg2"}:
        state = read(error, "sqlstate") or read(error, "pgcode")
        if isinstance(state, str):
            return Verdict.YES if _SQL_TRANSIENT.match(state) else Verdict.NO
    if package == "pymongo" and _has_label(error, "TransientTransactionError"):
        return Verdict.YES
    return None


def text_is_permanent(error: BaseException) -> bool:
    """Whether the text of a failure to connect says that another try fails too."""
    if _package(error) not in _TEXT_PACKAGES:
        return False
    try:
        return _PERMANENT_TEXT.search(str(error)[:_MAX_TEXT]) is not None
    except Exception:  # noqa: BLE001 - an exception's __str__ may raise anything
        return False


def _of_grpc(error: BaseException) -> Verdict | None:
    try:
        name = error.code().name  # type: ignore[attr-defined] # of every RpcError that a call raises
    except Exception:  # noqa: BLE001 - it is none of a call
        return None
    if name not in _GRPC_TRANSIENT:
        return Verdict.NO
    return Verdict.NO if text_is_permanent(error) else Verdict.YES


def _has_label(error: BaseException, label: str) -> bool:
    try:
        return bool(error.has_error_label(label))  # type: ignore[attr-defined] # of every PyMongoError
    except Exception:  # noqa: BLE001 - an error without labels
        return False


def _package(error: BaseException) -> str:
    for kind in type(error).__mro__:
        package = str(kind.__module__).partition(".")[0]
        if package != "builtins":
            return package
    return "builtins"


def _header(headers: Any, name: str) -> str | None:
    try:
        value = headers.get(name)
    except Exception:  # noqa: BLE001 - anything may be called headers
        return None
    return value.strip().lower() if isinstance(value, str) else None
