"""``otel-tools sidecar up``: starts the sidecar, in the foreground or detached, natively or with Docker."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from otel_tools._export.endpoint import otlp_protocol
from otel_tools._sidecar import docker
from otel_tools._sidecar.binaries import SIDECAR, find_all, require_all
from otel_tools._sidecar.errors import SidecarError
from otel_tools._sidecar.paths import display_path, state_dir
from otel_tools._sidecar.ports import Addresses, Ports
from otel_tools._sidecar.programs import START_WITHIN
from otel_tools._sidecar.runner import Sidecar
from otel_tools._sidecar.state import SidecarState, running
from otel_tools._sidecar.webhook import read_webhook, write_webhook
from otel_tools._terminal import console
from otel_tools._urls import without_path

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

_POLL_INTERVAL = 0.2  # seconds


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is healthy; it keeps running.")
    ] = False,
    use_docker: Annotated[
        bool, typer.Option("--docker", help="With docker compose, even where the programs are built.")
    ] = False,
    alert_webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help='Where alerts are sent; remembered until changed ("" for nowhere).'),
    ] = None,
    port_offset: Annotated[
        int, typer.Option(metavar="N", help="Move every port by N, beside what holds the usual ones.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long all may take to become healthy.")
    ] = START_WITHIN,
) -> None:
    """Run collector, Jaeger, Prometheus and Alertmanager on loopback.

    The built programs (or those on PATH) run as supervised processes: what dies is started again. Where
    none are built and Docker works, it is `docker compose up`. Without --detach it runs until Ctrl-C.
    Logs and data are in ~/.local/state/otel-tools/sidecar (or $OTEL_TOOLS_STATE_DIR).

    Exit codes: 0 up (or stopped by you), 1 could not start or ended by itself, 2 wrong usage.
    """
    if alert_webhook and urlsplit(alert_webhook).scheme not in ("http", "https"):
        raise typer.BadParameter(
            f"{without_path(alert_webhook)!r} is no http:// or https:// address",
            param_hint="--alert-webhook",
        )
    try:
        ports = Ports().shifted(port_offset)
    except SidecarError as error:
        raise typer.BadParameter(f"{error.what}. {error.fix}", param_hint="--port-offset") from None
    if use_docker or _docker_is_the_only_way():
        _up_with_docker(alert_webhook, ports)
        return
    sidecar = Sidecar(ports=ports, alert_webhook=alert_webhook)
    if (state := running(sidecar.folder)) and state.phase in ("starting", "up"):
        _already_up(sidecar, state, alert_webhook)
        return
    _up_with_programs(sidecar, timeout, detach=detach)


def _up_with_programs(sidecar: Sidecar, timeout: float, *, detach: bool) -> None:
    """Start the programs; without ``detach`` run until a signal or a stop from elsewhere."""
    signals = _StopSignals()
    console.print_text("Starting the sidecar")
    sidecar.start(detach=detach, within=timeout, watch=_StartProgress())
    _print_addresses(sidecar, sidecar.folder, display_path(sidecar.folder / "logs"))
    console.print_text(
        "Programs built by `sidecar build` answer their APIs; the web pages of Jaeger, Prometheus and"
        " Alertmanager come with --docker."
    )
    if detach:
        console.print_text("Check the whole way: otel-tools doctor.  Stop it: otel-tools sidecar down")
        return
    console.print_text("Check the whole way, in another terminal: otel-tools doctor.  Stop: Ctrl-C")
    signals.raises = False
    try:
        _watch(sidecar, signals)
    finally:
        signals.raises = True  # a second signal ends the wait
        console.print_text()
        console.print_text("Stopping")
        sidecar.stop()


def _already_up(sidecar: Sidecar, state: SidecarState, alert_webhook: str | None) -> None:
    """Change the webhook of the running sidecar.

    Raises:
        SidecarError: no webhook is given, or the ports differ.
    """
    if alert_webhook is None or state.ports != sidecar.ports.as_dict():
        raise SidecarError(
            f"the sidecar runs already (process {state.supervisor.pid})",
            "See it: otel-tools sidecar status\nStop it: otel-tools sidecar down",
        )
    # Alertmanager reads the file for each message.
    write_webhook(sidecar.folder, alert_webhook)
    console.print_text(f"The sidecar runs already. Alerts now go to {_webhook_text(sidecar.folder)}")


def _docker_is_the_only_way() -> bool:
    """Whether a program is missing and Docker works.

    Raises:
        BinariesMissingError: a program is missing and Docker does not work.
    """
    if len(find_all()) == len(SIDECAR):
        return False
    if not docker.unavailable_reason():
        return True
    require_all()
    return False


def _up_with_docker(alert_webhook: str | None, ports: Ports) -> None:
    docker.require_engine()
    folder = state_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_webhook(folder, alert_webhook)
    docker.up(folder, ports)
    _print_addresses(Addresses(ports), folder, "docker compose -p otel-tools logs")
    console.print_text("Check the whole way: otel-tools doctor.  Stop it: otel-tools sidecar down")


class _StartProgress:
    """Prints one line for each program that becomes healthy."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._printed: set[str] = set()

    def __call__(self, state: SidecarState) -> None:
        for name, program in state.programs.items():
            if program.condition == "healthy" and name not in self._printed:
                self._printed.add(name)
                took = console.format_duration(time.monotonic() - self._began)
                console.print_columns([[console.state_text("healthy"), f"{name:<12}", took]])


