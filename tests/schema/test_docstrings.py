"""Docstrings of the three styles, and of none, as a model is to read them."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._schema.docstrings import Described, described

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
def test_every_style_tells_the_parameters_and_what_comes_back(docstring: str) -> None:
    text, parameters = described(docstring, NAMES)

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


def test_notes_stay_in_the_description() -> None:
    assert "Note: In Europe only." in (described(GOOGLE, NAMES).text or "")


def test_names_in_one_line_share_a_description() -> None:
    docstring = "Add.\n\nParameters\n----------\na, b : int\n    Numbers."

    assert described(docstring, ["a", "b"]) == Described("Add.", {"a": "Numbers.", "b": "Numbers."})


def test_what_is_said_of_no_parameter_is_left_out() -> None:
    assert described("Add.\n\nArgs:\n    a: One.\n    gone: Two.", ["a"]) == Described("Add.", {"a": "One."})


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
def test_a_docstring_that_cannot_be_parsed_is_one_plain_description(docstring: str) -> None:
    assert described(docstring, NAMES) == Described(docstring.strip(), {})


@pytest.mark.parametrize("docstring", [None, "", "   \n  "])
def test_no_docstring_says_nothing(docstring: str | None) -> None:
    assert described(docstring, NAMES) == Described(None, {})


def test_parsing_writes_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for docstring in (GOOGLE, NUMPY, SPHINX, "Args:\n  x\n  y: foo\n   z : bar\n:param\nParameters\n----------\n"):
            described(docstring, ())

    assert caplog.records == []


def test_without_the_parser_the_whole_docstring_is_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "griffe", None)

    text, parameters = described(GOOGLE, NAMES)

    assert parameters == {}
    assert text is not None
    assert "\nArgs:\n    location: The city" in text


LINES = st.sampled_from(
    ["Args:", "Parameters", "----------", "    a: One.", "  b", ":param a: x", ":param", "Returns:", "", "\t", ">>> 1"]
)


@given(st.lists(LINES | st.text(max_size=5), max_size=12), st.text(max_size=20))
def test_any_docstring_is_described(lines: list[str], text: str) -> None:
    told, parameters = described("\n".join([text, *lines]), ["a"])

    assert told is None or told.strip()
    assert set(parameters) <= {"a"}
