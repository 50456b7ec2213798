"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, in one or two words.
        status: how it is.
        detail: what was found, in plain words.
        fix: what to do; empty where nothing is to be done.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""
