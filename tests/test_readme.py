"""The examples of README.md run as they stand there, and the links of every Markdown file lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import otel_tools
from otel_tools.testing import Captured

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(otel_tools.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def get_weather(location: str) -> dict[str, Any]:
    """The weather somewhere."""
    return {"location": location, "celsius": 20}


def get_stock_price(symbol: str) -> dict[str, Any]:
    """The price of a share."""
    return {"symbol": symbol, "price": 1.5}


def search_web(query: str) -> list[str]:
    """Search."""
    return [query]


def last_known_price(symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, "price": 1.0}


def asked() -> SimpleNamespace:
    """What a model says that wants two tools called."""
    calls = [
        SimpleNamespace(id=f"call_{number}", type="function", function=SimpleNamespace(name=name, arguments=arguments))
        for number, (name, arguments) in enumerate(
            [("get_weather", '{"location": "Paris"}'), ("get_stock_price", '{"symbol": "AAPL"}')]
        )
    ]
    return SimpleNamespace(role="assistant", content=None, tool_calls=calls)


def names() -> dict[str, Any]:
    """What the examples take as given."""
    create: Callable[..., Any] = lambda **_: SimpleNamespace(choices=[SimpleNamespace(message=asked())])  # noqa: E731
    return {
        "client": SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create))),
        "configure": lambda **_: None,
        "get_stock_price": get_stock_price,
        "get_weather": get_weather,
        "json": json,
        "last_known_price": last_known_price,
        "message": asked(),
        "messages": [],
        "model": "scripted",
        "search_web": search_web,
    }


def ran(example: str, **given: Any) -> dict[str, Any]:
    namespace = names() | given
    # Where telemetry goes is said by the fixture.
    exec(example.replace("agent, configure, instrument", "agent, instrument"), namespace)  # noqa: S102 - our own text
    return namespace


def test_there_are_as_many_examples_as_are_looked_at_here() -> None:
    assert len(EXAMPLES) == 5


def test_the_loop(seen: Captured) -> None:
    ran(EXAMPLES[0])

    assert [span.name for span in seen.spans] == [
        "execute_tool get_weather",
        "execute_tool get_stock_price",
        "invoke_agent travel-agent",
    ]


def test_decorating(seen: Captured) -> None:
    namespace = ran(EXAMPLES[1])

    assert namespace["search_documents"].tool.name == "search"


def test_policies_and_a_test_of_them(seen: Captured) -> None:
    namespace = ran(EXAMPLES[2])
    assert namespace["get_stock_price"]("AAPL") is None

    tested = ran(EXAMPLES[3], get_stock_price=namespace["get_stock_price"])
    for _ in range(2):
        tested["test_prices_survive_an_outage"]()


def test_answering_a_model(seen: Captured) -> None:
    namespace = ran(EXAMPLES[4])

    answers = namespace["messages"][1:]
    assert [answer["tool_call_id"] for answer in answers] == ["call_0", "call_1"]
    assert json.loads(answers[0]["content"])["data"] == {"location": "Paris", "celsius": 20}


DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "collector/*.md", ".github/*.md", ".github/*/*.md")
    for path in ROOT.glob(pattern)
)


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """What can be linked to in a document: its headings as GitHub writes them in a URL."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)(?: +#+)? *$", prose(document), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        repeated = [slug, *(f"{slug}-{number}" for number in range(1, 100))]
        found.add(next(each for each in repeated if each not in found))
    return found


def leads_somewhere(document: Path, target: str) -> bool:
    """Whether a link of a document is to another site, to a file beside it or to a heading that is there."""
    path, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", path):
        return True
    linked = (document.parent / path if path else document).resolve()
    top = ROOT if document.is_relative_to(ROOT) else document.parent
    return linked.exists() and linked.is_relative_to(top) and (not anchor or anchor in anchors(linked))


def broken_links(document: Path) -> list[str]:
    """The links of a document that lead nowhere."""
    text = re.sub(r"`[^`\n]*`", "code", prose(document))
    targets = re.findall(r"\]\(<?([^)>\s]+)[^)]*\)", text) + re.findall(
        r"^\[[^\]]+\]: +<?([^>\s]+)", text, re.MULTILINE
    )
    return [target for target in targets if not leads_somewhere(document, target)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_its_links_lead_somewhere(document: str) -> None:
    assert broken_links(ROOT / document) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text(
        "# The *first* `one`, again?\n\n## Same\n\n## Same\n\n```sh\n# no heading\n```\n"
    )
    (tmp_path / "document.md").write_text(
        "[a](other.md) [b](other.md#the-first-one-again) [c](other.md#same-1) [d](https://example.com/#x) [e](#here)\n"
        "[`f`](missing.py) [g](other.md#no-heading) [h](#there) [i](other.md#same-2) [j](../outside.md)\n# Here\n"
    )
    assert broken_links(tmp_path / "document.md") == [
        "missing.py",
        "other.md#no-heading",
        "#there",
        "other.md#same-2",
        "../outside.md",
    ]
