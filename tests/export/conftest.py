"""What these tests share: receivers on free ports, and programs that run as processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.export.receiver import GrpcReceiver, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """An OTLP/HTTP receiver that takes everything."""
    with HttpReceiver() as started:
        yield started


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    """An OTLP/gRPC receiver that takes everything."""
    with GrpcReceiver() as started:
        yield started
