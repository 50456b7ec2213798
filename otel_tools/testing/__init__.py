"""Helpers for tests of tools: captured telemetry, a fake clock and injected faults.

with capture() as seen, FakeClock(), faults(get_weather, sequence=[TimeoutError, ConnectionError]):
    get_weather("Paris")                           # retries twice, with its back-off, in no time
assert seen.span("get_weather").attributes["otel_tools.retry.count"] == 2
"""

from __future__ import annotations

from otel_tools._telemetry.policy_metrics import PolicyEvent
from otel_tools.testing._captured import Captured, capture
from otel_tools.testing._fake_clock import FakeClock
from otel_tools.testing._faults import Faults, faults

__all__ = ["Captured", "FakeClock", "Faults", "PolicyEvent", "capture", "faults"]
