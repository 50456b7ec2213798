"""Fixtures: OTLP receivers on free ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """An OTLP/HTTP receiver that accepts everything."""
    with HttpReceiver() as started:
        yield started


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    """An OTLP/gRPC receiver that accepts everything."""
    with GrpcReceiver() as started:
        yield started
