"""`transient` and `retry_after` with the errors of the real libraries."""

from __future__ import annotations

import asyncio
import email.message
import errno
import http.client
import math
import socket
import ssl
import sys
import urllib.error
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from otel_tools._call.clock import clock
from otel_tools._policies.retry.transient import retry_after, transient
from otel_tools.errors import CircuitOpen, InvalidArguments, RateLimited, ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

RETRIED = [408, 429, 500, 502, 503, 504, 529]
LEFT = [400, 401, 403, 404, 409, 410, 422, 451]


def raised(error: BaseException, cause: BaseException | None = None, *, during: BaseException | None = None) -> Any:
    """The error as it is after ``raise error from cause``, or while another was handled."""
    try:
        if cause is not None:
            raise error from cause
        if during is not None:
            try:
                raise during
            except type(during):
                raise error  # noqa: B904 - libraries do this too
        raise error
    except type(error) as caught:
        return caught


UNKNOWN_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
LOOK_UP_AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")


class SubclassError(ConnectionResetError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(),
        ConnectionRefusedError(),
        BrokenPipeError(),
        TimeoutError(),
        ToolTimeout("slow", tool="t", timeout=1.0),
        SubclassError(),
        LOOK_UP_AGAIN,
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        http.client.RemoteDisconnected("Remote end closed connection without response"),
        http.client.IncompleteRead(b"half"),
        asyncio.IncompleteReadError(b"half", 10),
        urllib.error.URLError(ConnectionRefusedError()),
        urllib.error.URLError(TimeoutError()),
        urllib.error.URLError(LOOK_UP_AGAIN),
        urllib.error.ContentTooShortError("cut", ("", email.message.Message())),
        ExceptionGroup("both", [ConnectionError(), TimeoutError()]),
    ],
    ids=repr,
)
def test_the_standard_librarys_connection_and_timeout_errors_are_transient(error: BaseException) -> None:
    assert transient(error) is True


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        OSError(),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "denied"),
        OSError(errno.ENOSPC, "disk full"),
        UNKNOWN_NAME,
        CERTIFICATE,
        ssl.SSLError(1, "wrong version number"),
        urllib.error.URLError("unknown url type: htp"),
        urllib.error.URLError(UNKNOWN_NAME),
        urllib.error.URLError(CERTIFICATE),
        http.client.InvalidURL(),
        EOFError(),
        InvalidArguments("no"),
        RateLimited("no"),
        CircuitOpen("no"),
        ExceptionGroup("one of them", [ConnectionError(), ValueError()]),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
def test_other_errors_of_the_standard_library_are_not_transient(error: BaseException) -> None:
    assert transient(error) is False


def test_an_error_of_the_tools_own_is_judged_by_itself_and_not_by_its_cause() -> None:
    assert transient(raised(LookupError(), ConnectionError())) is False
    assert transient(raised(ConnectionError(), ValueError())) is True


@pytest.mark.parametrize("status", RETRIED + LEFT)
def test_urllib_by_status(status: int) -> None:
    error = urllib.error.HTTPError("http://x", status, "", email.message.Message(), None)
    assert transient(error) is (status in RETRIED)
    error.close()


def _httpx(name: str) -> Any:
    return pytest.importorskip(name)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
class TestHttpx:
    @pytest.mark.parametrize("status", RETRIED + LEFT)
    def test_by_status(self, name: str, status: int) -> None:
        module = _httpx(name)
        response = module.Response(status, request=module.Request("GET", "http://x"))
        with pytest.raises(module.HTTPStatusError) as caught:
            response.raise_for_status()
        assert transient(caught.value) is (status in RETRIED)

    @pytest.mark.parametrize(
        "kind",
        [
            "ConnectError",
            "ConnectTimeout",
            "ReadTimeout",
            "WriteTimeout",
            "PoolTimeout",
            "ReadError",
            "WriteError",
            "CloseError",
            "ProxyError",
            "RemoteProtocolError",
        ],
    )
    def test_network_errors_are_transient(self, name: str, kind: str) -> None:
        assert transient(getattr(_httpx(name), kind)("")) is True

    @pytest.mark.parametrize(
        "kind", ["UnsupportedProtocol", "LocalProtocolError", "DecodingError", "TooManyRedirects", "InvalidURL"]
    )
    def test_mistakes_are_not_transient(self, name: str, kind: str) -> None:
        assert transient(getattr(_httpx(name), kind)("")) is False

    def test_a_real_refusal_and_a_name_that_does_not_exist(self, name: str) -> None:
        module = _httpx(name)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(module.ConnectError) as caught:
                module.get(f"http://127.0.0.1:{taken.getsockname()[1]}", trust_env=False)
        assert transient(caught.value) is True
        with pytest.raises(module.UnsupportedProtocol) as wrong:
            module.get("htp://x", trust_env=False)
        assert transient(wrong.value) is False

    def test_a_connection_error_is_judged_by_its_cause(self, name: str) -> None:
        kind = _httpx(name).ConnectError
        assert transient(raised(kind(""), raised(OSError(), CERTIFICATE))) is False
        assert transient(raised(kind(""), UNKNOWN_NAME)) is False
        assert transient(raised(kind(""), LOOK_UP_AGAIN)) is True


