"""Real workers of task queues: the calls of every job arrive, however the worker ends its processes."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Running
from tests.export.receiver import HttpReceiver
from tests.interop.environments import ROOT, clean
from tests.stores.conftest import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS: Final = 6
MODULE: Final = "tests.interop.hosts.jobs"
CELERY: Final = f"-m celery -A {MODULE} worker --loglevel=error"


@dataclass(frozen=True, slots=True)
class Case:
    """A worker.

    Attributes:
        host: The library.
        command: The worker's command line.
        when: Where `configure()` is called: at ``import``, or when a ``child`` process begins.
        signal: How it is told to end when all jobs are done; 0: it ends by itself.
    """

    host: str
    command: str
    when: str = "import"
    signal: int = signal.SIGTERM


CASES: Final = {
    "celery": Case("celery", f"{CELERY} -c 2"),
    "celery, in the child": Case("celery", f"{CELERY} -c 2", "child"),
    "celery --max-tasks-per-child=1": Case("celery", f"{CELERY} -c 2 --max-tasks-per-child=1"),
    "celery --max-tasks-per-child=1, in the child": Case("celery", f"{CELERY} -c 2 --max-tasks-per-child=1", "child"),
    "celery, cold": Case("celery", f"{CELERY} -c 2", signal=signal.SIGQUIT),
    "billiard": Case("billiard", f"-m {MODULE} run {JOBS}", signal=0),
    "billiard, in the child": Case("billiard", f"-m {MODULE} run {JOBS}", "child", signal=0),
    "dramatiq": Case("dramatiq", f"-m dramatiq {MODULE} --processes=2 --threads=1"),
    "rq": Case("rq", "-m rq.cli worker --burst --url={redis}", signal=0),
    "rq, SimpleWorker": Case("rq", "-m rq.cli worker -w rq.SimpleWorker --url={redis}"),
    "arq": Case("arq", f"-m arq {MODULE}.WorkerSettings"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case."""

    receiver: HttpReceiver
    done: int
    code: int
    said: str


def run(python: Path, redis: str, case: Case) -> Outcome:
    """Queue jobs, let a worker do them, and end it."""
    with HttpReceiver() as receiver, tempfile.TemporaryDirectory(prefix="otel-tools-test-") as folder:
        queue, facts = Path(folder, "queue"), Path(folder, "facts")
        for made in (queue, Path(f"{queue}-control"), facts):
            made.mkdir()

        def done() -> int:
            return sum(len(file.read_text().split()) for file in facts.iterdir())

        env = {
            "HOST": case.host,
            "CONFIGURED": case.when,
            "FACTS": str(facts),
            "QUEUE": str(queue),
            "REDIS": redis,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            # Nothing is exported before the end.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        }
        if case.host != "billiard":
            sending = clean({**env, "CONFIGURED": "never", "PYTHONPATH": str(ROOT)})
            subprocess.run([python, "-m", MODULE, "send", str(JOBS)], env=sending, cwd=ROOT, check=True)
        running = Running([str(python), *case.command.format(redis=redis).split()], env, 120)
        try:
            deadline = time.monotonic() + 90
            while case.signal and done() < JOBS and time.monotonic() < deadline:
                time.sleep(0.1)
            if case.signal:
                running.send(case.signal)
            ended = running.wait()
        finally:
            running.kill()
        assert ended.in_time, ended.err
        return Outcome(receiver, done(), ended.code, ended.err)


@pytest.fixture(scope="module")
def outcomes(hosts_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis, ThreadPoolExecutor(4) as pool:
        yield {
            # A database for each: some would take the jobs of others.
            name: pool.submit(run, hosts_python, redis.url.removesuffix("0") + str(number), case)
            for number, (name, case) in enumerate(CASES.items())
        }


@pytest.mark.parametrize("name", CASES)
def test_the_calls_of_every_job_arrive(outcomes: dict[str, Future[Outcome]], name: str) -> None:
    outcome = outcomes[name].result()
    assert outcome.done == JOBS, outcome.said
    assert len(outcome.receiver.spans_of("work")) == outcome.receiver.calls("work") == JOBS, outcome.said
    assert outcome.receiver.duplicate_span_ids() == outcome.receiver.problems == []
    assert outcome.code == 0, outcome.said
