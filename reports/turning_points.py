"""What changed on a machine from one run to the next, and the line of `gate` that tells of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.reports.compare import ALLOWED, Change, Side, comparison, differing_code, side
from keras_ab.reports.gate import gate
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.machines import Key, Machine, changes, key, versions


@dataclass(frozen=True)
class Turn:
    """Two runs of one machine, the later held against the earlier as `gate` does.

    Args:
        machine: its name.
        before: the earlier run.
        after: the later run.
        compared: how many numbers were held against each other.
        worse: what became worse beyond the noise floors, and after Holm's correction.
        better: what became better, likewise.
        invalid: what was measured before and cannot be judged any more.
        environment: the differences in machine, software and settings that came with it.
        code: the files of code that the arms imported and that differ.
        allow: what `gate` has to be told may differ.
    """

    machine: str
    before: JudgedRun
    after: JudgedRun
    compared: int
    worse: list[Change]
    better: list[Change]
    invalid: list[tuple[Key, Answer]]
    environment: list[str]
    code: list[str]
    allow: list[str]

    @property
    def changed(self) -> list[Change]:
        """What became another, the worse first and the largest first."""
        return self.worse + self.better

    @property
    def is_quiet(self) -> bool:
        """Whether nothing became another."""
        return not (self.changed or self.invalid)

    @property
    def command(self) -> str:
        """The line that ends with a status of 1 on this; "" where nothing became worse."""
        if not (self.worse or self.invalid):
            return ""
        ids = ("--baseline", self.before.header.run, "--run", self.after.header.run)
        allowed = ("--allow", *self.allow) if self.allow else ()
        return shlex.join(("keras-ab", "gate", *ids, *allowed))


def turns(machines: Iterable[Machine]) -> list[Turn]:
    """Return every two runs of which one measured anew what the other had, the newest first."""
    found = [turn for machine in machines for turn in _of(machine)]
    return sorted(found, key=lambda turn: turn.after.header.started, reverse=True)


def _of(machine: Machine) -> Iterator[Turn]:
    last: dict[Key, JudgedRun] = {}
    for run in machine.runs:
        again = {k: last[k] for k in (key(trial.data) for trial in run.trials) if k in last}
        for before in {old.header.run: old for old in again.values()}.values():
            own = {k for k, old in again.items() if old is before}
            yield _turn(machine.name, before, run, own)
        last |= {key(trial.data): run for trial in run.trials}


def _turn(machine: str, before: JudgedRun, after: JudgedRun, own: set[Key]) -> Turn:
    """Hold one run against another, and tell of those trials that none between them has."""
    a, b = (side(run.header.run, [run]) for run in (before, after))
    found = gate(comparison([a, b], ALLOWED))
    worse, better = (
        sorted((c for c in kept if c.key in own), key=lambda c: -abs(c.estimate.point))
        for kept in (found.regressions, found.improvements)
    )
    return Turn(
        machine,
        before,
        after,
        len(found.changes),
        worse,
        better,
        [(k, answer) for k, answer in found.invalid if k in own],
        changes(before, after),
        found.code,
        _differing(a, b),
    )


def _differing(a: Side, b: Side) -> list[str]:
    """Return what differs between two sides that a comparison refuses unless it is allowed."""
    differs = {
        "versions": versions(a.runs[0]) != versions(b.runs[0]),
        "cases": a.trials.keys() != b.trials.keys(),
        "code": bool(differing_code(a, b)),
    }
    return [name for name in ALLOWED if differs[name]]
