"""After a fork, parent and child each count and export their own calls, and no item arrives twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.export.program import Ended, Program, run_all
from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received

BEGIN: Final = """
configure(service_name="s")

def numbers():
    mine = stats()["work"]
    return [mine.calls.ok, mine.active, mine.mean is not None]

def end(child, code=0):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
"""

SCRIPTS: Final = {
    "fork": """
        for n in range(5): work(n)
        flush()
        child = os.fork()
        if child == 0:
            report(zero=numbers())
            for n in range(3): work(n)
            report(child=numbers(), flush=flush())
            sys.exit(4)
        # Waits until now, so that a connection that both used would carry the data of both.
        end(child, 4)
        for n in range(2): work(n)
        report(parent=numbers())
        """,
    "prefork": """
        for n in range(2): work(n)
        children = []
        for calls_of in (3, 4):
            children.append(os.fork())
            if children[-1] == 0:
                for n in range(calls_of): work(n)
                time.sleep(0.3)
                for n in range(calls_of): work(n)
                shutdown()
                os._exit(0)
        for n in range(10):
            work(n)
            time.sleep(0.02)
        for child in children: end(child)
        """,
    "nested": """
        for n in range(5): work(n)
        child = os.fork()
        if child == 0:
            for n in range(3): work(n)
            grandchild = os.fork()
            if grandchild == 0:
                report(grandchild_zero=numbers())
                work()
                sys.exit()
            for n in range(1): work(n)
            end(grandchild)
            sys.exit()
        end(child)
        """,
    "inside": """
        @tool
        def forks():
            return os.fork()
        work()
        with agent("planner"):
            child = forks()
            if child == 0:
                report(inside=numbers(), forks=[forks.tool.stats().calls.total, forks.tool.stats().active])
                work()
        if child == 0:
            report(child=numbers(), forks_after=[forks.tool.stats().calls.total, forks.tool.stats().active])
            sys.exit()
        end(child)
        report(parent_forks=[forks.tool.stats().calls.total, forks.tool.stats().active])
        """,
    "generator": """
        @tool
        def pages():
            yield 1
            yield 2
        half = pages()
        next(half)
        child = os.fork()
        if child == 0:
            list(half)
            list(pages())
            report(child=[pages.tool.stats().calls.total, pages.tool.stats().active])
            sys.exit()
        list(half)
        end(child)
        report(parent=[pages.tool.stats().calls.total, pages.tool.stats().active])
        """,
    "theirs": """
        from opentelemetry import metrics, trace
        orders = metrics.get_meter("application").create_counter("orders")
        orders.add(2)
        tracer = trace.get_tracer("application")
        with tracer.start_as_current_span("request"):
            child = os.fork()
            if child == 0:
                with tracer.start_as_current_span("in the child"):
                    work()
        if child == 0:
            orders.add(1)
            sys.exit()
        end(child)
        """,
}

CASES: Final = [
    *((case, how) for case in SCRIPTS for how in ("cumulative", "delta", "grpc") if (case, how) != ("theirs", "delta")),
    ("fork", "named"),
]

Runs = dict[tuple[str, str], tuple["Received", Ended]]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    receivers = {case: GrpcReceiver() if case[1] == "grpc" else HttpReceiver() for case in CASES}
    for receiver in receivers.values():
        receiver.__enter__()
    programs = {
        " ".join(case): Program(
            BEGIN,
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if case[1] == "grpc" else "http/protobuf",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta" if case[1] == "delta" else "cumulative",
                "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7" if case[1] == "named" else "",
                # So that exports happen before, during and after the fork.
                "OTEL_METRIC_EXPORT_INTERVAL": "40",
                "OTEL_BSP_SCHEDULE_DELAY": "30",
            },
            then=SCRIPTS[case[0]],
        )
        for case, receiver in receivers.items()
    }
    ended = run_all(programs)
    yield {case: (receivers[case], ended[" ".join(case)]) for case in CASES}
    for receiver in receivers.values():
        receiver.__exit__()


def by_instance(seen: Received, tool: str = "work") -> list[tuple[int, float, float]]:
    """Spans, counted calls and counted durations of each process, fewest first."""
    return sorted(
        (len(seen.spans_of(tool, instance)), seen.calls(tool, instance=instance), seen.durations(tool, instance))
        for instance in seen.instances
    )


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_no_item_arrives_broken_or_twice_and_no_connection_is_shared(runs: Runs, case: tuple[str, str]) -> None:
    seen, ended = runs[case]
    assert (ended.code, ended.err) == (0, "")
    assert seen.problems == []
    assert seen.duplicate_span_ids() == []
    senders: dict[str, set[str]] = {}
    for each in seen.items:
        senders.setdefault(each.request.connection, set()).add(each.instance)
    assert {connection for connection, instances in senders.items() if len(instances) > 1} == set()
    assert min(point.value for point in seen.points if point.metric == "otel_tools.call.active") >= 0


def test_a_child_does_not_use_the_instance_id_that_its_parent_was_given(runs: Runs) -> None:
    seen, _ = runs["fork", "named"]
    assert len(seen.instances) == 2
    assert len(seen.spans_of("work", "pod-7")) == seen.calls("work", instance="pod-7") == 7


@pytest.mark.parametrize("how", ["cumulative", "delta", "grpc", "named"])
def test_the_child_counts_from_zero_and_the_parent_goes_on(runs: Runs, how: str) -> None:
    seen, ended = runs["fork", how]
    assert ended.reported["zero"] == [0, 0, False]
    assert ended.reported["child"] == [3, 0, True]
    assert ended.reported["parent"] == [7, 0, True]
    assert ended.reported["flush"] is True
    assert by_instance(seen) == [(3, 3, 3), (7, 7, 7)]


@pytest.mark.parametrize("how", ["cumulative", "delta", "grpc"])
def test_a_server_and_its_forked_workers_count_their_own_calls(runs: Runs, how: str) -> None:
    seen, _ = runs["prefork", how]
    assert by_instance(seen) == [(6, 6, 6), (8, 8, 8), (12, 12, 12)]


@pytest.mark.parametrize("how", ["cumulative", "delta", "grpc"])
def test_a_forked_child_forks_too(runs: Runs, how: str) -> None:
    seen, ended = runs["nested", how]
    assert ended.reported["grandchild_zero"] == [0, 0, False]
    assert by_instance(seen) == [(1, 1, 1), (4, 4, 4), (5, 5, 5)]


@pytest.mark.parametrize("how", ["cumulative", "delta", "grpc"])
def test_a_call_that_forks_is_counted_in_the_parent_alone(runs: Runs, how: str) -> None:
    seen, ended = runs["inside", how]
    assert ended.reported["inside"] == [0, 0, False]
    assert ended.reported["forks"] == ended.reported["forks_after"] == [0, 0]
    assert ended.reported["child"] == [1, 0, True]
    assert ended.reported["parent_forks"] == [1, 0]
    assert by_instance(seen) == [(1, 1, 1), (1, 1, 1)]
    [forked] = seen.spans_of("forks")
    [planner] = [span for span in seen.spans if span.name == "invoke_agent planner"]
    assert seen.calls("forks", instance=forked.instance) == seen.calls("forks") == 1
    # The child's call belongs to the same trace.
    [in_child] = [span for span in seen.spans_of("work") if span.instance != forked.instance]
    assert (in_child.trace, in_child.parent) == (planner.trace, planner.id)
    assert in_child.attributes["gen_ai.agent.name"] == "planner"


@pytest.mark.parametrize("how", ["cumulative", "delta", "grpc"])
def test_a_generator_open_at_the_fork_is_counted_in_the_parent_alone(runs: Runs, how: str) -> None:
    seen, ended = runs["generator", how]
    assert ended.reported == {"child": [1, 0], "parent": [1, 0]}
    assert by_instance(seen, "pages") == [(1, 1, 1), (1, 1, 1)]


@pytest.mark.parametrize("how", ["cumulative", "grpc"])
def test_the_applications_spans_and_instruments_are_exported_after_a_fork(runs: Runs, how: str) -> None:
    seen, _ = runs["theirs", how]
    assert sorted(span.name for span in seen.spans) == ["execute_tool work", "in the child", "request"]
    assert by_instance(seen) == [(0, 0, 0), (1, 1, 1)]
    # The child inherits the parent's count; that is the SDK's behaviour without this library too.
    assert sorted(seen.value("orders", instance) for instance in seen.instances) == [2, 3]
