"""The headers, the compression, the certificates and the timeout of OTLP requests. Does not import the SDK.

Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from otel_tools._export.endpoint import TelemetrySignal, otlp_setting
from otel_tools.errors import ConfigurationError

__all__ = [
    "Certificates",
    "Headers",
    "OtlpOptions",
    "certificate_bundle",
    "check_headers",
    "credential_provider",
    "parse_headers",
    "read_headers",
    "read_options",
]

_Credentials = TypeVar("_Credentials")
Headers = tuple[tuple[str, str], ...]

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_OWN_HEADERS: Final = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding"})
_NEEDS_ENCODING: Final = re.compile(r'[";\\]')
_HEADER_FORM: Final = "name=value pairs are needed, separated by commas, with values percent-encoded"
_COMPRESSIONS: Final = {"http/protobuf": ("none", "gzip", "deflate"), "grpc": ("none", "gzip")}
_DEFAULT_TIMEOUT: Final = 10.0
_MAX_PLAUSIBLE_TIMEOUT: Final = 600.0
"""Seconds. The specification's unit is milliseconds; the exporters of Python's SDK take seconds."""
_MAX_TIMEOUT: Final = 1_000_000.0
"""Seconds. Sockets and locks refuse much larger numbers."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM form for TLS; None where the default is used.

    Attributes:
        authorities: The certificates that the collector's is checked against.
        client: This process's own certificate.
        client_key: The key of that; None where the certificate's file has it.
    """

    authorities: str | None = None
    client: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class OtlpOptions:
    """How OTLP requests are made.

    Attributes:
        compression: ``none``, ``gzip`` or, over HTTP, ``deflate``; None where no variable says.
        certificates: Files for TLS.
        timeout: Seconds for one batch, with all attempts.
    """

    compression: str | None = None
    certificates: Certificates = field(default_factory=Certificates)
    timeout: float = _DEFAULT_TIMEOUT


def check_headers(source: str, headers: object) -> Headers:
    """Headers given in code, checked.

    Raises:
        ConfigurationError: They cannot be sent; the message has no value of them, which may be a credential.
    """
    if not isinstance(headers, Mapping) or not all(isinstance(part, str) for pair in headers.items() for part in pair):
        raise ConfigurationError(f"{source}: a dictionary of texts is needed, such as {{'x-team': 'search'}}")
    pairs = tuple((name, value.strip(" \t")) for name, value in headers.items())
    for name, value in pairs:
        if not (match := _HEADER_NAME.match(name)) or match[0] != name:
            # Only what may be sent of it: whoever mistakes the form may have the value in the name.
            begin = match[0] if match else ""
            raise ConfigurationError(
                f"{source}: a name that begins with {begin!r} cannot be sent: a name is letters, digits, '-', '_', '.'"
            )
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(f"{source}: the value of {name!r} cannot be sent: it must be printable ASCII")
        _check_name(source, name)
    return pairs


def _check_name(source: str, name: str) -> None:
    if name.lower() in _OWN_HEADERS:
        raise ConfigurationError(f"{source}: {name} describes the body, and is set by the exporter")


def parse_headers(source: str, text: str) -> Headers:
    """Headers in the form of ``OTEL_EXPORTER_OTLP_HEADERS``: ``name=value,name=value``.

    Raises:
        ConfigurationError: The text has another form; the message does not repeat it.
    """
    pairs = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        name, decoded = unquote(name).lower(), unquote(value)
        fits = _HEADER_NAME.fullmatch(name) and decoded.isascii() and decoded.isprintable()
        if not equals or not fits or _NEEDS_ENCODING.search(value):
            raise ConfigurationError(
                f"{source}: {_HEADER_FORM}, such as authorization=Bearer%20TOKEN (the value is not repeated here)"
            )
        _check_name(source, name)
        pairs[name] = decoded
    return tuple(pairs.items())


def read_headers(signal: TelemetrySignal) -> tuple[Headers | None, str]:
    """The headers that the variables set for a signal, and which does; None and an empty text where none does.

    Raises:
        ConfigurationError: The variable is malformed; the message names it without its value.
    """
    variable, value = otlp_setting(signal, "HEADERS")
    return (parse_headers(variable, value), variable) if value else (None, "")


def read_options(signal: TelemetrySignal, protocol: str, warnings: list[str], *, secure: bool) -> OtlpOptions:
    """What the variables say on compression, certificates and timeout.

    Args:
        signal: The signal.
        protocol: ``http/protobuf`` or ``grpc``.
        warnings: Gets what is ignored, and why.
        secure: Whether the endpoint uses TLS. The files are only looked at where it does.

    Raises:
        ConfigurationError: A variable cannot be used; the message names it.
    """
    return OtlpOptions(
        compression=_compression(signal, protocol, warnings),
        certificates=_certificates(signal) if secure else Certificates(),
        timeout=_timeout(signal, warnings),
    )


def credential_provider(signal: TelemetrySignal, transport: str, kind: type[_Credentials]) -> _Credentials | None:
    """What a package provides by the entry point that ``OTEL_PYTHON_EXPORTER_OTLP_..._CREDENTIAL_PROVIDER`` names.

    Args:
        signal: The signal.
        transport: ``HTTP`` or ``GRPC``.
        kind: A session or channel credentials.

    Raises:
        ConfigurationError: There is no such provider, or it provides something else.
    """
    prefix = f"OTEL_PYTHON_EXPORTER_OTLP_{transport}"
    for variable in (f"{prefix}_CREDENTIAL_PROVIDER", f"{prefix}_{signal.upper()}_CREDENTIAL_PROVIDER"):
        if name := os.environ.get(variable, "").strip():
            points = entry_points(group="opentelemetry_otlp_credential_provider", name=name)
            provided = next(iter(points)).load()() if points else None
            if not isinstance(provided, kind):
                raise ConfigurationError(f"{variable}={name}: no installed package provides a {kind.__name__} by it")
            return provided
    return None


def certificate_bundle() -> str | None:
    """The file of certificates that requests would use; the variables of OpenTelemetry have precedence over it."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None


