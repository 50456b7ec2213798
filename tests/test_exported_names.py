"""The public names: what `import otel_tools` offers, and that all else is private by its name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import otel_tools

PUBLIC = {
    "otel_tools": [
        "Cache",
        "CacheCounts",
        "CallCounts",
        "CircuitBreaker",
        "CircuitOpen",
        "Concurrency",
        "ConcurrencyLimited",
        "ConfigurationError",
        "FailedResult",
        "FieldError",
        "InvalidArguments",
        "InvalidResult",
        "LoopResult",
        "Objective",
        "RateLimit",
        "RateLimited",
        "RedisStore",
        "Retry",
        "SQLiteStore",
        "ThrottlingCounts",
        "Tool",
        "ToolError",
        "ToolFailure",
        "ToolFunction",
        "ToolResult",
        "ToolSet",
        "ToolStats",
        "ToolTimeout",
        "__version__",
        "agent",
        "arun_loop",
        "cancelled",
        "configure",
        "flush",
        "instrument",
        "instrument_openai",
        "remaining",
        "run_loop",
        "schema_from_model",
        "shutdown",
        "stats",
        "tool",
        "transient",
        "uninstrument_openai",
    ],
    "otel_tools.errors": [
        "CircuitOpen",
        "ConcurrencyLimited",
        "ConfigurationError",
        "FailedResult",
        "FieldError",
        "InvalidArguments",
        "InvalidResult",
        "RateLimited",
        "ToolError",
        "ToolTimeout",
    ],
    "otel_tools.stores": [
        "CacheStore",
        "OnError",
        "Quota",
        "RateLimitStore",
        "RedisStore",
        "Reservation",
        "SQLiteStore",
    ],
    "otel_tools.testing": ["Captured", "FakeClock", "Faults", "PolicyEvent", "capture", "faults"],
}
"""Every public module and its names. Who changes this list changes what users may rely on."""

MODULES = ["otel_tools", *(name for _, name, _ in pkgutil.walk_packages(otel_tools.__path__, "otel_tools."))]


def test_everything_but_the_public_modules_is_private_by_its_name() -> None:
    public = [name for name in MODULES if not any(part.startswith("_") for part in name.split("."))]

    assert sorted(public) == sorted(PUBLIC)


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_exports_its_list(module: str) -> None:
    assert importlib.import_module(module).__all__ == PUBLIC[module]


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_shows_nothing_else_of_ours(module: str) -> None:
    visible = [
        name
        for name, value in vars(importlib.import_module(module)).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    ]

    assert set(visible) <= {*PUBLIC[module], "TYPE_CHECKING", "ClassVar", "NamedTuple"}


@pytest.mark.parametrize(
    ("module", "name"), [(m, n) for m, names in PUBLIC.items() for n in names if n not in {"__version__", "OnError"}]
)
def test_a_public_name_has_a_docstring(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name).__doc__


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_a_module_has_a_docstring_and_the_names_that_it_lists(module: str) -> None:
    loaded = importlib.import_module(module)

    assert loaded.__doc__
    assert [name for name in getattr(loaded, "__all__", []) if not hasattr(loaded, name)] == []
