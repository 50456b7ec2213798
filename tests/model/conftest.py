"""A model that says what a test wants it to, behind the real client and real HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.model.responses_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_tools._demo.script import CompletedCall, FunctionCall


class Play:
    """A mind that says one thing after the other, and notes what it was told of its calls.

    Args:
        turns: The calls, or the words, of each turn; the last one is said for ever.
    """

    def __init__(self, turns: Sequence[list[FunctionCall] | str]) -> None:
        self._turns = list(turns)
        self.told: list[list[CompletedCall]] = []

    def __call__(self, done: Sequence[CompletedCall], offered: frozenset[str]) -> list[FunctionCall] | str:
        self.told.append(list(done))
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]


@pytest.fixture
def model() -> Callable[..., object]:
    """Serves a model that says one thing after the other, calls or words; gives the server's URL and the `Play`."""

    @contextmanager
    def serve(*turns: list[FunctionCall] | str) -> Iterator[tuple[str, Play]]:
        play = Play(turns)
        with ModelServer(play) as server:
            yield server.base_url, play

    return serve
