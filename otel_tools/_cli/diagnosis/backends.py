"""Jaeger, Prometheus and Alertmanager: are they there, and are they set to raise alerts?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_tools._cli.diagnosis.check import Check
from otel_tools._sidecar import http
from otel_tools._sidecar.configs import alert_names, collector_dir
from otel_tools._sidecar.paths import short
from otel_tools._sidecar.ports import HOST, Ports
from otel_tools._sidecar.webhook import read_webhook, without_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_tools._sidecar.state import SidecarState

UP = "otel-tools sidecar up"
_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class Backends:
    """The base addresses to ask; empty where none is known.

    Attributes:
        jaeger: of its query API.
        prometheus: of its API.
        alertmanager: of its API.
        health: of the collector's health page.
    """

    jaeger: str
    prometheus: str
    alertmanager: str
    health: str

    @classmethod
    def known(cls, sidecar: SidecarState | None, *, local: bool) -> Backends:
        """Those of the sidecar that runs, else those of a usual one where telemetry stays on this machine.

        Args:
            sidecar: the running one.
            local: whether telemetry goes to this machine.
        """
        if not local:
            return cls("", "", "", "")
        ports = Ports(**sidecar.ports) if sidecar else Ports()
        return cls(
            *(
                f"http://{HOST}:{port}"
                for port in (
                    ports.jaeger_query,
                    ports.prometheus,
                    ports.alertmanager,
                    ports.collector_health,
                )
            )
        )


def reachable(name: str, url: str, path: str) -> Check:
    """Whether one of them answers.

    Args:
        name: its name on the command line, such as ``jaeger``.
        url: its base address; empty where none is known.
        path: what to ask for.
    """
    if not url:
        return Check(name, "warning", "its address is not known: telemetry leaves this machine", f"--{name} URL")
    try:
        status, body = http.get(url + path, _WITHIN)
    except OSError as error:
        return Check(name, "failed", f"{url} does not answer ({_short(error)})", UP)
    if status // 100 != 2:  # noqa: PLR2004  # the class of good HTTP answers
        return Check(name, "failed", f"{url} answers {status}: {body.strip()[:80]}", "otel-tools sidecar status")
    return Check(name, "ok", f"answers on {url}")


def rules(prometheus: str) -> Iterator[Check]:
    """Whether Prometheus evaluates the alert rules, and knows whom to tell.

    Args:
        prometheus: its base address, where it answers.
    """
    try:
        groups = http.get_json(f"{prometheus}/api/v1/rules?type=alert", _WITHIN)["data"]["groups"]
        told = http.get_json(f"{prometheus}/api/v1/alertmanagers", _WITHIN)["data"]["activeAlertmanagers"]
        loaded = [rule for group in groups for rule in group["rules"]]
    except OSError as error:
        yield Check("alert rules", "failed", _short(error), "otel-tools sidecar status")
        return
    except (LookupError, TypeError):
        yield Check("alert rules", "failed", f"{prometheus} does not answer as Prometheus does", "--prometheus URL")
        return
    yield _rules(loaded)
    if told:
        yield Check("alert route", "ok", f"Prometheus sends alerts to {told[0]['url'].split('/api/')[0]}")
    else:
        yield Check(
            "alert route",
            "failed",
            "Prometheus knows no Alertmanager: alerts reach nobody",
            "see `alerting:` in prometheus.yml; the sidecar's own: otel-tools sidecar down, then up",
        )


def destination(folder: Path) -> Check:
    """Whether alerts go to somebody.

    Args:
        folder: the state folder of the running sidecar.
    """
    url = read_webhook(folder)
    if url:
        return Check("alert webhook", "ok", f"alerts go to {without_secret(url)}")
    return Check(
        "alert webhook", "warning", "alerts fire, but are sent to nobody", "otel-tools sidecar up --alert-webhook URL"
    )


def _rules(loaded: list[dict[str, Any]]) -> Check:
    expected = alert_names()
    names = {rule["name"] for rule in loaded}
    shipped = short(collector_dir() / "prometheus" / "rules" / "tools.yml")
    if missing := [name for name in expected if name not in names]:
        return Check(
            "alert rules", "failed", f"Prometheus has no {', '.join(missing)}", f"load {shipped} in its rule_files"
        )
    if broken := [rule for rule in loaded if rule["health"] == "err"]:
        what = f"{broken[0]['name']} cannot be evaluated: {broken[0].get('lastError', '')}"
        return Check("alert rules", "failed", what, f"compare with {shipped}")
    firing = sorted({rule["name"] for rule in loaded if rule["state"] == "firing"})
    now = f"; firing now: {', '.join(firing)}" if firing else "; none fires now"
    return Check("alert rules", "ok", f"{len(expected)} alerts are loaded{now}")


def _short(error: OSError) -> str:
    reason = getattr(error, "reason", error)  # a URLError wraps the one that says it
    return getattr(reason, "strerror", None) or str(reason)