class TestOpenai:
    @pytest.fixture
    def openai(self) -> Any:
        return pytest.importorskip("openai")

    def request(self) -> Any:
        return pytest.importorskip("httpx2").Request("POST", "http://x")

    @pytest.mark.parametrize("status", RETRIED + LEFT)
    def test_by_status(self, openai: Any, status: int) -> None:
        response = pytest.importorskip("httpx2").Response(status, request=self.request())
        error = openai.OpenAI(api_key="k")._make_status_error_from_response(response)
        assert isinstance(error, openai.APIStatusError)
        assert transient(error) is (status in RETRIED)

    def test_connection_errors_and_timeouts_are_transient(self, openai: Any) -> None:
        assert transient(openai.APIConnectionError(request=self.request())) is True
        assert transient(openai.APITimeoutError(self.request())) is True

    def test_a_wrong_url_and_a_wrong_certificate_are_not_transient(self, openai: Any) -> None:
        unsupported = pytest.importorskip("httpx2").UnsupportedProtocol("")
        for cause in (unsupported, CERTIFICATE):
            assert transient(raised(openai.APIConnectionError(request=self.request()), cause)) is False

    def test_an_invalid_response_is_not_transient(self, openai: Any) -> None:
        response = pytest.importorskip("httpx2").Response(200, request=self.request())
        assert transient(openai.APIResponseValidationError(response, None)) is False


class TestRequests:
    @pytest.fixture
    def requests(self) -> Any:
        return pytest.importorskip("requests")

    @pytest.mark.parametrize("status", RETRIED + LEFT)
    def test_by_status(self, requests: Any, status: int) -> None:
        response = requests.Response()
        response.status_code = status
        with pytest.raises(requests.HTTPError) as caught:
            response.raise_for_status()
        assert transient(caught.value) is (status in RETRIED)

    @pytest.mark.parametrize(
        "kind", ["ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "ProxyError", "ChunkedEncodingError"]
    )
    def test_network_errors_are_transient(self, requests: Any, kind: str) -> None:
        assert transient(getattr(requests.exceptions, kind)()) is True

    @pytest.mark.parametrize(
        "kind", ["SSLError", "InvalidURL", "MissingSchema", "TooManyRedirects", "ContentDecodingError", "InvalidHeader"]
    )
    def test_mistakes_are_not_transient(self, requests: Any, kind: str) -> None:
        assert transient(getattr(requests.exceptions, kind)()) is False

    def test_a_real_refused_connection_is_transient(self, requests: Any) -> None:
        with socket.socket() as taken, requests.Session() as session:
            taken.bind(("127.0.0.1", 0))
            session.trust_env = False
            with pytest.raises(requests.ConnectionError) as caught:
                session.get(f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert transient(caught.value) is True

    def test_tls_errors_are_judged_by_their_cause(self, requests: Any) -> None:
        urllib3 = pytest.importorskip("urllib3")

        def wrapped(cause: BaseException) -> Any:
            reason = raised(urllib3.exceptions.SSLError(cause), cause)
            return raised(requests.exceptions.SSLError(), during=urllib3.exceptions.MaxRetryError(None, "/", reason))

        assert transient(wrapped(CERTIFICATE)) is False
        assert transient(wrapped(ssl.SSLEOFError(8, "EOF"))) is True


def test_urllib3() -> None:
    exceptions = pytest.importorskip("urllib3").exceptions
    assert transient(exceptions.ReadTimeoutError(None, "/", "slow")) is True
    assert transient(exceptions.ProtocolError("broken")) is True
    assert transient(exceptions.NewConnectionError(None, "refused")) is True
    assert transient(exceptions.MaxRetryError(None, "/", exceptions.NewConnectionError(None, "refused"))) is True
    assert transient(exceptions.IncompleteRead(1, 2)) is True
    assert transient(raised(exceptions.NameResolutionError("x", None, UNKNOWN_NAME), UNKNOWN_NAME)) is False
    assert transient(exceptions.MaxRetryError(None, "/", exceptions.ResponseError("too many redirects"))) is False
    assert transient(exceptions.LocationParseError("x")) is False
    assert transient(exceptions.DecodeError()) is False


class TestAiohttp:
    @pytest.fixture
    def aiohttp(self) -> Any:
        return pytest.importorskip("aiohttp")

    @pytest.mark.parametrize("status", RETRIED + LEFT)
    def test_by_status_without_its_deprecated_attribute(self, aiohttp: Any, status: int) -> None:
        error = aiohttp.ClientResponseError(None, (), status=status)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert transient(error) is (status in RETRIED)

    def test_connection_errors_and_timeouts_are_transient(self, aiohttp: Any) -> None:
        key = None
        assert transient(aiohttp.ServerDisconnectedError()) is True
        assert transient(aiohttp.ServerTimeoutError()) is True
        assert transient(aiohttp.ClientPayloadError()) is True
        assert transient(aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "refused"))) is True

    def test_mistakes_are_not_transient(self, aiohttp: Any) -> None:
        assert transient(aiohttp.InvalidURL("x")) is False
        assert transient(aiohttp.ContentTypeError(None, (), status=200)) is False
        assert transient(aiohttp.ServerFingerprintMismatch(b"", b"", "x", 1)) is False
        assert transient(raised(aiohttp.ClientConnectorCertificateError(None, CERTIFICATE), CERTIFICATE)) is False
        assert transient(raised(aiohttp.ClientConnectorDNSError(None, UNKNOWN_NAME), UNKNOWN_NAME)) is False


