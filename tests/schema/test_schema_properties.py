"""For any signature of a family of types: what the schema says, and what validation does, are one.

What holds, and is tested on any JSON:

- Arguments that fit the types satisfy the schema, and validation accepts them.
- Arguments that the schema refuses are refused by validation, or it turns them into arguments that the schema accepts:
  pydantic's lax rules read a number out of a text, for one. By its strict rules, which turn nothing, all are refused;
  but for what a set is sent twice, which is taken once, and true for the 1 of a ``Literal``, taken as 1.
- What no rule turns, a missing argument, an unknown one, a list for an object, is refused by both.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from otel_tools import InvalidArguments, tool
from tests.schema.schema_family import LEAVES, Tried, arguments, functions, spoiled, strict_cases

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def declared(tried: Tried) -> tuple[Any, Any, Any]:
    """The tool, a validator of its schema, and the type of its arguments."""
    decorated = tool(tried.function, validate=True)
    parameters = decorated.tool.schema()["function"]["parameters"]
    Draft202012Validator.check_schema(parameters)
    return decorated, Draft202012Validator(parameters), decorated.tool.info.argument_validator.get().model.adapter


@MANY
@given(st.data())
def test_arguments_that_fit_satisfy_the_schema_and_validation_accepts_them(data: st.DataObject) -> None:
    tried = data.draw(functions())
    decorated, schema, adapter = declared(tried)
    sent = data.draw(arguments(tried))

    schema.validate(sent)
    got = decorated(**sent)

    assert {name: got[name] for name in sent} == adapter.validate_python(sent)


@MANY
@given(st.data())
def test_the_defaults_in_a_schema_satisfy_it(data: st.DataObject) -> None:
    tried = data.draw(functions())
    _, schema, _ = declared(tried)
    properties = schema.schema["properties"]
    defaults = {name: part["default"] for name, part in properties.items() if "default" in part}

    schema.validate({**data.draw(arguments(tried)), **defaults})

    assert set(defaults) == set(tried.cases) - tried.required
    assert set(schema.schema.get("required", ())) == tried.required


@settings(MANY, max_examples=400)
@given(st.data())
def test_arguments_that_the_schema_refuses_are_refused_or_coerced_to_accepted_ones(data: st.DataObject) -> None:
    tried = data.draw(functions())
    decorated, schema, adapter = declared(tried)
    sent = data.draw(spoiled(tried))

    if not schema.is_valid(sent):
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps(sent), strict=True)
        try:
            got = decorated(**sent)
        except InvalidArguments:
            return
        schema.validate(adapter.dump_python({name: got[name] for name in sent}, mode="json", by_alias=True))


@MANY
@given(st.data())
def test_missing_unknown_and_shapeless_arguments_are_refused_by_both(data: st.DataObject) -> None:
    tried = data.draw(functions())
    decorated, schema, _ = declared(tried)
    sent = data.draw(arguments(tried))
    wrong = [{**sent, "unknown": 1}]
    wrong += [{other: sent[other] for other in sent if other != name} for name in tried.required]
    wrong += [{**sent, name: [[[]]]} for name in tried.cases if not schema.is_valid({**sent, name: [[[]]]})]

    for each in wrong:
        assert not schema.is_valid(each)
        with pytest.raises(InvalidArguments):
            decorated(**each)


@MANY
@given(st.data())
def test_arguments_that_are_all_given_satisfy_the_strict_schema(data: st.DataObject) -> None:
    tried = data.draw(functions(strict_cases))
    decorated, schema, adapter = declared(tried)
    parameters = decorated.tool.schema(strict=True)["function"]["parameters"]
    sent = data.draw(arguments(tried, all_of_them=True))
    # With the defaults of nested models: strict mode has the model give these too.
    complete = adapter.dump_python(adapter.validate_python(sent), mode="json", by_alias=True)

    Draft202012Validator.check_schema(parameters)
    _hold_to_the_rules(parameters)
    assert set(parameters["required"]) == set(tried.cases)
    Draft202012Validator(parameters).validate(complete)
    schema.validate(complete)
    decorated(**complete)


def _hold_to_the_rules(part: Any) -> None:
    """The rules of strict mode, wherever they could be broken."""
    if isinstance(part, list):
        for each in part:
            _hold_to_the_rules(each)
    elif isinstance(part, dict):
        assert not part.keys() & {"oneOf", "allOf", "default", "uniqueItems", "prefixItems", "discriminator"}
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        assert "$ref" not in part or len(part) == 1
        for word, each in part.items():
            if word in {"properties", "$defs"}:
                _hold_to_the_rules(list(each.values()))
            elif word not in {"enum", "const", "required"}:
                _hold_to_the_rules(each)


@pytest.mark.parametrize("case", LEAVES, ids=lambda case: str(case.annotation)[:40])
def test_every_type_of_the_family_has_a_strict_schema(case: Any) -> None:
    def tried(value: Any) -> Any:
        return value

    tried.__annotations__["value"] = case.annotation

    _hold_to_the_rules(tool(tried).tool.schema(strict=True)["function"]["parameters"])


def test_duplicates_in_a_set_are_refused_by_the_schema_and_merged_by_validation() -> None:
    @tool(validate=True)
    def tags(names: set[str]) -> set[str]:
        return names

    schema = Draft202012Validator(tags.tool.schema()["function"]["parameters"])

    assert not schema.is_valid({"names": ["a", "a"]})
    assert tags(names=["a", "a"]) == {"a"}  # type: ignore[arg-type] # as a model sends it
