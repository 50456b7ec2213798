"""Switches on OpenTelemetry's own instrumentation of the `openai` package, which makes the spans of model calls."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from otel_tools._model.call_ids.openai_private import create_methods
from otel_tools._telemetry.guard import log_failure

__all__ = ["instrument_model_calls"]

logger = logging.getLogger("otel_tools")

_INSTRUMENTATIONS: Final = (
    "opentelemetry.instrumentation.genai.openai",
    "opentelemetry.instrumentation.openai_v2",
)
"""OpenTelemetry's own instrumentations of the `openai` package, the newer one first."""


def instrument_model_calls() -> Any:
    """Switch the instrumentation on.

    Returns:
        The instrumentor, to switch it off again; None where it is not installed, or the application or someone else has
        already instrumented the package.
    """
    if _is_instrumented_by_others():
        return None
    for module in _INSTRUMENTATIONS:
        try:
            instrumentor = import_module(module).OpenAIInstrumentor()
        except ImportError:
            continue
        if instrumentor.is_instrumented_by_opentelemetry:
            return None
        try:
            instrumentor.instrument()
        except Exception:  # noqa: BLE001 - telemetry never fails a call
            log_failure("switching on OpenTelemetry's instrumentation of openai")
            return None
        return instrumentor
    logger.info("spans of the model's calls need OpenTelemetry's instrumentation: pip install 'otel_tools[openai]'")
    return None


def _is_instrumented_by_others() -> bool:
    """Whether someone wraps the methods around which the spans of model calls are made, or nobody can tell."""
    import openai  # noqa: PLC0415 - loaded for those who instrument it

    package = Path(openai.__file__).parent
    methods = create_methods()
    return not methods or any(
        not isinstance(method, FunctionType) or not Path(method.__code__.co_filename).is_relative_to(package)
        for method in methods
    )
