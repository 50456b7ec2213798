"""What the applications of this folder share."""

from __future__ import annotations

from typing import Any

from otel_tools import configure, flush, shutdown
from otel_tools._export import process_hooks


def set_up(**_: Any) -> None:
    """Configure this process. Its end waits for the collector as long as that takes on a busy machine."""
    flush.__defaults__ = shutdown.__defaults__ = (20.0,)
    process_hooks._TIMEOUT = 20.0  # type: ignore[misc] # a test's own limit
    configure(service_name="hosted")
