"""Sends OTLP requests over HTTP, and says what the answer means."""

from __future__ import annotations

import gzip
import math
import time
import zlib
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.utils import get_environ_proxies, get_netrc_auth

from otel_tools._export.answers import Answer, ResponseReader
from otel_tools._export.hints import with_hint
from otel_tools._export.otlp_options import certificate_bundle, credential_provider
from otel_tools._urls import without_secrets
from otel_tools._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tools._export.signals import SignalExport

__all__ = ["HttpTransport"]

_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "deflate": zlib.compress}
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""By the OTLP specification."""
_REFUSED: Final = frozenset({404, 405, 501})
"""What servers answer that know no such path: Jaeger and Phoenix for metrics, Prometheus for traces."""


class HttpTransport:
    """One connection pool to one address.

    A proxy of the environment is not used for this machine. A certificate of the ``OTEL_*`` variables has precedence
    over ``REQUESTS_CA_BUNDLE``. Redirects are not followed: OTLP's client does not.

    Args:
        export: How the signal is exported.
    """

    def __init__(self, export: SignalExport) -> None:
        self._url = export.endpoint.url
        self._port = export.endpoint.port
        self._reader = ResponseReader(export.signal)
        certificates = export.options.certificates
        session = credential_provider(export.signal, "HTTP", requests.Session) or requests.Session()
        # What requests would take from the environment is decided here.
        session.trust_env = False
        session.verify = certificates.authorities or certificate_bundle() or session.verify
        if certificates.client:
            key = certificates.client_key
            session.cert = (certificates.client, key) if key else certificates.client
        proxies = {} if export.endpoint.is_loopback else get_environ_proxies(self._url)
        session.proxies.update(proxies)
        self._proxy = _proxy_of(self._url, proxies)
        encoding = export.options.compression or "none"
        self._compress = _COMPRESS.get(encoding, bytes)
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": f"otel_tools/{__version__}",
            **({"content-encoding": encoding} if encoding in _COMPRESS else {}),
            **{name.lower(): value for name, value in export.headers or ()},
        }
        if session.auth is None and "authorization" not in self._headers:
            session.auth = get_netrc_auth(self._url)
        self._session = session

    def prepare(self, data: bytes) -> bytes:
        """The body of a request, compressed."""
        return self._compress(data)

    def send(self, body: bytes, timeout: float) -> Answer:
        """Send one request.

        Args:
            body: What `prepare` returns.
            timeout: Seconds for the connection, and again for the answer.
        """
        began = time.monotonic()
        try:
            return self._post(body, timeout)
        except (requests.ConnectionError, requests.Timeout) as error:
            if isinstance(error, requests.exceptions.SSLError):
                return Answer(delivered=False, reason=self._reason_of(error))
            failed: requests.RequestException = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch is lost
            return Answer(delivered=False, reason=self._reason_of(error))
        # A connection that the server has closed in the meantime is found out by using it.
        left = timeout - (time.monotonic() - began)
        if left > 0 and not isinstance(failed, requests.Timeout):
            try:
                return self._post(body, left)
            except requests.RequestException as error:
                failed = error
        return Answer(delivered=False, reason=self._reason_of(failed), retryable=True)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _post(self, body: bytes, timeout: float) -> Answer:
        response = self._session.post(
            self._url, data=body, headers=self._headers, timeout=timeout, allow_redirects=False
        )
        status = response.status_code
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return self._read(response)
        return Answer(
            delivered=False,
            reason=self._through_proxy(_reason(response)),
            retryable=status in _RETRYABLE,
            retry_after=_retry_after(response.headers.get("retry-after")) if status in _RETRYABLE else None,
            refused=status in _REFUSED,
        )

    def _read(self, response: requests.Response) -> Answer:
        kind, body = response.headers.get("content-type", "").lower(), response.content
        if "html" in kind and body.lstrip().startswith(b"<"):
            # A proxy's login page, or the page of another program.
            return Answer(delivered=False, reason=self._through_proxy("a web page answers, which is no OTLP endpoint"))
        return self._reader.read_json(body) if "json" in kind else self._reader.read(body)

    def _reason_of(self, error: Exception) -> str:
        return self._through_proxy(with_hint(str(error) or repr(error), "http/protobuf", self._port))

    def _through_proxy(self, reason: str) -> str:
        return f"{reason}, through the proxy {self._proxy}" if self._proxy else reason


def _reason(response: Any) -> str:
    status = response.status_code
    phrase = response.reason or (HTTPStatus(status).phrase if status in list(HTTPStatus) else "")
    text = f"HTTP {status} {phrase}".rstrip()
    if location := response.headers.get("location"):
        return f"{text}: it redirects to {without_secrets(location)}, which is not followed"
    return text


def _retry_after(value: str | None) -> float | None:
    """The seconds of a ``Retry-After`` header, which are a number or a date; None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _proxy_of(url: str, proxies: Any) -> str:
    """The proxy for a URL, without its password; empty where none is used."""
    chosen = requests.utils.select_proxy(url, proxies)
    return without_secrets(chosen) if chosen else ""