def _compression(signal: TelemetrySignal, protocol: str, warnings: list[str]) -> str | None:
    variable, value = otlp_setting(signal, "COMPRESSION")
    known = _COMPRESSIONS[protocol]
    if not value or value.lower() in known:
        return value.lower() or None
    # As the specification asks for a value of a set that is not known.
    warnings.append(f"{variable}={value} is ignored: {protocol} has {', '.join(known)}")
    return "none"


def _timeout(signal: TelemetrySignal, warnings: list[str]) -> float:
    variable, value = otlp_setting(signal, "TIMEOUT")
    if not value:
        return _DEFAULT_TIMEOUT
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise ConfigurationError(f"{variable}={value}: a number of seconds above 0 is needed, such as 10")
    if seconds > _MAX_PLAUSIBLE_TIMEOUT:
        warnings.append(f"{variable}={value} is {seconds:g} seconds: Python's SDK does not count in milliseconds")
    return seconds


def _certificates(signal: TelemetrySignal) -> Certificates:
    authorities = _file(signal, "CERTIFICATE")
    client = _file(signal, "CLIENT_CERTIFICATE")
    key = _file(signal, "CLIENT_KEY")
    if not (authorities[1] or client[1] or key[1]):
        return Certificates()
    import ssl  # noqa: PLC0415 - only where a file is named; it takes longer to load than the rest of this package

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities[1]:
        _load(authorities, lambda: context.load_verify_locations(authorities[1]))
    if key[1] and not client[1]:
        raise ConfigurationError(f"{key[0]} is set without the certificate: set {key[0][:-3]}CERTIFICATE as well")
    if client[1]:
        # A key with a password would ask for it on the terminal.
        _load(client, lambda: context.load_cert_chain(client[1], key[1] or None, password=""))
    return Certificates(authorities[1] or None, client[1] or None, key[1] or None)


def _file(signal: TelemetrySignal, setting: str) -> tuple[str, str]:
    variable, path = otlp_setting(signal, setting)
    if path and not os.access(path, os.R_OK):
        raise ConfigurationError(f"{variable}={path}: there is no such file, or it cannot be read")
    return variable, path


def _load(source: tuple[str, str], load: Any) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        variable, path = source
        raise ConfigurationError(f"{variable}={path} cannot be used: {error}") from error