def _print_addresses(addresses: Addresses, folder: Path, logs: str) -> None:
    console.print_text()
    console.print_columns(
        [
            ["OTLP over HTTP", addresses.otlp_http],
            ["OTLP over gRPC", addresses.otlp_grpc],
            ["Jaeger", addresses.jaeger],
            ["Prometheus", addresses.prometheus],
            ["Alertmanager", addresses.alertmanager],
            ["Logs", logs],
            ["Alerts go to", _webhook_text(folder)],
        ]
    )
    console.print_text()
    if addresses.ports != Ports():
        console.print_text("These are not the usual ports. Tell your programs:")
        grpc = otlp_protocol("traces")[0] == "grpc"
        for name, value in {
            "OTEL_EXPORTER_OTLP_ENDPOINT": addresses.otlp_grpc if grpc else addresses.otlp_http,
            "OTEL_TOOLS_JAEGER_URL": addresses.jaeger,
            "OTEL_TOOLS_PROMETHEUS_URL": addresses.prometheus,
            "OTEL_TOOLS_ALERTMANAGER_URL": addresses.alertmanager,
        }.items():
            console.print_text(f"export {name}={value}", indent=2)
        console.print_text()


def _webhook_text(folder: Path) -> str:
    url = read_webhook(folder)
    return without_path(url) if url else "nowhere yet (set --alert-webhook URL)"


class _StopSignals:
    """Handles SIGTERM and SIGHUP as Ctrl-C: all three stop the sidecar in order.

    Attributes:
        received: whether a signal came.
        raises: whether a signal also raises KeyboardInterrupt. Only during start and stop: an exception from a
            handler can come at a moment when Python drops it.
    """

    def __init__(self) -> None:
        self.received = False
        self.raises = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and `&` in a script, ignore them on purpose
                signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True
        if self.raises:
            raise KeyboardInterrupt


def _watch(sidecar: Sidecar, signals: _StopSignals) -> None:
    """Print each restart of a program, until a signal or a stop from elsewhere.

    Raises:
        SidecarError: the supervisor ended by itself.
    """
    restarts = dict.fromkeys(SIDECAR, 0)
    while state := running(sidecar.folder):
        if signals.received:
            return
        for name, program in state.programs.items():
            if program.restarts > restarts[name]:
                restarts[name] = program.restarts
                at = time.strftime("%H:%M:%S")
                console.print_text(f"{at}  {name} {program.last_exit}; started again")
        time.sleep(_POLL_INTERVAL)
    last = SidecarState.read(sidecar.folder)
    if last and last.phase == "stopped":
        console.print_text("Stopped from elsewhere")
        return
    raise SidecarError(
        "the sidecar's supervisor ended by itself", f"Its log: {display_path(sidecar.folder / 'supervisor.log')}"
    )
