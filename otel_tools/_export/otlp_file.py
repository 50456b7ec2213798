"""An exporter that appends OTLP JSON lines to a file, the format of the collector's file exporter.

The collector's ``otlpjsonfile`` receiver reads it. One JSON object a line, as OTLP's JSON mapping defines it:
lowerCamelCase names, trace and span ids in hexadecimal, enums as numbers, 64-bit integers as strings.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict

from otel_tools._export.answers import Answer
from otel_tools._export.encoding import Encoder
from otel_tools._export.private_file import open_private

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from otel_tools._export.endpoint import TelemetrySignal

__all__ = ["FileExporter"]

_ID_FIELDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class FileExporter:
    """Appends the batches of one signal to a file.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        path: The file; created where it does not exist.
    """

    def __init__(self, signal: TelemetrySignal, path: Path) -> None:
        self._encoder = Encoder(signal)
        self._path = path

    def export(self, batch: Any) -> Answer:
        """Append one line. Items that cannot be encoded count as rejected."""
        encoded = self._encoder.encode(batch)
        if encoded.message is None:
            return Answer(delivered=False, reason=encoded.reason)
        _append(self._path, encoded.message)
        return Answer(delivered=True, rejected=encoded.lost, reason=encoded.reason)

    def shutdown(self) -> None:
        """Do nothing: no file is held open."""


def _append(path: Path, message: Message) -> None:
    line = json.dumps(_with_hex_ids(MessageToDict(message, use_integers_for_enums=True)), separators=(",", ":"))
    data = line.encode() + b"\n"
    # One write to a file opened for appending: threads and processes that share the file do not mix their lines.
    with open(path, "ab", buffering=0, opener=open_private) as file:
        if file.write(data) != len(data):
            raise OSError(f"{path}: only a part of a line could be written; is the disk full?")


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in _ID_FIELDS and isinstance(item, str) else _with_hex_ids(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    return value
