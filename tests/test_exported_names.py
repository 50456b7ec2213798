"""What `import otel_tools` offers is what it says that it offers."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import otel_tools

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(otel_tools.__path__, "otel_tools.")
    if name.split(".")[1]
    in {"call", "decorator", "errors", "functions", "instrument", "policies", "stores", "telemetry", "testing", "tools"}
]


def test_all_is_the_sorted_list_of_the_visible_names() -> None:
    visible = [
        name
        for name, value in vars(otel_tools).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    ]

    assert otel_tools.__all__ == sorted([*visible, "__version__"])


@pytest.mark.parametrize("name", [name for name in otel_tools.__all__ if name != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert getattr(otel_tools, name).__doc__


@pytest.mark.parametrize("module", MODULES)
def test_every_module_lists_names_that_it_has(module: str) -> None:
    loaded = importlib.import_module(module)

    exported = getattr(loaded, "__all__", [])
    assert [name for name in exported if not hasattr(loaded, name)] == []
    assert loaded.__doc__
