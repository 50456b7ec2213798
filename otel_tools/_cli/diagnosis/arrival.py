"""Send the test span and metric, and wait for them on the other side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_tools._cli.diagnosis.check import Check, Status
from otel_tools._cli.diagnosis.journey import METRIC, SPAN, Journey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_tools._cli.diagnosis.endpoint import Endpoint, Signal

_LOOK = 0.25  # seconds between two questions whether it arrived


@dataclass(frozen=True, slots=True)
class Way:
    """What is sent, and where it should end.

    Attributes:
        signal: traces or metrics.
        name: of the check.
        keeper: who should have it at the end, by name.
        url: its base address; empty where none is known.
        answers: whether it answers, by the check before.
    """

    signal: Signal
    name: str
    keeper: str
    url: str
    answers: Status


def follow(
    ways: list[Way], endpoints: Mapping[Signal, Endpoint], within: float, waiting: Callable[[str], None]
) -> Iterator[Check]:
    """Send both, then wait for both at once.

    Args:
        ways: what is sent and where it ends.
        endpoints: where each signal can be sent; a signal that is not in it cannot.
        within: seconds to wait.
        waiting: told what is waited for.
    """
    journey = Journey()
    open_ways = []
    for way in ways:
        endpoint = endpoints.get(way.signal)
        if endpoint is None:
            yield Check(way.name, "failed", "not sent, for what is said above", "put right what failed above")
            continue
        refused = journey.send_span(endpoint) if way.signal == "traces" else journey.send_metric(endpoint)
        if refused:
            yield Check(
                way.name, "failed", f"refused by {endpoint.url}: {refused}", "see the log of what listens there"
            )
        elif way.answers == "ok":
            open_ways.append(way)
        else:
            yield Check(
                way.name,
                way.answers,
                f"the collector took it; there is no {way.keeper} to ask whether it arrived",
                f"--{way.keeper.lower()} URL" if way.answers == "warning" else "put right what failed above",
            )
    yield from _await(open_ways, journey, within, waiting)


def _await(ways: list[Way], journey: Journey, within: float, waiting: Callable[[str], None]) -> Iterator[Check]:
    began = time.monotonic()
    while ways and time.monotonic() - began < within:
        waiting(f"waiting for the {' and the '.join(way.name for way in ways)}, at most {within:g} s")
        for way in [way for way in ways if _arrived(way, journey)]:
            ways.remove(way)
            what = f"{SPAN!r} (trace {journey.trace_id})" if way.signal == "traces" else METRIC
            took = time.monotonic() - began
            yield Check(way.name, "ok", f"{what} was in {way.keeper} after {took:.1f} s")
        time.sleep(_LOOK)
    for way in ways:
        yield Check(
            way.name,
            "failed",
            f"the collector took it, but {way.keeper} did not have it after {within:g} s",
            "see the logs that `otel-tools sidecar status` names, or wait longer: --wait 60",
        )


def _arrived(way: Way, journey: Journey) -> bool:
    return journey.span_arrived(way.url) if way.signal == "traces" else journey.metric_arrived(way.url)
