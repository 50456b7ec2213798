"""``otel-tools doctor``: prints the checks of the diagnosis."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from otel_tools._cli.diagnosis.backends import Backends
from otel_tools._cli.diagnosis.run import diagnose
from otel_tools._export.endpoint import OTLP_PROTOCOLS, is_http_url
from otel_tools._export.otlp_options import parse_headers
from otel_tools._export.signals import read_signals
from otel_tools._terminal import console
from otel_tools._urls import shown
from otel_tools.errors import ConfigurationError

if TYPE_CHECKING:
    from otel_tools._cli.diagnosis.check import Check

_NAME_WIDTH = 15
_STATUS_WIDTH = 9


def doctor(  # noqa: PLR0913, PLR0917 - the options of a command
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long the test span and metric may take.")
    ] = 30.0,
    jaeger: Annotated[str, typer.Option(metavar="URL", envvar="OTEL_TOOLS_JAEGER_URL", help="Ask this Jaeger.")] = "",
    prometheus: Annotated[
        str, typer.Option(metavar="URL", envvar="OTEL_TOOLS_PROMETHEUS_URL", help="Ask this Prometheus.")
    ] = "",
    alertmanager: Annotated[
        str, typer.Option(metavar="URL", envvar="OTEL_TOOLS_ALERTMANAGER_URL", help="Ask this Alertmanager.")
    ] = "",
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="As in configure(endpoint=...); without, the OTEL_* variables say it.")
    ] = "",
    protocol: Annotated[str, typer.Option(metavar="NAME", help="http/protobuf or grpc.")] = "",
    headers: Annotated[
        str, typer.Option(metavar="NAME=VALUE,...", help="As in OTEL_EXPORTER_OTLP_HEADERS; never printed.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Find out where telemetry stops on its way, and what to do.

    Looks at this Python, the OTEL_* variables, the collector, Jaeger, Prometheus, Alertmanager and the
    alert rules, and sends a test span and a test metric (of the service otel-tools-doctor) through all.

    Exit codes: 0 nothing failed (there may be warnings), 1 something failed, 2 wrong usage.
    """
    # gRPC's own library writes of each handshake that fails; it reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    checks: list[Check] = []
    if endpoint.strip() and not is_http_url(endpoint.strip()):
        what = f"{shown(endpoint)}: a URL is needed, such as http://127.0.0.1:4318"
        raise typer.BadParameter(what, param_hint="--endpoint")
    if protocol and protocol.strip().lower() not in OTLP_PROTOCOLS:
        raise typer.BadParameter(f"{protocol!r}: accepted are {' and '.join(OTLP_PROTOCOLS)}", param_hint="--protocol")
    try:
        exports = read_signals(
            endpoint=endpoint or None,
            protocol=protocol or None,
            headers=parse_headers("--headers", headers) if headers else None,
        )
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
    with ExitStack() as stack:
        spinner = _Spinner(stack)
        for check in diagnose(exports, Backends(jaeger, prometheus, alertmanager, ""), wait, spinner):
            spinner("")
            checks.append(check)
            if not as_json:
                _print_check(check)
    failed = sum(check.status == "failed" for check in checks)
    if as_json:
        console.print_raw(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print_summary(checks, failed)
    raise typer.Exit(1 if failed else 0)


class _Spinner:
    """A spinner with a text while the doctor waits; only on a terminal."""

    def __init__(self, stack: ExitStack) -> None:
        self._console = console.stderr()
        self._stack = stack
        self._text = ""

    def __call__(self, text: str) -> None:
        if text == self._text or not self._console.is_terminal:
            return
        self._stack.close()  # removes the previous spinner
        self._text = text
        if text:
            self._stack.enter_context(self._console.status(text))


def _print_check(check: Check) -> None:
    console.print_entry(
        [(console.state_text(check.status), _STATUS_WIDTH), (check.name, _NAME_WIDTH)],
        check.detail,
        f"fix: {check.fix}" if check.fix else "",
    )


def _print_summary(checks: list[Check], failed: int) -> None:
    warnings = sum(check.status == "warning" for check in checks)
    console.print_text()
    if failed:
        text = f"{failed} of {len(checks)} checks failed. Begin with the first one: others may follow from it."
    elif warnings:
        text = f"Telemetry makes the whole way. {warnings} of {len(checks)} checks have something to say."
    else:
        text = f"All {len(checks)} checks are well: telemetry makes the whole way."
    console.print_text(text)
