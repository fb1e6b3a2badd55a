"""What a machine's owner set up, held against what a process that measures there finds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from keras_ab.bench.lab.loop.facts import variables
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.differences import differences
from keras_ab.bench.lab.words.errors import RecordError


@dataclass(frozen=True)
class Owned:
    """One machine of a fleet as its owner set it up.

    Args:
        node: what a run records of it.
        variables: those of the owner's environment variables that change what is computed or how
            fast: threads, devices, libraries' settings.
    """

    node: Node
    variables: Mapping[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        """What a process must find there."""
        return {"cores": self.node.cores, "variables": dict(self.variables)}


_OWNED: TypeAdapter[Owned] = TypeAdapter(Owned)


def written(owned: Owned) -> str:
    """Return what a process is told, as text."""
    return _OWNED.dump_json(owned).decode()


def checked(told: str | None) -> Owned | None:
    """Return the machine that this process was told it is on; None where it was told nothing.

    Raises:
        RecordError: this process may use other processors, threads or devices than its owner gave
            the machine: somebody between them has changed that.
    """
    if told is None:
        return None
    try:
        owned = _OWNED.validate_json(told)
    except ValidationError as error:
        raise RecordError(
            "a fleet says which machine a run is made on", told[:200], "use keras-ab fleet run"
        ) from error
    if changed := differences(owned.facts, found()):
        raise RecordError(
            "a node measures with the processors, threads and devices that its owner gave it",
            "; ".join(changed),
            "look for what starts processes there and sets these; nothing was measured",
        )
    return owned


def found() -> dict[str, Any]:
    """Return the processors that this process may use, and its settings of threads and devices."""
    return {"cores": sorted(os.sched_getaffinity(0)), "variables": variables(os.environ)}
