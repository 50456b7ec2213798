"""Docstrings of the three styles, and of none, as a model is to read them."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._schema.docstrings import ParsedDocstring, parse_docstring

NAMES = ("location", "unit", "values", "options")

GOOGLE = """Get the weather.

    Slow: it asks a satellite.

    Note:
        In Europe only.

    Args:
        location: The city, such as
            "Paris, FR".
        unit (str, optional): Celsius: or not.
        *values: More cities.
        **options: What else.

    Returns:
        The weather in words.

    Raises:
        ValueError: The city is unknown.

    Examples:
        >>> get_weather("Paris")
    """

NUMPY = """Get the weather.

    Slow: it asks a satellite.

    Parameters
    ----------
    location : str
        The city, such as
        "Paris, FR".
    unit : {'c', 'f'}, optional
        Celsius: or not.
    *values
        More cities.
    **options
        What else.

    Returns
    -------
    str
        The weather in words.

    Raises
    ------
    ValueError
        The city is unknown.
    """

SPHINX = """Get the weather.

    Slow: it asks a satellite.

    :param location: The city, such as
        "Paris, FR".
    :param str unit: Celsius: or not.
    :type location: str
    :param values: More cities.
    :param options: What else.
    :returns: The weather in words.
    :raises ValueError: The city is unknown.
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_every_style_gives_the_parameters_and_the_result(docstring: str) -> None:
    text, parameters = parse_docstring(docstring, NAMES)

    assert parameters == {
        "location": 'The city, such as\n"Paris, FR".',
        "unit": "Celsius: or not.",
        "values": "More cities.",
        "options": "What else.",
    }
    assert text is not None
    assert text.startswith("Get the weather.\n\nSlow: it asks a satellite.")
    assert text.endswith("Returns: The weather in words.")
    for left_out in ("location", "ValueError", ">>>", "----", ":param"):
        assert left_out not in text


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_sections_right_under_the_text_are_read_too(docstring: str) -> None:
    lines = [line.rstrip() for line in docstring.split("\n")]
    dense = "\n".join(line for line in lines if line and not line.strip().startswith(("Slow", "Note", "In Europe")))
    text, parameters = parse_docstring(dense, NAMES)

    assert set(parameters) == {"location", "unit", "values", "options"}
    assert parameters["options"] == "What else."
    assert text is not None
    assert text.startswith("Get the weather.")
    assert "location" not in text


def test_notes_stay_in_the_description() -> None:
    assert "Note: In Europe only." in (parse_docstring(GOOGLE, NAMES).text or "")


def test_names_in_one_line_share_a_description() -> None:
    docstring = "Add.\n\nParameters\n----------\na, b : int\n    Numbers."

    assert parse_docstring(docstring, ["a", "b"]) == ParsedDocstring("Add.", {"a": "Numbers.", "b": "Numbers."})


def test_descriptions_of_unknown_parameters_are_left_out() -> None:
    assert parse_docstring("Add.\n\nArgs:\n    a: One.\n    gone: Two.", ["a"]) == ParsedDocstring(
        "Add.", {"a": "One."}
    )


@pytest.mark.parametrize(
    "docstring",
    [
        "Just a text: with colons.\n\n- one: thing\n- two: another\n\nSee https://example.com/x: it is good.",
        "Look.\n\nArgs:\n    gone: The parameter was renamed.",
        "Look.\n\nArgs:\nnot indented",
        "Look.\n\nParameters\n----------\n",
        ":param",
        "One line",
    ],
)
def test_a_docstring_that_cannot_be_parsed_is_one_description(docstring: str) -> None:
    assert parse_docstring(docstring, NAMES) == ParsedDocstring(docstring.strip(), {})


@pytest.mark.parametrize("docstring", [None, "", "   \n  "])
def test_no_docstring_gives_no_description(docstring: str | None) -> None:
    assert parse_docstring(docstring, NAMES) == ParsedDocstring(None, {})


def test_parsing_writes_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for docstring in (GOOGLE, NUMPY, SPHINX, "Args:\n  x\n  y: foo\n   z : bar\n:param\nParameters\n----------\n"):
            parse_docstring(docstring, ())

    assert caplog.records == []


def test_without_the_parser_the_whole_docstring_is_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "griffe", None)

    text, parameters = parse_docstring(GOOGLE, NAMES)

    assert parameters == {}
    assert text is not None
    assert "\nArgs:\n    location: The city" in text


LINES = st.sampled_from(
    ["Args:", "Parameters", "----------", "    a: One.", "  b", ":param a: x", ":param", "Returns:", "", "\t", ">>> 1"]
)


@given(st.lists(LINES | st.text(max_size=5), max_size=12), st.text(max_size=20))
def test_any_docstring_is_parsed(lines: list[str], text: str) -> None:
    text_found, parameters = parse_docstring("\n".join([text, *lines]), ["a"])

    assert text_found is None or text_found.strip()
    assert set(parameters) <= {"a"}
