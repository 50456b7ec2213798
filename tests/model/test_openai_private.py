"""The private names of the openai package that the package uses, and what is left without each of them."""

from __future__ import annotations

import inspect
import logging
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._models import FinalRequestOptions

import otel_tools
from otel_tools import instrument_openai, uninstrument_openai
from otel_tools._model.call_ids import openai_private
from tests.model.response_readers import (
    SEATTLE,
    async_chat_create,
    async_chat_stream,
    chat_create,
    chat_raw,
    chat_stream,
    responses_create,
    responses_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tools.testing import Captured
    from tests.model.response_readers import Asked


@otel_tools.tool
def get_weather(location: str, unit: str | None = None) -> str:
    return f"20 {unit} in {location}"


def call_id_of_the_span(seen: Captured, calls: list[Asked]) -> tuple[bool, bool]:
    """Call the tool; whether its span has an id, and whether that is the one in the response."""
    get_weather(**SEATTLE.arguments)
    span = [span for span in seen.spans if span.name == "execute_tool get_weather"][-1]
    call_id = (span.attributes or {}).get("gen_ai.tool.call.id")
    return call_id is not None, call_id == calls[0][0]


@pytest.fixture(autouse=True)
def _names_are_missing_anew() -> Iterator[None]:
    openai_private.missing_names.clear()
    yield
    uninstrument_openai()
    openai_private.missing_names.clear()


@pytest.fixture
def url(model: Any) -> Iterator[str]:
    with model([SEATTLE]) as (base_url, _):
        yield base_url


def with_id(read: Callable[[OpenAI], list[Asked]], url: str, seen: Captured) -> tuple[bool, bool]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        return call_id_of_the_span(seen, read(client))


async def async_with_id(read: Any, url: str, seen: Captured) -> tuple[bool, bool]:
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        return call_id_of_the_span(seen, await read(client))


def renamed(method: Callable[..., Any], old: str, new: str) -> Any:
    """The client's own method, in which a name is another one, as a new release might have it."""
    source = textwrap.dedent(inspect.getsource(method)).replace(old, new)
    assert new in source
    source = f"from __future__ import annotations\n{source}"
    namespace = dict(method.__globals__)
    exec(source, namespace)  # noqa: S102 - as above
    return namespace[method.__name__]


FOUND, NOT_FOUND = (True, True), (False, False)


async def test_the_installed_openai_has_every_private_name(url: str, seen: Captured) -> None:
    instrument_openai()
    reads = (chat_create, chat_raw, chat_stream, responses_create, responses_stream)
    found = [with_id(read, url, seen) for read in reads]
    found += [await async_with_id(read, url, seen) for read in (async_chat_create, async_chat_stream)]

    moved = ", ".join(sorted(openai_private.missing_names))
    assert not moved, f"openai moved {moved}: see otel_tools/_model/call_ids/openai_private.py"
    assert found == [FOUND] * 7


def without_iterator(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (openai.Stream, openai.AsyncStream):
        for name in ("__init__", "__next__" if kind is openai.Stream else "__anext__"):
            monkeypatch.setattr(kind, name, renamed(getattr(kind, name), "self._iterator", "self._events"))
        name = "__iter__" if kind is openai.Stream else "__aiter__"
        monkeypatch.setattr(kind, name, renamed(getattr(kind, name), "self._iterator", "self._events"))


async def test_without_the_iterator_of_streams_only_streamed_calls_have_no_id(
    url: str, seen: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_iterator(monkeypatch)
    instrument_openai()
    with caplog.at_level(logging.WARNING, "otel_tools"):
        assert [with_id(read, url, seen) for read in (chat_stream, responses_stream, chat_stream)] == [NOT_FOUND] * 3
        assert await async_with_id(async_chat_stream, url, seen) == NOT_FOUND
        assert [with_id(read, url, seen) for read in (chat_create, chat_raw, responses_create)] == [FOUND] * 3
        assert await async_with_id(async_chat_create, url, seen) == FOUND

    assert [record.getMessage().split(" any more")[0] for record in caplog.records] == [
        "openai has no Stream._iterator",
        "openai has no AsyncStream._iterator",
    ]


@pytest.mark.parametrize("client", ["OpenAI", "AsyncOpenAI"])
async def test_without_the_method_for_requests_the_other_client_has_its_ids(
    client: str, url: str, seen: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kind: Any = SyncAPIClient if client == "OpenAI" else AsyncAPIClient
    original = kind.request
    monkeypatch.delattr(kind, "request")
    # The client itself still finds it, as it would under a new name.
    monkeypatch.setattr(kind, "__getattr__", lambda self, name: getattr_of(self, name, original), raising=False)
    with caplog.at_level(logging.WARNING, "otel_tools"):
        instrument_openai()
        found = with_id(chat_create, url, seen), await async_with_id(async_chat_create, url, seen)

    assert found == ((NOT_FOUND, FOUND) if client == "OpenAI" else (FOUND, NOT_FOUND))
    assert [record.getMessage().split(" any more")[0] for record in caplog.records] == [
        f"openai has no {client}.request"
    ]


def getattr_of(client: Any, name: str, request: Any) -> Any:
    if name != "request":
        raise AttributeError(name)
    return request.__get__(client)


class Other:
    """The options of a request, of which one has another name now."""

    def __init__(self, options: Any, gone: str) -> None:
        self._options = options
        self._gone = gone

    def __getattr__(self, name: str) -> Any:
        if name == self._gone:
            raise AttributeError(name)
        return getattr(self._options, name)


@pytest.mark.parametrize("gone", ["url", "method", "json_data"])
def test_without_one_fact_of_a_request_its_response_is_read_all_the_same(
    gone: str, url: str, seen: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(options: Any) -> Any:
        return original(Other(options, gone))

    original = openai_private.model_request
    monkeypatch.setattr("otel_tools._model.call_ids.openai_client.model_request", read)
    instrument_openai()
    with caplog.at_level(logging.WARNING, "otel_tools"):
        assert [with_id(read, url, seen) for read in (chat_create, chat_stream)] == [FOUND] * 2

    assert hasattr(FinalRequestOptions.construct(method="get", url="/models"), gone)
    assert openai_private.missing_names == {f"FinalRequestOptions.{gone}"}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("gone", ["openai.resources.chat.completions", "openai.resources.responses"])
def test_without_the_methods_of_model_calls_their_spans_are_left_out_and_ids_are_found(
    gone: str, url: str, seen: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with OpenAI(base_url=url, api_key="none") as client:
        chat_create(client)  # the client loads its own modules
    monkeypatch.setitem(sys.modules, gone, None)
    with caplog.at_level(logging.WARNING, "otel_tools"):
        instrument_openai()
        assert with_id(chat_create, url, seen) == FOUND

    assert [span.name for span in seen.spans if span.name.startswith("chat")] == []
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "openai has no openai.resources any more"
    ]
