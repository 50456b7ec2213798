"""Items that are not delivered are counted exactly, and the count is exported as soon as that is possible."""

from __future__ import annotations

import time
from typing import Final

from tests.export.program import Program, Running
from tests.export.receiver import GrpcReceiver, HttpReceiver, free_port

OFTEN: Final = {
    "OTEL_METRIC_EXPORT_INTERVAL": "100",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
}

OUTAGE: Final = """
from otel_tools._telemetry.instruments import dropped
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
configure(service_name="s")
for n in range(30): work(n)
until(lambda: dropped["traces"] == 30)
until(lambda: dropped["metrics"] > 0)
report(lost=True)
until(flush)
for n in range(12): work(n)
report(flush=flush(), dropped=dict(dropped))
"""


def outage(receiver_type: type[HttpReceiver | GrpcReceiver], protocol: str) -> None:
    port = free_port()

    def come_back(running: Running) -> None:
        running.wait_for("lost")
        with receiver_type(port=port) as receiver:
            ended = running.wait()
        assert ended.code == 0, ended.err
        assert ended.reported["flush"] is True
        lost = ended.reported["dropped"]
        assert lost["traces"] == 30
        assert len(receiver.spans) == 12
        # Cumulative metrics are complete again with the next export.
        assert (receiver.calls("work"), receiver.durations("work")) == (42, 42)
        assert receiver.value("otel_tools.export.dropped", otel_tools__export__signal="traces") == 30
        assert receiver.value("otel_tools.export.dropped", otel_tools__export__signal="metrics") == lost["metrics"] > 0
        warned, again = ended.lines
        assert warned.startswith("WARNING otel_tools telemetry cannot be delivered to http://127.0.0.1")
        assert again in {"INFO otel_tools traces are delivered again", "INFO otel_tools metrics are delivered again"}

    env = {
        **OFTEN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    Program(OUTAGE, env, while_running=come_back).run()


def test_after_an_outage_export_resumes_and_losses_are_exported() -> None:
    outage(HttpReceiver, "http/protobuf")


def test_after_an_outage_export_resumes_by_grpc() -> None:
    outage(GrpcReceiver, "grpc")


def test_a_collector_that_fails_now_and_then_does_not_fill_the_log(receiver: HttpReceiver) -> None:
    def flap(running: Running) -> None:
        running.wait_for("ready")
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            receiver.answer = "refuse" if receiver.answer == "ok" else "ok"
            time.sleep(0.08)
        receiver.answer = "refuse"
        running.wait_for("lost")
        receiver.answer = "ok"
        running.send(10)

    ended = Program(
        """
        logging.basicConfig(level=logging.INFO)
        from otel_tools._telemetry.instruments import dropped
        over = threading.Event()
        signal.signal(signal.SIGUSR1, lambda *_: over.set())
        configure(service_name="s")
        report(ready=True)
        while not over.is_set():
            work()
            time.sleep(0.005)
            if dropped["traces"]: report(lost=True)
        report(shutdown=shutdown(), ok=calls())
        """,
        {**OFTEN, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
        while_running=flap,
    ).run()

    assert ended.reported["shutdown"] is True
    assert len(ended.lines) == 2, ended.err
    assert "cannot be delivered" in ended.lines[0]
    assert "delivered again" in ended.lines[1]
    dropped = receiver.value("otel_tools.export.dropped", otel_tools__export__signal="traces")
    assert dropped > 0
    assert len(receiver.spans) + dropped == receiver.calls("work") == ended.reported["ok"]


def test_items_beyond_the_queue_are_counted_exactly(receiver: HttpReceiver) -> None:
    ended = Program(
        """
        configure(service_name="s")
        def load():
            for n in range(2000): work(n)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        report(shutdown=shutdown())
        """,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "40",
        },
    ).run()

    assert ended.reported["shutdown"] is True
    assert receiver.calls("work") == receiver.durations("work") == 8000
    dropped = receiver.value("otel_tools.export.dropped", otel_tools__export__signal="traces")
    assert dropped > 0
    assert len(receiver.spans) + dropped == 8000
    assert receiver.duplicate_span_ids() == []
    [line] = ended.lines
    assert "the queue is full" in line


def test_a_signal_that_never_arrives_is_counted_in_full(receiver: HttpReceiver) -> None:
    ended = Program(
        """
        configure(service_name="s")
        for n in range(300): work(n)
        report(shutdown=shutdown())
        """,
        {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{receiver.url}/v1/metrics",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{free_port()}/v1/traces",
        },
        patient=False,
    ).run()

    assert ended.reported["shutdown"] is False
    assert receiver.calls("work") == 300
    # Metrics are exported last, so they include the losses of traces.
    assert receiver.value("otel_tools.export.dropped", otel_tools__export__signal="traces") == 300
    [line] = ended.lines
    assert "300 of traces" in line


def test_a_thousand_tools_keep_every_series(receiver: HttpReceiver) -> None:
    ended = Program(
        """
        configure(service_name="s")
        tools = [tool(name=f"tool-{n}")(lambda n=n: n) for n in range(1000)]
        failing = [tool(name=f"failing-{n}")(fail.tool.function) for n in range(200)]
        for each in tools: each()
        for each in failing:
            try: each()
            except ValueError: pass
        report(shutdown=shutdown())
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
    ).run()

    assert (ended.reported["shutdown"], ended.err) == (True, "")
    calls = [point for point in receiver.points if point.metric == "otel_tools.calls"]
    named = [point.attributes["gen_ai.tool.name"] for point in calls]
    # Two series each, `ok` and `error`, beside those of the two tools that every program here has.
    assert len(named) == len(calls) == 2 * (1000 + 200 + 2)
    assert sum(point.value for point in calls) == 1200
    durations = [point for point in receiver.points if point.metric == "gen_ai.execute_tool.duration"]
    assert len(durations) == sum(point.value for point in durations) == 1200
    assert not any("otel.metric.overflow" in point.attributes for point in receiver.points)
