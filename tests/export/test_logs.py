"""`configure(logs=...)`: lines of JSON on standard error, log records to the collector, and a bounded end."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

import otel_tools._export.settings as settings_module
from otel_tools import ConfigurationError, configure
from tests.export.program import IN_TIME, SLOW_COLLECTOR, Ended, Program, run_all
from tests.export.receiver import HttpReceiver, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received, ReceivedLog

LOGGED: Final = """
log = logging.getLogger("shop")

@tool
def sell(n):
    log.warning("sold %d\\n{}", n, extra={"n": n})
    if n < 0:
        raise ValueError("below zero")

def sell_some():
    log.warning("open", extra={"n": 0})
    sell(1)
    try: sell(-1)
    except ValueError: pass
"""

SCRIPTS: Final = {
    "json": 'configure(service_name="json", logs="json")\nsell_some()\nshutdown()\nlog.warning("closed")',
    "otlp": 'configure(service_name="otlp", logs="otlp")\nsell_some()\nreport(flushed=flush())',
    "both": 'configure(service_name="both", logs="both")\nsell_some()',
    "off": 'configure(service_name="off")\nsell_some()',
    "stream": 'configure(service_name="stream", logs="json", log_stream=sys.stdout)\nsell_some()',
    "no exporter": 'configure(service_name="no exporter", logs="both", exporter="none")\nsell_some()',
    "disabled": 'configure(service_name="disabled", logs="both")\nsell_some()',
    "debug": """
        logging.getLogger().setLevel(logging.DEBUG)
        logging.getLogger("otel_tools.calls").setLevel(logging.INFO)  # without a record for the beginning of each call
        configure(service_name="debug", logs="otlp")
        for _ in range(3):
            sell_some()
            flush()
        """,
    "theirs": """
        from opentelemetry._logs import set_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
        kept, provider = InMemoryLogRecordExporter(), LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
        set_logger_provider(provider)
        configure(service_name="theirs", logs="otlp")
        sell_some()
        report(kept=[str(each.log_record.body) for each in kept.get_finished_logs()])
        """,
    "own handler": """
        logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(message)s", stream=sys.stdout)
        configure(service_name="own handler", logs="json")
        sell_some()
        """,
    "fork": """
        configure(service_name="fork", logs="both")
        log.warning("parent", extra={"n": 1})
        child = os.fork()
        log.warning("child" if child == 0 else "parent", extra={"n": 2})
        sell(3)
        if child == 0:
            report(child=flush())
            os._exit(0)
        os.waitpid(child, 0)
        """,
    "sigterm": """
        configure(service_name="sigterm", logs="otlp")
        sell_some()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(120)
        """,
}

DEAD: Final = """
from otel_tools._telemetry.instruments import dropped
logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("otel_tools.calls").setLevel(logging.INFO)  # without a record for the beginning of each call
configure(service_name="dead", logs="otlp")
for n in range(1, 8): sell(n)
import atexit
@atexit.register
def last():
    shutdown()
    report(dropped=dropped["logs"])
