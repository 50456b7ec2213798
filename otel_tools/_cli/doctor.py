"""``otel-tools doctor``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from otel_tools._cli.diagnosis.backends import Backends
from otel_tools._cli.diagnosis.run import diagnose
from otel_tools._terminal import console

if TYPE_CHECKING:
    from otel_tools._cli.diagnosis.check import Check

_NAME_WIDTH = 15
_STATUS_WIDTH = 9


def doctor(
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
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Find out where telemetry stops on its way, and what to do.

    Looks at this Python, the OTEL_* variables, the collector, Jaeger, Prometheus, Alertmanager and the
    alert rules, and sends a test span and a test metric (of the service otel-tools-doctor) through all.

    Exit codes: 0 nothing failed (there may be warnings), 1 something failed, 2 wrong usage.
    """
    checks: list[Check] = []
    with ExitStack() as stack:
        waiting = _Waiting(stack)
        for check in diagnose(Backends(jaeger, prometheus, alertmanager, ""), wait, waiting):
            waiting("")
            checks.append(check)
            if not as_json:
                _show(check)
    failed = sum(check.status == "failed" for check in checks)
    if as_json:
        console.raw(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _sum_up(checks, failed)
    raise typer.Exit(1 if failed else 0)


class _Waiting:
    """A spinner while the doctor waits, where there is a terminal to turn it on."""

    def __init__(self, stack: ExitStack) -> None:
        self._console = console.err()
        self._stack = stack
        self._text = ""

    def __call__(self, text: str) -> None:
        if text == self._text or not self._console.is_terminal:
            return
        self._stack.close()  # the old spinner
        self._text = text
        if text:
            self._stack.enter_context(self._console.status(text))


def _show(check: Check) -> None:
    console.entry(
        [(console.word(check.status), _STATUS_WIDTH), (check.name, _NAME_WIDTH)],
        check.detail,
        f"fix: {check.fix}" if check.fix else "",
    )


def _sum_up(checks: list[Check], failed: int) -> None:
    warnings = sum(check.status == "warning" for check in checks)
    console.say()
    if failed:
        console.say(f"{failed} of {len(checks)} checks failed. Begin with the first one: others may follow from it.")
    elif warnings:
        console.say(f"Telemetry makes the whole way. {warnings} of {len(checks)} checks have something to say.")
    else:
        console.say(f"All {len(checks)} checks are well: telemetry makes the whole way.")
