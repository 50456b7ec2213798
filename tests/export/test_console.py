"""`exporter="console"` and `exporter="none"`, and a program given with ``python -c``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.export.program import ROOT, Program

if TYPE_CHECKING:
    from tests.export.receiver import HttpReceiver


def test_the_console_shows_spans_and_metrics() -> None:
    ended = Program(
        """
        configure(service_name="s", exporter="console")
        for n in range(3): work(n)
        report(flush=flush())
        """
    ).run()

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count('"name": "execute_tool work"') == 3
    assert '"name": "otel_tools.calls"' in ended.out
    assert '"service.name": "s"' in ended.out


def test_exporter_none_sets_nothing_up_and_calls_are_counted() -> None:
    ended = Program(
        """
        before = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
        configure(service_name="s", exporter="none")
        work()
        after = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
        report(same=before == after, flush=flush(), shutdown=shutdown(), ok=calls())
        """
    ).run()

    assert (ended.code, ended.err) == (0, "")
    assert ended.reported == {"same": True, "flush": True, "shutdown": True, "ok": 1}


def test_a_program_on_the_command_line_flushes_too(receiver: HttpReceiver) -> None:
    script = (
        "import atexit, json, otel_tools; order = []\n"
        "atexit.register(lambda: print(json.dumps(order)))\n"
        "otel_tools.configure(service_name='s')\n"
        "work = otel_tools.tool(name='work')(lambda: order.append('call'))\n"
        "atexit.register(work)\n"
        "work()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert json.loads(ended.stdout) == ["call", "call"]
    assert ended.stderr == ""
    assert len(receiver.spans) == receiver.calls("work") == receiver.durations("work") == 2
