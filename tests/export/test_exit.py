"""Telemetry is delivered before the process ends, for every way in which it may end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, Running, run_all
from tests.export.receiver import HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received

BATCHES: Final = 1200
"""More spans than one request takes."""

SCRIPTS: Final = {
    "the end of the script": "for n in range(1200): work(n)",
    "an exception": "for n in range(5): work(n)\nfail()",
    "sys.exit": "for n in range(5): work(n)\nsys.exit(7)",
    "sys.exit in a tool": """
        for n in range(5): work(n)
        @tool
        def leave():
            sys.exit(7)
        leave()
        """,
    "Ctrl-C": """
        for n in range(5): work(n)
        # In a background job of a shell, the signal is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        report(ready=True)
        time.sleep(20)
        """,
    "a thread that goes on": """
        def later():
            time.sleep(0.3)
            for n in range(5): work(n)
        threading.Thread(target=later).start()
        """,
    "an executor that goes on": """
        from concurrent.futures import ThreadPoolExecutor
        def later(n):
            time.sleep(0.1)
            return work(n)
        pool = ThreadPoolExecutor(2)
        futures = [pool.submit(later, n) for n in range(5)]
        """,
    "calls in an exit handler": """
        import atexit
        atexit.register(lambda: [work(n) for n in range(5)])
        """,
    "flush in an exit handler": """
        import atexit
        atexit.register(flush)
        for n in range(5): work(n)
        """,
    "os._exit after a flush": """
        for n in range(5): work(n)
        report(flush=flush())
        os._exit(0)
        """,
    "os._exit": "for n in range(5): work(n)\nos._exit(3)",
    "os._exit in a thread": """
        for n in range(5): work(n)
        threading.Thread(target=os._exit, args=(3,)).start()
        time.sleep(60)
        """,
    "os._exit in an exit handler": """
        import atexit
        atexit.register(os._exit, 3)
        for n in range(5): work(n)
        """,
    "os._exit in a forked process": """
        child = os.fork()
        if child == 0:
            for n in range(5): work(n)
            os._exit(0)
        os.waitpid(child, 0)
        """,
    "another program": """
        for n in range(5): work(n)
        os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(3)"])
        """,
    "another program that is not there": """
        for n in range(2): work(n)
        try:
            os.execvp("otel-tools-no-such-program", ["otel-tools-no-such-program"])
        except OSError:
            for n in range(3): work(n)
        """,
    "a signal of its own": """
        for n in range(5): work(n)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
    "a raised signal": """
        for n in range(5): work(n)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        """,
    "signals that do not end it": """
        for n in range(2): work(n)
        os.kill(os.getpid(), 0)
        came = []
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
        os.kill(os.getpid(), signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        until(lambda: len(came) == 2)
        for bad in ((), ("1", 2), (os.getpid(), 10_000)):
            try:
                os.kill(*bad)
            except (TypeError, OSError):
                came.append(bad)
        assert len(came) == 5
        for n in range(3): work(n)
        """,
    "asyncio": """
        import asyncio
        @tool
        async def fetch():
            await asyncio.sleep(0.01)
        async def main():
            await asyncio.gather(*(fetch() for _ in range(5)))
            for n in range(5): work(n)
        asyncio.run(main())
        """,
}

EARLIER: Final = """
import atexit
def last():
    work()
    report(ok=calls(), left=[flush(), shutdown()])
atexit.register(last)
configure(service_name="earlier")
work()
"""


def programs(url: str) -> dict[str, Program]:
    def interrupt(running: Running) -> None:
        running.wait_for("ready")
        running.send(signal.SIGINT)

    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    made = {
        name: Program(
            "\nconfigure(service_name=os.environ['CASE'])\n",
            {**env, "CASE": name},
            then=script,
            while_running=interrupt if name == "Ctrl-C" else None,
        )
        for name, script in SCRIPTS.items()
    }
    return made | {"earlier": Program(EARLIER, env)}


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Received, dict[str, Ended]]]:
    with HttpReceiver() as receiver:
        ended = run_all(programs(receiver.url))
        yield receiver, ended
        assert receiver.problems == []


@pytest.mark.parametrize("how", SCRIPTS)
def test_everything_is_delivered_by_the_end(runs: tuple[Received, dict[str, Ended]], how: str) -> None:
    seen = runs[0].service(how)
    expected = BATCHES if how == "the end of the script" else 5
    assert len(seen.spans_of("work")) == expected
    assert (seen.calls("work"), seen.durations("work")) == (expected, expected)
    assert seen.duplicate_span_ids() == []
    assert seen.value("otel_tools.call.active") == 0


def test_the_exit_code_is_the_programs_own(runs: tuple[Received, dict[str, Ended]]) -> None:
    codes = {how: each.code for how, each in runs[1].items() if each.code}
    assert codes == {
        "an exception": 1,
        "sys.exit": 7,
        "sys.exit in a tool": 7,
        "Ctrl-C": -signal.SIGINT,
        "os._exit": 3,
        "os._exit in a thread": 3,
        "os._exit in an exit handler": 3,
        "another program": 3,
        "a signal of its own": -signal.SIGTERM,
        "a raised signal": -signal.SIGINT,
    }
    loud = {how: each.lines[-1] for how, each in runs[1].items() if each.err}
    assert loud == {"an exception": "ValueError: no such city", "Ctrl-C": "KeyboardInterrupt"}


def test_a_batch_is_no_bigger_than_the_sdk_makes_it(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen = runs[0].service("the end of the script")
    assert len({span.request for span in seen.spans}) == 3


def test_after_the_last_flush_tools_still_work(runs: tuple[Received, dict[str, Ended]]) -> None:
    seen, ended = runs
    # A handler that was registered before configure() runs after telemetry has ended: its call is not exported.
    assert ended["earlier"].reported == {"ok": 2, "left": [False, True]}
    assert ended["earlier"].err == ""
    assert seen.service("earlier").calls("work") == 1
