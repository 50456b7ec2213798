"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: the name of the check, one or two words.
        status: ok, warning or failed.
        detail: the finding, for a person to read.
        fix: what to do; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""
