"""The private names of the OpenTelemetry SDK: each exists, and telemetry is exported without it too.

The contract tests fail with the name that moved and with the place that uses it. The fallback tests run a program in
which the SDK has the name no more: its source is loaded with the name renamed throughout.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, ConsoleMetricExporter, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.version import __version__ as sdk_version

import otel_tools._export
from otel_tools._export import sdk_private
from otel_tools._export.metric_preferences import aggregation_preference, temporality_preference
from otel_tools._export.sdk_private import PRIVATE_NAMES, ForkSafeMetricReader, PrivateName
from tests.export.program import SLOW_COLLECTOR, Ended, Program, run_all
from tests.export.receiver import HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.export.received import Received

FOLDER: Final = Path(otel_tools._export.__path__[0])
LOG_MODULES: Final = (
    "opentelemetry._logs",
    "opentelemetry.sdk._logs",
    "opentelemetry.sdk._logs.export",
    "opentelemetry.exporter.otlp.proto.common._log_encoder",
)


# Contract: the installed SDK has each name.


class Metrics:
    """A provider with its reader and exporter, and a batch processor, all of the installed SDK."""

    def __init__(self) -> None:
        self.reader = ForkSafeMetricReader(ConsoleMetricExporter(), 3600)
        self.resource = Resource({"service.name": "contract"})
        self.provider = MeterProvider([self.reader], resource=self.resource, shutdown_on_exit=False)
        self.reader.begin()
        self.processor = BatchSpanProcessor(ConsoleSpanExporter())

    def missing(self) -> list[PrivateName]:
        return sdk_private.missing_names(self.provider, self.reader, [self.processor])


@pytest.fixture
def sdk() -> Iterator[Metrics]:
    parts = Metrics()
    yield parts
    parts.provider.shutdown()
    parts.processor.shutdown()  # type: ignore[no-untyped-call] # the SDK's own


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=str)
def test_the_sdk_has_the_private_name(sdk: Metrics, private: PrivateName) -> None:
    assert private not in sdk.missing(), (
        f"{private} has moved in OpenTelemetry SDK {sdk_version}. It is used in {private.used_in} of "
        f"otel_tools/_export/sdk_private.py; without it {private.reduced}"
    )


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=str)
def test_each_name_says_where_it_is_used(private: PrivateName) -> None:
    assert private.name in inspect.getsource(getattr(sdk_private, private.used_in))


@pytest.mark.parametrize("module", LOG_MODULES)
def test_the_modules_of_the_log_signal_are_at_their_address(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        pytest.fail(f"{module} has moved in OpenTelemetry SDK {sdk_version}: log records cannot be exported: {error}")


def test_a_missing_name_is_reported_in_one_line(sdk: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    config = sdk.provider.__dict__.pop("_sdk_config")
    interval = sdk.reader.__dict__.pop("_export_interval_millis")
    with caplog.at_level(logging.WARNING, "otel_tools"):
        sdk_private.report_missing(sdk.missing())
    sdk.provider._sdk_config, sdk.reader._export_interval_millis = config, interval
    [record] = caplog.records
    assert record.name == "otel_tools"
    assert record.getMessage() == (
        f"OpenTelemetry SDK {sdk_version} lacks private names that otel_tools uses (MeterProvider._sdk_config, "
        "PeriodicExportingMetricReader._export_interval_millis). Telemetry is exported, but in a forked process, "
        "otel_tools' metrics may carry another service.instance.id than the application's own; the last metrics of a "
        "process get no more time than the export interval"
    )


def test_where_nothing_is_missing_nothing_is_logged(sdk: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    sdk_private.report_missing(sdk.missing())
    assert caplog.records == []


def test_the_resource_of_a_provider(sdk: Metrics) -> None:
    assert sdk_private.resource_of(sdk.provider) == sdk.resource


def test_forget_instruments_leaves_the_instruments_of_other_scopes() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for scope in ("ours", "application"):
        meter = provider.get_meter(scope)
        meter.create_counter("calls").add(1)
        meter.create_observable_gauge("size", [lambda _: [metrics.Observation(1)]])
    sdk_private.forget_instruments(provider, "ours")
    data = reader.get_metrics_data()
    assert data is not None
    left = [(scope.scope.name, len(scope.metrics)) for each in data.resource_metrics for scope in each.scope_metrics]
    assert left == [("application", 2)]


@pytest.mark.parametrize(
    ("value", "delta"),
    [
        ("", set()),
        ("cumulative", set()),
        (" Delta\n", {"Counter", "Histogram", "ObservableCounter"}),
        ("LOWMEMORY", {"Counter", "Histogram"}),
        ("sometimes", set()),
    ],
)
def test_the_variables_decide_temporality_and_histograms(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str, delta: set[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", value)
    found = {kind.__name__ for kind, each in temporality_preference().items() if each is AggregationTemporality.DELTA}
    assert found == delta
    assert ("is ignored" in caplog.text) == (value == "sometimes")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
    assert isinstance(aggregation_preference()[Histogram], ExponentialBucketHistogramAggregation)


def test_a_provider_that_does_nothing_is_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)
    monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    assert sdk_private.api_placeholders() <= {"logs"}


# Contract: no private name is used elsewhere.


def private_uses(file: Path) -> list[str]:
    """Private attributes of other objects, and private modules of OpenTelemetry, that a file uses."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opentelemetry"):
            addresses = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [each for each in addresses if any(is_private(part) for part in each.split("."))]
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    "file", [file for file in sorted(FOLDER.glob("*.py")) if file.name != "sdk_private.py"], ids=lambda file: file.name
)
def test_no_other_file_uses_a_private_name(file: Path) -> None:
    # The log signal's documented address; SplitResult is a named tuple.
    allowed = ("opentelemetry._logs.", "opentelemetry.sdk._logs.", "parts._replace")
    assert [use for use in private_uses(file) if not use.startswith(allowed)] == []


