"""What there is in a cluster: nodes, as they tell of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from keras_ab.bench.fleet import clean
from keras_ab.bench.fleet.orders import word
from keras_ab.bench.fleet.software import software
from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.loop.device import choose
from keras_ab.bench.lab.loop.gpu import gpus
from keras_ab.bench.lab.record.bounds import Facts
from keras_ab.bench.lab.record.declared import Record, Word
from keras_ab.bench.lab.record.differences import differences
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError

NAME, KIND = "keras-ab-node", "keras-ab-kind"
"""Labels by which an owner says what a node is called, and what it is one of."""

OFF_S = 5.0
"""By how much a clock may be off before it is said: runs are ordered by when they began."""


class There(Record):
    """One node of a cluster.

    Two nodes of a name are one machine twice, or machines that cannot be told apart.
    """

    id: str
    """The cluster's own, for as long as the node is there."""
    name: Word
    kind: str
    machine: Facts
    software: Facts
    variables: dict[str, str]
    """Those of its owner's that change what is computed or how fast."""
    now: str
    """The time by its clock."""
    labels: dict[str, str] = Field(default_factory=dict)
    clock_ahead_s: float = 0.0

    def __str__(self) -> str:
        memory = text.size(self.machine.get("memory_bytes", 0))
        cores = self.machine.get("cores_usable")
        return f"{self.name} ({self.kind}): {hardware(self.machine)}, {cores} cores, {memory}"


def hardware(machine: Mapping[str, Any]) -> str:
    """Return what a machine is, for people: its GPUs, or else its processor."""
    found = [gpu["name"] for gpu in machine.get("gpus", [])]
    named = [f"{found.count(name)} {name}" for name in dict.fromkeys(found)]
    return ", ".join(named) or str(machine.get("cpu"))


def told(node: str, labels: Mapping[str, str]) -> There:
    """Return what the node on which this is called tells of itself.

    Args:
        node: its id in the cluster.
        labels: given by its owner.
    """
    machine = facts.machine(choose())
    machine["gpus"] = [gpu.facts() for gpu in gpus()]
    kind = labels.get(KIND) or f"{hardware(machine)}, {machine['cores_usable']} cores"
    return There(
        id=node,
        name=word(labels.get(NAME, "")) if NAME in labels else clean.identity(),
        kind=kind[:120],
        machine=machine,
        software=software(),
        variables=facts.variables(clean.owners_environment()),
        now=clock.now_utc().isoformat(),
        labels=dict(labels),
    )


def by_clock(there: There, before: datetime, after: datetime) -> There:
    """Return a node with how far its clock is ahead of this one.

    Args:
        there: as it told of itself.
        before: the time here when it was asked.
        after: the time here when it had answered.
    """
    now = datetime.fromisoformat(there.now)
    ahead = max((now - after).total_seconds(), 0.0) or min((now - before).total_seconds(), 0.0)
    return there.model_copy(update={"clock_ahead_s": ahead})


def chosen(nodes: Iterable[There], on: Sequence[str]) -> list[There]:
    """Return the nodes that fit labels, ``KEY=VALUE``; the kind and the name are among them.

    Raises:
        DeclarationError: none does, or a label is not written so.
    """
    listed = list(nodes)
    wanted = [_label(given) for given in on]
    found = [node for node in listed if all(_has(node, *label) for label in wanted)]
    if not found:
        there = "; ".join(map(str, listed)) or "no node has a slot for keras-ab"
        raise DeclarationError(
            "at least one node is fit to measure on and has the labels that are asked for",
            f"{' '.join(on) or 'no label'}, of: {there}",
            "start nodes with --resources '{\"keras-ab\": 1}'; keras-ab fleet nodes lists them",
        )
    _check_names(found)
    return found


def _label(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not (key and equals and value):
        raise DeclarationError("a label is KEY=VALUE", repr(given), "write --on kind=h100")
    return key, value


def _has(node: There, key: str, value: str) -> bool:
    return {"kind": node.kind, "node": node.name, **node.labels}.get(key) == value


def _check_names(nodes: Sequence[There]) -> None:
    names = [node.name for node in nodes]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise DeclarationError(
            "each node has a name of its own",
            f"twice: {', '.join(doubles)}: one machine, or copies of one image",
            f"if they are machines of their own, start them with --labels {NAME}=NAME",
        )


def check_alike(nodes: Sequence[There], versions: Mapping[str, Any], whose: str) -> None:
    """Refuse nodes with other versions of packages or of this code.

    Args:
        nodes: that are to measure.
        versions: which all are to have; see `software`.
        whose: says of those who has them.

    Raises:
        RecordError: some have others.
    """
    other = [
        f"{node.name}: {'; '.join(changed)}"
        for node in nodes
        if (changed := differences(dict(versions), node.software))
    ]
    if other:
        raise RecordError(
            f"all nodes have the versions of packages and code {whose}",
            "\n    ".join(other),
            "install the same, let uv do it with --uv and a file that pins them, or "
            "--allow versions",
        )


def said_of_clock(node: There) -> str:
    """Return what is said of a clock that is wrong, "" of one that is right."""
    if abs(node.clock_ahead_s) <= OFF_S:
        return ""
    off = text.seconds(abs(node.clock_ahead_s))
    way = "ahead of" if node.clock_ahead_s > 0 else "behind"
    return f"{node.name}: its clock is {off} {way} this one; runs tell so, times are not affected"
