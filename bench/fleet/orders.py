"""What a fleet is asked for, divided into units: a unit is a run that one node makes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import PurePath
from typing import Annotated

from pydantic import Field, ValidationError

from keras_ab.bench.lab.record.bounds import Facts, PositiveCount
from keras_ab.bench.lab.record.declared import Record, Word
from keras_ab.bench.lab.record.store import Store
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError

FOLDER = "fleets"
"""Where a store keeps what was asked for; the runs are in a folder for each fleet."""

ITS_OWN = ("--ab-runs", "--ab-resume", "--ab-node", "--ab-trials")
"""Options that a fleet gives itself."""

WITH_EXPRESSION = ("-k", "-m")


class Unit(Record):
    """One run that one node is to make.

    Two units of one kind and repeat share trials between them; two of different repeats have the
    same trials, and are made by different nodes.
    """

    name: Word
    kind: str
    repeat: PositiveCount
    trials: list[str] = Field(min_length=1)


class Order(Record):
    """What was asked for, as the store keeps it."""

    fleet: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    asked: str
    """When."""
    arguments: list[str]
    """Of pytest."""
    backend: str
    code: str = ""
    """SHA-256 of the code that was sent along; "" where the nodes have it."""
    allow: list[str] = Field(default_factory=list)
    """What may differ among nodes, now and when it is resumed."""
    software: Facts = Field(default_factory=dict)
    """The versions that all its nodes have; none where they may differ, and in older orders."""
    units: list[Unit]

    def unit(self, name: str) -> Unit:
        """Return the unit with a name."""
        return next(unit for unit in self.units if unit.name == name)


def checked(arguments: Sequence[str]) -> list[str]:
    """Return pytest arguments that are safe to hand to any node: paths, ``-k``, ``-m``, ``--ab-…``.

    Raises:
        DeclarationError: there are others; what stands in a store must not choose what is carried
            out on a node.
    """
    expression = False
    for argument in arguments:
        if not expression and _forbidden(argument):
            raise DeclarationError(
                "a fleet hands on paths below this folder, -k, -m and --ab-… options of pytest",
                repr(argument),
                f"leave it out; {', '.join(ITS_OWN)} are given by the fleet",
            )
        expression = not expression and argument in WITH_EXPRESSION
    return list(arguments)


def _forbidden(argument: str) -> bool:
    if argument.startswith("--ab-"):
        return argument.partition("=")[0] in ITS_OWN
    if argument.startswith("-"):
        return argument not in WITH_EXPRESSION
    path = PurePath(argument.partition("::")[0])
    return path.is_absolute() or ".." in path.parts


def divided(
    trials: Mapping[str, Mapping[str, float]],
    kinds: Mapping[str, int],
    repeat: int | None = 1,
    *,
    shard: bool = False,
) -> list[Unit]:
    """Divide trials among the nodes of each kind.

    Args:
        trials: of each kind, how long each is expected to take, seconds, by name.
        kinds: how many nodes there are of each kind.
        repeat: how many nodes of a kind measure the same trials; None for as many as there are.
        shard: whether the nodes of a kind share the trials, so that each measures a part.

    Raises:
        DeclarationError: there are not as many nodes of a kind.
    """
    few = [f"{n} of {kind}" for kind, n in kinds.items() if repeat is not None and n < repeat]
    if few:
        raise DeclarationError(
            f"the same trials are measured on {repeat} nodes of each kind",
            f"there are {', '.join(few)}",
            "give a smaller --repeat, or choose other kinds with --on",
        )
    numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(1))
    return [
        Unit(name=f"{word(kind)}-{next(numbers[word(kind)])}", kind=kind, repeat=n, trials=part)
        for kind, nodes in kinds.items()
        for n in range(1, (repeat or nodes) + 1)
        for part in shares(trials[kind], nodes // (repeat or nodes) if shard else 1)
    ]


def word(kind: str) -> str:
    """Return a kind as part of a name."""
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:40].strip("-") or "node"


def shares(trials: Mapping[str, float], nodes: int) -> list[list[str]]:
    """Return trials in as many parts as there are nodes, taking about equally long.

    The longest first, each to whoever has least to do; a part keeps the order of the trials.

    Source: R. L. Graham, Bounds on multiprocessing timing anomalies, 1969,
    https://doi.org/10.1137/0117039: at most a third longer than the best division.
    """
    parts: list[list[str]] = [[] for _ in range(nodes)]
    for trial in sorted(trials, key=lambda trial: -trials[trial]):
        min(parts, key=lambda part: (sum(trials[name] for name in part), len(part))).append(trial)
    order = {trial: number for number, trial in enumerate(trials)}
    return [sorted(part, key=order.__getitem__) for part in parts if part]


def place(fleet: str) -> str:
    """Return the name under which a store keeps what a fleet was asked for."""
    return f"{FOLDER}/{fleet}.json"


def keep(store: Store, order: Order) -> None:
    """Write an order down, before anything is measured.

    Raises:
        RecordError: the store cannot be written to, or has this order already.
    """
    store.create(place(order.fleet), order.model_dump_json().encode())


def kept(store: Store, fleet: str) -> Order:
    """Return what was asked for.

    Raises:
        RecordError: the store has no such order, or one that no fleet wrote.
    """
    try:
        order = Order.model_validate_json(store.read(place(fleet)))
        checked(order.arguments)
    except (ValidationError, DeclarationError) as error:
        raise RecordError(
            "an order in a store is as a fleet writes it",
            f"{place(fleet)}: {str(error)[:300]}",
            "find out who wrote it; nothing of it was carried out",
        ) from error
    return order


def fleets(store: Store) -> list[str]:
    """Return the fleets that a store knows of, oldest first."""
    named = (name.removeprefix(f"{FOLDER}/") for name in store.names(FOLDER))
    return sorted(name.removesuffix(".json") for name in named if name.endswith(".json"))