def test_the_check_for_private_names_finds_them() -> None:
    used = private_uses(FOLDER / "sdk_private.py")
    assert "provider._measurement_consumer" in used
    assert "opentelemetry.exporter.otlp.proto.common._log_encoder.encode_logs" in used


@pytest.mark.parametrize("module", ["processors", "log_processor", "otlp_file", "meter_provider"])
def test_no_other_file_overrides_a_private_method(module: str) -> None:
    loaded = importlib.import_module(f"otel_tools._export.{module}")
    for cls in [each for each in vars(loaded).values() if inspect.isclass(each) and each.__module__ == loaded.__name__]:
        inherited = {name for base in cls.__mro__[1:] if base is not object for name in vars(base)}
        assert {name for name in vars(cls) if is_private(name)} & inherited - {"_abc_impl"} == set()


# Fallbacks: a program under an SDK that lacks one name.

RENAME: Final = """
import importlib.machinery, re

gone = os.environ["GONE"]
load = importlib.machinery.SourceFileLoader.get_code

def get_code(loader, module):
    if not module.startswith("opentelemetry."):
        return load(loader, module)
    path = loader.get_filename(module)
    source = re.sub(rf"\\b{gone}\\b", "_renamed" + gone, loader.get_data(path).decode())
    return compile(source, path, "exec", dont_inherit=True)

importlib.machinery.SourceFileLoader.get_code = get_code
assert "opentelemetry.sdk" not in sys.modules
"""

WORK: Final = """
configure(service_name="s")
from opentelemetry import metrics
orders = metrics.get_meter("application").create_counter("orders")
orders.add(2)
for n in range(5): work(n)
report(flush=flush())
child = os.fork()
if child == 0:
    for n in range(3): work(n)
    report(child_flush=flush())
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
for n in range(2): work(n)
"""

HIDE_LOGS: Final = """
class Hide:
    def find_spec(self, name, path=None, target=None):
        if re.match(os.environ["HIDDEN"], name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import re
sys.meta_path.insert(0, Hide())
"""

