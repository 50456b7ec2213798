"""``otel-tools sidecar up``."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from otel_tools._sidecar import docker
from otel_tools._sidecar.binaries import SIDECAR, find_all, require_all
from otel_tools._sidecar.errors import BinariesMissingError, SidecarError
from otel_tools._sidecar.paths import short, state_dir
from otel_tools._sidecar.ports import Ports
from otel_tools._sidecar.programs import START_WITHIN
from otel_tools._sidecar.runner import Sidecar
from otel_tools._sidecar.state import SidecarState, running
from otel_tools._sidecar.webhook import read_webhook, without_secret, write_webhook
from otel_tools._terminal import console

if TYPE_CHECKING:
    from types import FrameType

_LOOK = 0.2  # seconds between two looks at the running sidecar


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
            f"{without_secret(alert_webhook)!r} is no http:// or https:// address",
            param_hint="--alert-webhook",
        )
    ports = Ports().shifted(port_offset)
    if use_docker or _only_docker():
        _up_with_docker(alert_webhook, ports)
        return
    sidecar = Sidecar(ports=ports, alert_webhook=alert_webhook)
    if (state := running(sidecar.folder)) and state.phase in ("starting", "up"):
        _already_up(sidecar, state, alert_webhook)
        return
    signals = _Signals()
    began = time.monotonic()
    console.print_text("Starting the sidecar")
    sidecar.start(detach=detach, within=timeout, watch=_Narrator(began))
    _tell_addresses(sidecar, short(sidecar.folder / "logs"))
    console.print_text(
        "Programs built by `sidecar build` answer their APIs; the web pages of Jaeger, Prometheus and"
        " Alertmanager come with --docker."
    )
    if detach:
        console.print_text("Check the whole way: otel-tools doctor.  Stop it: otel-tools sidecar down")
        return
    console.print_text("Check the whole way, in another terminal: otel-tools doctor.  Stop: Ctrl-C")
    signals.interrupt = False
    try:
        _follow(sidecar, signals)
    finally:
        signals.interrupt = True  # for who cannot wait
        console.print_text()
        console.print_text("Stopping")
        sidecar.stop()


def _already_up(sidecar: Sidecar, state: SidecarState, alert_webhook: str | None) -> None:
    """Change what can be changed while it runs; for the rest, say that it runs."""
    if alert_webhook is None or state.ports != sidecar.ports.as_dict():
        raise SidecarError(
            f"the sidecar runs already (process {state.supervisor.pid})",
            "See it: otel-tools sidecar status\nStop it: otel-tools sidecar down",
        )
    # Alertmanager reads the file at each message.
    write_webhook(sidecar.folder, alert_webhook)
    console.print_text(f"The sidecar runs already. Alerts now go to {_alerts_go_to(sidecar)}")


def _only_docker() -> bool:
    """Whether Docker is the way: a program is missing, and the engine works."""
    if len(find_all()) == len(SIDECAR):
        return False
    why_not = docker.engine()
    if not why_not:
        return True
    try:
        require_all()
    except BinariesMissingError as error:
        raise BinariesMissingError(f"{error.what}\nand Docker cannot be used: {why_not}", error.fix) from None
    return False


def _up_with_docker(alert_webhook: str | None, ports: Ports) -> None:
    docker.require_engine()
    folder = state_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_webhook(folder, alert_webhook)
    docker.up(folder, ports)
    _tell_addresses(Sidecar(ports=ports), "docker compose -p otel-tools logs")
    console.print_text("Check the whole way: otel-tools doctor.  Stop it: otel-tools sidecar down")


class _Narrator:
    """Says one line for each program that becomes healthy."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._told: set[str] = set()

    def __call__(self, state: SidecarState) -> None:
        for name, program in state.programs.items():
            if program.condition == "healthy" and name not in self._told:
                self._told.add(name)
                took = console.format_duration(time.monotonic() - self._began)
                console.print_columns([[console.state_text("healthy"), f"{name:<12}", took]])


def _tell_addresses(sidecar: Sidecar, logs: str) -> None:
    ports = sidecar.ports
    console.print_text()
    console.print_columns(
        [
            ["OTLP over HTTP", sidecar.otlp_http],
            ["OTLP over gRPC", sidecar.otlp_grpc],
            ["Jaeger", sidecar.jaeger],
            ["Prometheus", sidecar.prometheus],
            ["Alertmanager", sidecar.alertmanager],
            ["Logs", logs],
            ["Alerts go to", _alerts_go_to(sidecar)],
        ]
    )
    console.print_text()
    if ports != Ports():
        console.print_text("These are not the usual ports. Tell your programs:")
        for name, value in {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sidecar.otlp_http,
            "OTEL_TOOLS_JAEGER_URL": sidecar.jaeger,
            "OTEL_TOOLS_PROMETHEUS_URL": sidecar.prometheus,
        }.items():
            console.print_text(f"export {name}={value}", indent=2)
        console.print_text()


def _alerts_go_to(sidecar: Sidecar) -> str:
    url = read_webhook(sidecar.folder)
    return without_secret(url) if url else "nowhere yet (set --alert-webhook URL)"


class _Signals:
    """SIGTERM and SIGHUP end it in order, as Ctrl-C does.

    While it starts they interrupt it. Then they only leave their mark: an exception out of a handler can
    come at a moment when Python drops it.
    """

    def __init__(self) -> None:
        self.asked = False
        self.interrupt = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` in a script leave them
                signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        if self.interrupt:
            raise KeyboardInterrupt


def _follow(sidecar: Sidecar, signals: _Signals) -> None:
    """Say what dies and comes back, until someone stops it."""
    restarts = dict.fromkeys(SIDECAR, 0)
    while state := running(sidecar.folder):
        if signals.asked:
            return
        for name, program in state.programs.items():
            if program.restarts > restarts[name]:
                restarts[name] = program.restarts
                at = time.strftime("%H:%M:%S")
                console.print_text(f"{at}  {name} {program.last_exit}; started again")
        time.sleep(_LOOK)
    last = SidecarState.read(sidecar.folder)
    if last and last.phase == "stopped":
        console.print_text("Stopped from elsewhere")
        return
    raise SidecarError(
        "the sidecar's supervisor ended by itself", f"Its log: {short(sidecar.folder / 'supervisor.log')}"
    )
