"""How long a process takes to end when its collector is not well. Run it: ``python -m tests.bench.exit [ROUNDS]``.

The promise is two seconds at most. The tests allow for a busy machine (`tests.export.program.IN_TIME`) and check that
the end does not wait for the collector; this shows the seconds. Run it on an idle machine.
"""

from __future__ import annotations

import statistics
import sys

from tests.export.program import SLOW_COLLECTOR, Program
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

ROUNDS, PROMISE = 5, 2.0

ENDS = {
    "exit": "report(end=time.time())",
    "SIGTERM": "report(end=time.time())\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
}
CALLS = 'configure(service_name="s")\nfor n in range(1000): work(n)\n'


def seconds(ending: str, url: str, protocol: str) -> float:
    """From the last line of a program to the end of its process."""
    env = {**SLOW_COLLECTOR, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    return Program(CALLS, env, then=ENDS[ending], patient=False, measured=False).run().exit_seconds


def main(rounds: int = ROUNDS) -> int:
    """Print the table; 1 when a process took longer than is promised."""
    worst = 0.0
    print(f"seconds to the end of the process, {rounds} rounds, at most {PROMISE:g} are promised\n")
    print(f"{'collector':22}{'end by':10}{'median':>8}{'longest':>9}")
    with (
        HttpReceiver() as http,
        HttpReceiver("hang") as http_hangs,
        HttpReceiver("refuse") as http_refuses,
        HttpReceiver("overloaded") as http_overloaded,
        GrpcReceiver() as grpc,
        GrpcReceiver("hang") as grpc_hangs,
        GrpcReceiver("refuse") as grpc_refuses,
        GrpcReceiver("overloaded") as grpc_overloaded,
    ):
        closed, nowhere = f"http://127.0.0.1:{free_port()}", "http://collector.invalid:4318"
        urls = {
            "http/protobuf": (http.url, http_hangs.url, http_refuses.url, http_overloaded.url, closed, nowhere),
            "grpc": (grpc.url, grpc_hangs.url, grpc_refuses.url, grpc_overloaded.url, closed, nowhere),
        }
        names = ("answers", "hangs", "refuses", "overloaded", "closed port", "no such host")
        for protocol, of_protocol in urls.items():
            for name, url in zip(names, of_protocol, strict=True):
                for ending in ENDS:
                    took = [seconds(ending, url, protocol) for _ in range(rounds)]
                    worst = max(worst, *took)
                    row = f"{f'{protocol[:4]} {name}':22}{ending:10}{statistics.median(took):8.2f}{max(took):9.2f}"
                    print(row, flush=True)
    return int(worst > PROMISE)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
