"""Real servers that are told to end: every call arrives, those of the last requests and of the lifespan's end too."""

from __future__ import annotations

import http.client
import signal
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Running
from tests.export.receiver import HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WEB: Final = "tests.interop.hosts.web"
FIRST: Final = 5
"""Requests before the signal; one more is open when it comes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A server, and how it is told to end.

    Attributes:
        command: Its command line, without the port's option.
        port: The option for the port.
        when: Where `configure()` is called: at ``import``, in the ``lifespan``, or in another ``thread`` at import.
        signals: The signals that it gets, one after the other.
        code: Its exit code, which is the same without otel_tools.
        drains: Whether the server waits for the open request.
        lifespans: How many processes run the end of the lifespan.
        reloads: Whether its files change before, so that it starts a new process.
    """

    command: str
    port: str = "--port={}"
    when: str = "import"
    signals: tuple[int, ...] = (signal.SIGTERM,)
    code: int = 0
    drains: bool = True
    lifespans: int = 1
    reloads: bool = False


UVICORN: Final = f"-m uvicorn {WEB}:asgi --log-level=warning"
GUNICORN: Final = f"-m gunicorn {WEB}:asgi --log-level=error -k uvicorn_worker.UvicornWorker"
GUNICORN_WSGI: Final = f"-m gunicorn {WEB}:wsgi --log-level=error"
HYPERCORN: Final = f"-m hypercorn {WEB}:asgi"
GRANIAN: Final = f"-m granian {WEB}:asgi --interface=asgi --no-log"
BIND: Final = "--bind=127.0.0.1:{}"
CTRL_C: Final = (signal.SIGINT,)

CASES: Final = {
    "uvicorn": Case(UVICORN, code=-signal.SIGTERM, when="lifespan"),
    "uvicorn, at import": Case(UVICORN, code=-signal.SIGTERM),
    "uvicorn, in a thread": Case(UVICORN, code=-signal.SIGTERM, when="thread"),
    "uvicorn, Ctrl-C": Case(UVICORN, signals=CTRL_C, when="lifespan"),
    "uvicorn, Ctrl-C twice": Case(UVICORN, signals=CTRL_C * 2, when="lifespan", drains=False, lifespans=0),
    "uvicorn, SIGHUP": Case(UVICORN, signals=(signal.SIGHUP,), code=-signal.SIGHUP, drains=False, lifespans=0),
    "uvicorn --workers": Case(f"{UVICORN} --workers=2", lifespans=2),
    "uvicorn --workers, lifespan, Ctrl-C": Case(f"{UVICORN} --workers=2", signals=CTRL_C, lifespans=2, when="lifespan"),
    "uvicorn --reload": Case(f"{UVICORN} --reload --reload-dir={{facts}}", when="lifespan", lifespans=2, reloads=True),
    "gunicorn, sync": Case(GUNICORN_WSGI, BIND, lifespans=0),
    "gunicorn, gthread": Case(f"{GUNICORN_WSGI} -k gthread --threads=2", BIND, lifespans=0),
    "gunicorn, uvicorn": Case(GUNICORN, BIND, when="lifespan"),
    "gunicorn --preload, uvicorn": Case(f"{GUNICORN} --preload", BIND),
    "hypercorn": Case(HYPERCORN, BIND),
    # It ends its workers by SIGTERM, twice, without waiting for their requests.
    "hypercorn --workers": Case(f"{HYPERCORN} --workers=2", BIND, drains=False),
    "granian": Case(GRANIAN),
    "granian --workers": Case(f"{GRANIAN} --workers=2", lifespans=2),
}


@dataclass
class Outcome:
    """What came of a case: what was called, what arrived, and how the server ended."""

    receiver: HttpReceiver
    facts: list[str] = field(default_factory=list)
    answered: int = 0
    slow: list[int] = field(default_factory=list)
    code: int = 0
    said: str = ""

    @property
    def sent(self) -> int:
        """The calls that were made."""
        return self.answered + self.facts.count("slow call") + self.facts.count("lifespan ended")


def ask(port: int, path: str = "/") -> tuple[int, str]:
    """Ask the server; the status, and the body: the number of the process that answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Connection": "close"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)


def run(python: Path, case: Case) -> Outcome:
    """Run a server, ask it, and end it while one request is open."""
    port = free_port()
    with HttpReceiver() as receiver, tempfile.TemporaryDirectory(prefix="otel-tools-test-") as folder:
        outcome = Outcome(receiver)

        def facts() -> list[str]:
            return [
                fact for file in Path(folder).iterdir() if file.name.isdigit() for fact in file.read_text().split("\n")
            ]

        def asks() -> str:
            try:
                status, process = ask(port)
            except (OSError, http.client.HTTPException):
                return ""
            outcome.answered += status == 200
            return process

        def ask_slowly() -> None:
            try:
                status, _ = ask(port, "/slow")
                outcome.slow.append(200 if status == 200 else 0)
            except (OSError, http.client.HTTPException):
                outcome.slow.append(0)

        changed = Path(folder, "changed.py")
        changed.touch()
        command = [str(python), *case.command.format(facts=folder).split(), case.port.format(port)]
        env = {
            "CONFIGURED": case.when,
            "FACTS": folder,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            # Nothing is exported before the end.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        }
        running = Running(command, env, 120)
        try:
            until(asks)
            if case.reloads:
                before = asks()
                changed.touch()
                until(lambda: asks() not in {"", before})
            until(lambda: asks() and outcome.answered >= FIRST)
            slow = threading.Thread(target=ask_slowly)
            slow.start()
            until(lambda: "open" in facts())
            for number in case.signals:
                running.send(number)
                time.sleep(0.3)
            slow.join()
            ended = running.wait()
        finally:
            running.kill()
        assert ended.in_time, ended.err
        outcome.facts, outcome.code, outcome.said = facts(), ended.code, ended.err
    return outcome


@pytest.fixture(scope="module")
def outcomes(hosts_python: Path) -> Iterator[dict[str, Future[Outcome]]]:
    with ThreadPoolExecutor(4) as pool:
        yield {name: pool.submit(run, hosts_python, case) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_was_called_arrives(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    outcome = outcomes[name].result()
    assert outcome.answered >= FIRST
    assert len(outcome.receiver.spans_of("work")) == outcome.receiver.calls("work") == outcome.sent, outcome.said
    assert outcome.receiver.duplicate_span_ids() == outcome.receiver.problems == []


@pytest.mark.parametrize("name", CASES)
def test_the_server_ends_as_it_does_without(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    case, outcome = CASES[name], outcomes[name].result()
    assert outcome.code == case.code, outcome.said
    assert outcome.slow == [200 if case.drains else 0]
    assert outcome.facts.count("lifespan ended") == case.lifespans