report(end=time.time())
"""


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[dict[str, Ended], Received]]:
    with HttpReceiver() as receiver, HttpReceiver("hang") as hanging, HttpReceiver("overloaded") as overloaded:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        programs = {
            name: Program(LOGGED, {**env, **({"OTEL_SDK_DISABLED": "true"} if name == "disabled" else {})}, then=then)
            for name, then in SCRIPTS.items()
        }
        for name, url in (
            ("closed port", f"http://127.0.0.1:{free_port()}"),
            ("hangs", hanging.url),
            ("overloaded", overloaded.url),
        ):
            programs[name] = Program(
                LOGGED,
                {**SLOW_COLLECTOR, "OTEL_EXPORTER_OTLP_ENDPOINT": url},
                then=DEAD,
                patient=False,
                measured=False,
            )
        ended = run_all(programs, at_once=3)
        yield ended, receiver


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def logs_of(runs: tuple[dict[str, Ended], Received], service: str) -> list[ReceivedLog]:
    return runs[1].service(service).logs


def numbers(logs: list[ReceivedLog]) -> list[int]:
    return [log.attributes["n"] for log in logs if "n" in log.attributes]


def outcomes(logs: list[ReceivedLog]) -> list[str]:
    return [log.attributes["otel_tools.outcome"] for log in logs if log.event == "tool.call"]


def test_every_program_succeeds(runs: tuple[dict[str, Ended], Received]) -> None:
    assert {name: each.err for name, each in runs[0].items() if each.code and name != "sigterm"} == {}


@pytest.mark.parametrize("name", ["json", "both"])
def test_standard_error_is_lines_of_json(name: str, runs: tuple[dict[str, Ended], Received]) -> None:
    ended, seen = runs
    lines = [json.loads(line) for line in ended[name].lines if line != "closed"]

    spans = {span.attributes["otel_tools.outcome"]: span for span in seen.service(name).spans_of("sell")}
    assert [(line["message"].partition(":")[0], line.get("tool")) for line in lines] == [
        ("open", None),
        ("sold 1\n{}", "sell"),
        ("tool.call sell", "sell"),
        ("sold -1\n{}", "sell"),
        ("tool.call sell", "sell"),
    ]
    assert [line["outcome"] for line in lines if "outcome" in line] == ["ok", "error"]
    assert [line.get("span_id") for line in lines] == [
        None,
        *[spans["ok"].id] * 2,
        *[spans["error"].id] * 2,
    ]


def test_shutdown_restores_logging(runs: tuple[dict[str, Ended], Received]) -> None:
    assert runs[0]["json"].lines[-1] == "closed"


@pytest.mark.parametrize("name", ["otlp", "both", "sigterm"])
def test_records_arrive_with_their_trace(name: str, runs: tuple[dict[str, Ended], Received]) -> None:
    logs = logs_of(runs, name)

    traces = {span.attributes["otel_tools.outcome"]: span.trace for span in runs[1].service(name).spans_of("sell")}
    assert numbers(logs) == [0, 1, -1]
    assert outcomes(logs) == ["ok", "error"]
    # A batch is sorted by logger.
    assert Counter(log.trace for log in logs if log.attributes.get("gen_ai.tool.name") == "sell") == {
        traces["ok"]: 2,
        traces["error"]: 2,
    }


def test_a_flush_exports_records(runs: tuple[dict[str, Ended], Received]) -> None:
    assert runs[0]["otlp"].reported["flushed"] is True


@pytest.mark.parametrize("name", ["json", "off", "stream", "no exporter", "disabled", "own handler", "theirs"])
def test_no_records_arrive_where_none_are_configured(name: str, runs: tuple[dict[str, Ended], Received]) -> None:
    assert logs_of(runs, name) == []


def test_without_logs_only_the_application_logs(runs: tuple[dict[str, Ended], Received]) -> None:
    assert runs[0]["off"].lines == ["open", "sold 1", "{}", "sold -1", "{}"]


def test_lines_go_to_the_given_stream(runs: tuple[dict[str, Ended], Received]) -> None:
    assert len(lines_of(runs[0]["stream"].out)) == 5
    assert runs[0]["stream"].lines == []


@pytest.mark.parametrize("name", ["no exporter", "disabled"])
def test_lines_need_no_exporter(name: str, runs: tuple[dict[str, Ended], Received]) -> None:
    assert [line.get("tool") for line in lines_of(runs[0][name].err)] == [None, "sell", "sell", "sell", "sell"]


def test_records_of_exporting_are_not_exported(runs: tuple[dict[str, Ended], Received]) -> None:
    logs = logs_of(runs, "debug")

    assert numbers(logs) == [0, 1, -1] * 3
    assert len(logs) == 15


def test_records_go_to_a_provider_of_the_applications_own(runs: tuple[dict[str, Ended], Received]) -> None:
    kept = runs[0]["theirs"].reported["kept"]

    assert [body for body in kept if not body.startswith("tool.call")] == ["open", "sold 1\n{}", "sold -1\n{}"]
    assert len(kept) == 5


def test_the_applications_handlers_write_the_same_lines(runs: tuple[dict[str, Ended], Received]) -> None:
    written = [line for line in runs[0]["own handler"].out.splitlines() if "tool.call" not in line]

    assert written == ["WARNING|open", "WARNING|sold 1", "{}", "WARNING|sold -1", "{}"]
    assert len(lines_of(runs[0]["own handler"].err)) == 5


def test_parent_and_child_of_a_fork_export_their_own_records(runs: tuple[dict[str, Ended], Received]) -> None:
    logs = logs_of(runs, "fork")

    by_process: dict[str, list[int]] = {}
    for log in logs:
        if "n" in log.attributes:
            by_process.setdefault(log.resource["service.instance.id"], []).append(log.attributes["n"])
    assert sorted(by_process.values()) == [[1, 2, 3], [2, 3]]
    assert outcomes(logs) == ["ok", "ok"]
    assert runs[0]["fork"].reported["child"] is True
    assert [line["message"] for line in lines_of(runs[0]["fork"].err)].count("child") == 1


@pytest.mark.parametrize("why", ["closed port", "hangs", "overloaded"])
def test_a_dead_collector_does_not_delay_the_end_and_losses_are_counted(
    why: str, runs: tuple[dict[str, Ended], Received]
) -> None:
    ended = runs[0][why]

    assert ended.in_time
    assert ended.exit_seconds < IN_TIME
    # What is sent and not answered may have arrived.
    assert ended.reported["dropped"] == (0 if why == "hangs" else 14)
    [line] = [line for line in ended.lines if "cannot be delivered" in line]
    assert "14 of logs" in line.partition("sent, but not answered" if why == "hangs" else "dropped so far")[2]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"logs": "yaml"}, "'json', 'otlp', 'both' and None"),
        ({"logs": True}, "configure(logs=True)"),
        ({"logs": ["json"]}, "configure(logs=['json'])"),
        ({"log_stream": sys.stdout}, "goes with logs='json' or 'both'"),
        ({"logs": "otlp", "log_stream": sys.stdout}, "goes with logs='json' or 'both'"),
        ({"logs": "json", "log_stream": "file.log"}, "a text stream is needed"),
    ],
)
def test_an_unusable_logs_argument_is_refused_at_once(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configure(**arguments)

    assert named in str(raised.value)


def test_without_the_json_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match=r"pip install 'otel_tools\[logs\]'"):
        configure(logs="json")