NAMES: Final = sorted({private.name for private in PRIVATE_NAMES})


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, tuple[Received, Ended]]]:
    receivers = {name: HttpReceiver() for name in NAMES}
    for receiver in receivers.values():
        receiver.__enter__()
    ended = run_all(
        {
            name: Program(RENAME, {"GONE": name, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, then=WORK)
            for name, receiver in receivers.items()
        }
    )
    yield {name: (receivers[name], ended[name]) for name in NAMES}
    for receiver in receivers.values():
        receiver.__exit__()


@pytest.mark.parametrize("name", NAMES)
def test_without_the_name_all_arrives_and_flush_says_so(runs: dict[str, tuple[Received, Ended]], name: str) -> None:
    seen, ended = runs[name]
    assert (ended.code, ended.in_time) == (0, True), ended.err
    assert (ended.reported["flush"], ended.reported["child_flush"]) == (True, True)
    assert sorted(
        (len(seen.spans_of("work", instance)), seen.calls("work", instance=instance), seen.durations("work", instance))
        for instance in seen.instances
    ) == [(3, 3, 3), (7, 7, 7)]
    assert seen.value("orders") >= 2
    assert seen.duplicate_span_ids() == []
    assert seen.problems == []


@pytest.mark.parametrize("name", NAMES)
def test_without_the_name_one_line_says_what_is_reduced(runs: dict[str, tuple[Received, Ended]], name: str) -> None:
    [line] = runs[name][1].lines
    concerned = [private for private in PRIVATE_NAMES if private.name == name]
    for private in concerned:
        assert str(private) in line
        assert private.reduced in line
    assert line.startswith(f"OpenTelemetry SDK {sdk_version} lacks private names")


@pytest.mark.parametrize("name", ["_sdk_config", "_measurement_consumer", "_at_fork_reinit", "_batch_processor"])
def test_without_the_name_flush_is_false_where_nothing_arrives(name: str) -> None:
    with HttpReceiver("refuse") as refuses:
        ended = Program(RENAME, {"GONE": name, "OTEL_EXPORTER_OTLP_ENDPOINT": refuses.url}, then=WORK).run()
    assert (ended.reported["flush"], ended.reported["child_flush"]) == (False, False)


def test_without_the_resource_and_without_traces_a_child_has_an_instance_id_of_its_own() -> None:
    with HttpReceiver() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_EXPORTER": "none"}
        ended = Program(RENAME, {"GONE": "_sdk_config", **env}, then=WORK).run()
        # The application's own metrics in the child are the third.
        assert sorted(receiver.calls("work", instance=instance) for instance in receiver.instances) == [0, 3, 7]
    assert (ended.reported["flush"], ended.reported["child_flush"]) == (True, True)


def test_without_the_batch_processors_name_the_end_is_bounded() -> None:
    with HttpReceiver("hang") as hangs:
        ended = Program(
            RENAME,
            {**SLOW_COLLECTOR, "GONE": "_batch_processor", "OTEL_EXPORTER_OTLP_ENDPOINT": hangs.url},
            then="configure(service_name='s')\nfor n in range(5): work(n)\nreport(end=time.time())",
            patient=False,
        ).run()
    assert ended.in_time
    # From Python 3.12 on no thread can be started while the interpreter exits: the public shutdown waits its 30 s.
    assert ended.exit_seconds < (25 if sys.version_info < (3, 12) else 90)


def test_a_failed_fork_handler_makes_flush_false() -> None:
    breaks: Any = """
configure(service_name="s")
from otel_tools._export import sdk_private
def breaks(*_):
    raise RuntimeError("it is not there")
sdk_private.resource_of = breaks
child = os.fork()
if child == 0:
    for n in range(3): work(n)
    report(flush=flush())
    os._exit(0)
os.waitpid(child, 0)
"""
    with HttpReceiver() as receiver:
        ended = Program(breaks, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}).run()
        assert len(receiver.spans_of("work")) == 3
    assert ended.reported["flush"] is False
    [line] = ended.lines
    assert line == "the metrics of this forked process are not exported: RuntimeError('it is not there')"


@pytest.mark.parametrize("hidden", [r"opentelemetry\.sdk\._logs\b", r"opentelemetry\.exporter\..*\._log_encoder\b"])
def test_without_the_modules_of_logs_traces_and_metrics_arrive(hidden: str) -> None:
    script = "configure(service_name='s', logs='otlp')\nlogging.warning('a record')\nfor n in range(5): work(n)\n"
    with HttpReceiver() as receiver:
        ended = Program(
            HIDE_LOGS,
            {"HIDDEN": hidden, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            then=script + "report(flush=flush())",
        ).run()
        assert (ended.code, ended.reported["flush"]) == (0, True), ended.err
        assert (len(receiver.spans), receiver.calls("work"), receiver.logs) == (5, 5, [])
    [line] = [line for line in ended.lines if line.startswith("OpenTelemetry SDK")]
    assert "log records are not" in line
