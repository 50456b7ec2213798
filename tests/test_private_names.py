"""Nobody reaches into the `_name` of another object; private names of other packages stand in one file each."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import otel_tools

PACKAGE: Final = Path(otel_tools.__file__).parent

STANDARD_LIBRARY: Final = {"sys._getframe", "asyncio._get_running_loop", "os._exit"}
"""Private by their names, and documented for those who need them."""

DOCUMENTED: Final = {"_replace", "_asdict", "_fields", "_name_", "_value_"}
"""Public members of named tuples and enums, whose underscore keeps them apart from fields."""


def reached_into(source: str) -> list[str]:
    """Every `object._name` in a source that is not an object's or a class's own, with its line."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in DOCUMENTED
        # `other` in a comparison is of the same class.
        and ast.unparse(node.value) not in {"self", "cls", "super()", "other"}
        and ast.unparse(node) not in STANDARD_LIBRARY
    ]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if not path.name.endswith("_private.py")],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_no_file_reaches_into_another_object(path: Path) -> None:
    assert reached_into(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class A:\n    def f(self, tool):\n        return tool._secret", ["3: tool._secret"]),
        ("provider._sdk_config.resource", ["1: provider._sdk_config"]),
        ("tool.plan._flow = None", ["1: tool.plan._flow"]),
        ("class A:\n    def f(self):\n        return self._own + self.__class__.__name__", []),
    ],
)
def test_a_planted_reach_is_found(source: str, found: list[str]) -> None:
    assert reached_into(source) == found


def test_each_package_has_one_file_of_private_names() -> None:
    assert sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*_private.py")) == [
        "_arguments/pydantic_private.py",
        "_export/sdk_private.py",
        "_model/call_ids/openai_private.py",
        "_policies/third_party_private.py",
        "_telemetry/api_private.py",
    ]
