"""Checks of Jaeger, Prometheus and Alertmanager: that they answer, and that alerts are set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_tools._cli.diagnosis.check import Check
from otel_tools._sidecar import http
from otel_tools._sidecar.configs import alert_names, collector_dir
from otel_tools._sidecar.paths import display_path
from otel_tools._sidecar.ports import Addresses, Ports
from otel_tools._sidecar.webhook import read_webhook
from otel_tools._urls import without_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_tools._sidecar.state import SidecarState

SIDECAR_UP = "otel-tools sidecar up"
_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Backends:
    """The base URLs of the backends; empty where unknown.

    Attributes:
        jaeger: Jaeger's query API.
        prometheus: Prometheus' API.
        alertmanager: Alertmanager's API.
        health: the collector's health page.
    """

    jaeger: str
    prometheus: str
    alertmanager: str
    health: str

    @classmethod
    def known(cls, sidecar: SidecarState | None, *, local: bool) -> Backends:
        """The backends of the running sidecar, else of one on the default ports; unknown for a remote collector.

        Args:
            sidecar: the running sidecar; None when none runs.
            local: whether telemetry goes to this machine.
        """
        if not local:
            return cls("", "", "", "")
        addresses = Addresses(Ports(**sidecar.ports) if sidecar else Ports())
        return cls(addresses.jaeger, addresses.prometheus, addresses.alertmanager, addresses.collector_health)


def check_reachable(name: str, url: str, path: str) -> Check:
    """Check that a backend answers.

    Args:
        name: its name on the command line, such as ``jaeger``.
        url: its base URL; empty where unknown.
        path: the path to request.
    """
    if not url:
        return Check(name, "warning", "its address is not known: telemetry leaves this machine", f"--{name} URL")
    try:
        status, body = http.get(url + path, _TIMEOUT)
    except OSError as error:
        return Check(name, "failed", f"{url} does not answer ({_reason(error)})", SIDECAR_UP)
    if status // 100 != 2:  # noqa: PLR2004  # the class of good HTTP answers
        return Check(name, "failed", f"{url} answers {status}: {body.strip()[:80]}", "otel-tools sidecar status")
    return Check(name, "ok", f"answers on {url}")


def check_alerting(prometheus: str) -> Iterator[Check]:
    """Check that Prometheus evaluates the alert rules and sends alerts to an Alertmanager.

    Args:
        prometheus: the base URL of a Prometheus that answers.
    """
    try:
        groups = http.get_json(f"{prometheus}/api/v1/rules?type=alert", _TIMEOUT)["data"]["groups"]
        alertmanagers = http.get_json(f"{prometheus}/api/v1/alertmanagers", _TIMEOUT)["data"]["activeAlertmanagers"]
        loaded = [rule for group in groups for rule in group["rules"]]
    except OSError as error:
        yield Check("alert rules", "failed", _reason(error), "otel-tools sidecar status")
        return
    except (LookupError, TypeError):
        yield Check("alert rules", "failed", f"{prometheus} does not answer as Prometheus does", "--prometheus URL")
        return
    yield _check_rules(loaded)
    if alertmanagers:
        yield Check("alert route", "ok", f"Prometheus sends alerts to {alertmanagers[0]['url'].split('/api/')[0]}")
    else:
        yield Check(
            "alert route",
            "failed",
            "Prometheus knows no Alertmanager: alerts reach nobody",
            "see `alerting:` in prometheus.yml; the sidecar's own: otel-tools sidecar down, then up",
        )


def check_webhook(folder: Path) -> Check:
    """Check that alerts are sent to a webhook.

    Args:
        folder: the state folder of the running sidecar.
    """
    url = read_webhook(folder)
    if url:
        return Check("alert webhook", "ok", f"alerts go to {without_path(url)}")
    return Check(
        "alert webhook", "warning", "alerts fire, but are sent to nobody", "otel-tools sidecar up --alert-webhook URL"
    )


def _check_rules(loaded: list[dict[str, Any]]) -> Check:
    expected = alert_names()
    names = {rule["name"] for rule in loaded}
    rules_file = display_path(collector_dir() / "prometheus" / "rules" / "tools.yml")
    if missing := [name for name in expected if name not in names]:
        return Check(
            "alert rules", "failed", f"Prometheus has no {', '.join(missing)}", f"load {rules_file} in its rule_files"
        )
    if broken := [rule for rule in loaded if rule["health"] == "err"]:
        what = f"{broken[0]['name']} cannot be evaluated: {broken[0].get('lastError', '')}"
        return Check("alert rules", "failed", what, f"compare with {rules_file}")
    firing = sorted({rule["name"] for rule in loaded if rule["state"] == "firing"})
    firing_text = f"; firing now: {', '.join(firing)}" if firing else "; none fires now"
    return Check("alert rules", "ok", f"{len(expected)} alerts are loaded{firing_text}")


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", error)  # a URLError wraps the error with the reason
    return getattr(reason, "strerror", None) or str(reason)