class Answered(Exception):  # noqa: N818 - not one of ours
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize("name", ["status_code", "status"])
def test_any_error_with_a_status_is_judged_by_it(name: str) -> None:
    assert transient(Answered(**{name: 503})) is True
    assert transient(Answered(**{name: 404})) is False
    assert transient(Answered(response=Answered(**{name: 429}))) is True


@pytest.mark.parametrize("status", [14, 200, 302, 600, -1, "503", 503.0, True, None, math.nan])
def test_a_status_that_is_no_failure_is_ignored(status: Any) -> None:
    assert transient(Answered(status=status)) is False
    error = ConnectionError()
    error.status = status  # type: ignore[attr-defined] # as some library's
    assert transient(error) is True


class HostileError(ConnectionError):
    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)


def test_attributes_that_raise_count_as_missing() -> None:
    assert transient(HostileError()) is True
    assert retry_after(HostileError()) is None


def test_causes_that_go_round_in_a_circle_end() -> None:
    httpx = _httpx("httpx")
    one, other = httpx.ConnectError(""), httpx.ConnectError("")
    one.__cause__, other.__cause__ = other, one
    assert transient(one) is True


def test_none_of_the_libraries_is_imported() -> None:
    import subprocess  # noqa: PLC0415 - for this one test

    code = (
        "import sys, otel_tools._policies.retry.retry, otel_tools._policies.third_party\n"
        "from otel_tools._policies.retry.transient import transient, retry_after\n"
        "transient(ConnectionError()), retry_after(ValueError())\n"
        "loaded = {'httpx', 'httpx2', 'requests', 'urllib3', 'aiohttp', 'openai', 'tenacity', 'cachetools'}\n"
        "print(sorted(loaded & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


HEADERS: list[Callable[[dict[str, str]], Any]] = [dict, lambda headers: {k.lower(): v for k, v in headers.items()}]


@pytest.mark.parametrize("make", HEADERS)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After-Ms": "250", "Retry-After": "7"}, 0.25),
        ({"Retry-After-Ms": "soon", "Retry-After": "7"}, 7.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:16:50 -0000"}, 10.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "1_000"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "Thu, 99 Jan 1970 00:00:00 GMT"}, None),
        ({"Retry-After": "tomorrow"}, None),
    ],
)
def test_retry_after_in_headers(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[dict[str, str]], Any],
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    monkeypatch.setattr(clock, "time", lambda: 1000.0)
    assert retry_after(Answered(response=Answered(headers=make(headers)))) == seconds
    assert retry_after(Answered(headers=make(headers))) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        (2.5, 2.5),
        (0, 0.0),
        (timedelta(minutes=1), 60.0),
        ("4", 4.0),
        (b"4", 4.0),
        (-1, None),
        (timedelta(seconds=-1), None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        (True, None),
        (None, None),
        (object(), None),
        ([3], None),
    ],
)
def test_retry_after_as_an_attribute(value: Any, seconds: float | None) -> None:
    assert retry_after(Answered(retry_after=value)) == seconds


def test_our_own_errors_have_retry_after() -> None:
    assert retry_after(RateLimited("full", retry_after=2.5)) == 2.5


def test_headers_win_over_the_attribute() -> None:
    assert retry_after(Answered(headers={"retry-after": "1"}, retry_after=9)) == 1.0


@pytest.mark.parametrize("headers", [object(), 3, "retry-after: 3", {"retry-after": object()}])
def test_headers_of_another_kind_are_ignored(headers: Any) -> None:
    assert retry_after(Answered(headers=headers)) is None


def test_the_real_libraries_headers() -> None:
    message = email.message.Message()
    message["Retry-After"] = "5"
    error = urllib.error.HTTPError("http://x", 503, "", message, None)
    assert retry_after(error) == 5.0
    error.close()
    for name in ("httpx", "httpx2"):
        module = _httpx(name)
        answer = module.Response(429, headers={"Retry-After": "5"}, request=module.Request("GET", "http://x"))
        assert retry_after(module.HTTPStatusError("", request=answer.request, response=answer)) == 5.0
    requests = pytest.importorskip("requests")
    response = requests.Response()
    response.status_code = 503
    response.headers["Retry-After"] = "5"
    assert retry_after(requests.HTTPError(response=response)) == 5.0
