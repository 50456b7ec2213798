"""The private names of pydantic that the package uses, and what is left without them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from otel_tools._arguments import pydantic_private
from otel_tools._arguments.pydantic_private import missing_names, without_default

if TYPE_CHECKING:
    from collections.abc import Iterator

RENAMED = '''
import importlib.abc, importlib.machinery, logging, sys

class Renaming(importlib.machinery.SourceFileLoader):
    """Loads pydantic's own source with the private name renamed, as a new release might."""

    def get_code(self, fullname):
        source = self.get_data(self.path).decode().replace("_attributes_set", "_renamed")
        return compile(source, self.path, "exec", dont_inherit=True)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname not in ("pydantic.fields", "pydantic._internal._fields", "pydantic._internal._generate_schema"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        spec.loader = Renaming(spec.loader.name, spec.loader.path)
        return spec

sys.meta_path.insert(0, Finder())
logging.basicConfig(level=logging.WARNING)

from typing import Annotated
from pydantic import Field
from otel_tools import tool
from otel_tools.errors import InvalidArguments

@tool(validate=True)
def find(near: Annotated[int, Field(1, gt=0, description="Metres.")] = 5, far: Annotated[int, Field(9)] = 7) -> tuple:
    return near, far

print(find(), find(near="3"), find.tool.schema()["function"]["parameters"]["properties"]["near"])
try:
    find(near=0)
except InvalidArguments as error:
    print(error)
'''


@pytest.fixture(autouse=True)
def _reduced_is_logged_again() -> Iterator[None]:
    pydantic_private._log_reduced.cache_clear()
    yield
    pydantic_private._log_reduced.cache_clear()


def test_the_installed_pydantic_has_every_private_name() -> None:
    assert missing_names() == [], f"pydantic moved {', '.join(missing_names())}: see _arguments/pydantic_private.py"


def test_a_pydantic_with_the_name_renamed_keeps_constraints_and_descriptions_and_says_so_once() -> None:
    program = subprocess.run([sys.executable, "-c", RENAMED], capture_output=True, text=True, timeout=60, check=True)

    assert program.stdout.splitlines() == [
        "(5, 7) (3, 7) {'description': 'Metres.', 'exclusiveMinimum': 0, 'type': 'integer', 'default': 5}",
        "The arguments of find were refused:",
        "- near: must be greater than 0",
    ]
    assert program.stderr.count("FieldInfo._attributes_set") == 1


class Foreign:
    """A field of a pydantic without the private name."""

    def __init__(self, field: Any) -> None:
        self._field = field

    def __getattr__(self, name: str) -> Any:
        if name == "_attributes_set":
            raise AttributeError(name)
        return getattr(self._field, name)


@pytest.mark.parametrize("wrapped", [lambda field: field, Foreign])
def test_a_field_loses_its_default_and_nothing_else(wrapped: Any, caplog: pytest.LogCaptureFixture) -> None:
    field: Any = Field(3, gt=0, description="How many.")

    adapter = TypeAdapter(Annotated[(int, *without_default(wrapped(field)), *without_default(wrapped(field)))])

    assert adapter.json_schema() == {"type": "integer", "exclusiveMinimum": 0, "description": "How many."}
    with pytest.raises(ValidationError):
        adapter.validate_python(0)
    assert adapter.get_default_value() is None
    assert field.default == 3
    assert [record.name for record in caplog.records] == (["otel_tools"] if wrapped is Foreign else [])
