"""Errors in three parts: what must hold, what was received, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Refusal:
    """The three parts of an error, as records keep them.

    Args:
        must: what must hold.
        received: what came instead.
        do: what to do about it.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    must: str
    received: str
    do: str

    def __str__(self) -> str:
        return f"{self.must}\n  received: {self.received}\n  what to do: {self.do}"


class LabError(Exception):
    """A refusal that tells its reader the rule, the offence and the mend.

    Args:
        must: what must hold.
        received: what came instead.
        do: what to do about it.
    """

    def __init__(self, must: str, received: object, do: str) -> None:
        super().__init__(must, received, do)
        self.must = must
        self.received = received
        self.do = do

    @property
    def refusal(self) -> Refusal:
        """The three parts as text."""
        return Refusal(self.must, str(self.received), self.do)

    def __str__(self) -> str:
        return str(self.refusal)


class DeclarationError(LabError, ValueError):
    """An experiment, case or plan that cannot be measured as declared."""


class RecordError(LabError):
    """A run file that cannot be read, continued or written."""


class NotMeasuredHere(LabError):
    """Raised by an arm's build when this machine cannot carry it out: an outcome, not a failure."""
