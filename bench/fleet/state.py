"""What has become of what was asked for, as the store alone tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from keras_ab.bench.fleet.orders import Order, Unit
from keras_ab.bench.lab.clock import timestamp
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.record.bounds import PositiveCount
from keras_ab.bench.lab.record.declared import Node, Record, Word
from keras_ab.bench.lab.record.parts import Kept, content, kept
from keras_ab.bench.lab.record.run_file import Run, parse_run
from keras_ab.bench.lab.record.store import Store
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.errors import RecordError


class Claim(Record):
    """Who makes a run: written before it begins, by the node that makes it."""

    fleet: str
    unit: Word
    attempt: PositiveCount
    node: Word
    at: str

    @classmethod
    def of(cls, node: Node) -> Claim:
        """Return the claim of a node, now."""
        return cls(
            fleet=node.fleet,
            unit=node.unit,
            attempt=node.attempt,
            node=node.name,
            at=timestamp(),
        )

    @property
    def run(self) -> str:
        """The name of the run."""
        return f"{self.fleet}.{self.unit}.{self.attempt}"

    @property
    def name(self) -> str:
        """Its name in the store, beside the run."""
        return f"{self.fleet}/{self.unit}/{self.attempt}.json"

    @property
    def place(self) -> str:
        """Where the run lies, without its ending."""
        return f"{self.fleet}/{self.unit}/{self.run}"


@dataclass(frozen=True)
class Attempt:
    """One run of a unit, and what is there of it."""

    claim: Claim
    run: Run | None
    whole: bool
    trials: Mapping[str, TrialData]

    @property
    def ended(self) -> list[str]:
        """The trials that came to their end in it."""
        return [name for name, data in self.trials.items() if data.end]

    def __str__(self) -> str:
        blocks = sum(len(data.blocks) for data in self.trials.values())
        there = f"{count(len(self.ended), 'trial')} ended, {count(blocks, 'block')}"
        state = "sealed" if self.whole else "not sealed" if self.run else "nothing shipped yet"
        return f"{self.claim.run} on node {self.claim.node}: {state}, {there}"


@dataclass(frozen=True)
class UnitState:
    """One unit and the runs that were made of it, in order."""

    unit: Unit
    attempts: list[Attempt]

    @property
    def rest(self) -> list[str]:
        """The trials that have come to their end in no run of it."""
        ended = {name for attempt in self.attempts for name in attempt.ended}
        return [name for name in self.unit.trials if name not in ended]

    @property
    def complete(self) -> bool:
        """Whether every trial of it has come to its end."""
        return not self.rest

    @property
    def left_open(self) -> Attempt | None:
        """The run of it that its node can continue: the last, where it has no seal.

        The node may hold more of it than was shipped.
        """
        last = self.attempts[-1] if self.attempts else None
        return last if last and not last.whole else None


def states(store: Store, order: Order) -> list[UnitState]:
    """Return what has become of each unit.

    Raises:
        RecordError: the store cannot be read.
    """
    by_unit: dict[str, dict[str, int]] = {}
    for name, size in store.names(order.fleet).items():
        by_unit.setdefault(name.split("/")[1], {})[name] = size
    return [_state(store, order, unit, by_unit.get(unit.name, {})) for unit in order.units]


def state(store: Store, order: Order, unit: str) -> UnitState:
    """Return what has become of one unit; nothing else is read.

    Raises:
        RecordError: the store cannot be read.
    """
    return _state(store, order, order.unit(unit), store.names(f"{order.fleet}/{unit}"))


def _state(store: Store, order: Order, unit: Unit, names: Mapping[str, int]) -> UnitState:
    runs = {run.name: run for run in kept(names)}
    claims = _claims(store, order, unit, names)
    return UnitState(unit, [_attempt(store, claim, runs.get(claim.place)) for claim in claims])


def _claims(store: Store, order: Order, unit: Unit, names: Iterable[str]) -> list[Claim]:
    """Return who claimed a unit, in order; what no fleet wrote is passed over."""
    found = []
    for name in (name for name in names if name.endswith(".json")):
        try:
            claim = Claim.model_validate_json(store.read(name))
        except ValidationError:
            continue
        if (claim.name, claim.fleet, claim.unit) == (name, order.fleet, unit.name):
            found.append(claim)
    return sorted(found, key=lambda claim: claim.attempt)


def _attempt(store: Store, claim: Claim, found: Kept | None) -> Attempt:
    run = _parsed(content(store, found), found) if found else None
    trials = group(run.records) if run else {}
    return Attempt(claim, run, bool(found and found.whole and run), trials)


def _parsed(data: bytes, found: Kept) -> Run | None:
    """Return a run; None where somebody spoilt it."""
    try:
        return parse_run(data, found.place)
    except RecordError:
        return None


def told(states: list[UnitState]) -> str:
    """Say what has become of what was asked for."""
    done = sum(state.complete for state in states)
    lines = [f"{done} of {count(len(states), 'unit')} complete"]
    for state in states:
        left = "complete" if state.complete else f"{count(len(state.rest), 'trial')} left"
        lines.append(f"{state.unit.name} ({state.unit.kind}): {left}")
        lines += [f"  {attempt}" for attempt in state.attempts]
    return "\n".join(lines)
