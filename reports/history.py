"""The same arm over many runs of a machine, with the changes of its environment marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import Key, Machine, changes, key


@dataclass(frozen=True)
class Moment:
    """One trial of a series: when, and what had changed since the one before."""

    run: JudgedRun
    trial: JudgedTrial
    changed: list[str]

    def find(self, arm: str) -> Finding | None:
        """Return what was found about an arm's step time."""
        return self.trial.find(arm, STEP_TIME.name)


@dataclass(frozen=True)
class Series:
    """One trial over the runs of one machine, oldest first."""

    machine: str
    key: Key
    moments: list[Moment] = field(default_factory=list)

    @property
    def arms(self) -> list[str]:
        """Every treatment that any of the trials had."""
        found = (arm for moment in self.moments for arm in moment.trial.data.treatments)
        return list(dict.fromkeys(found))


def histories(machines: Iterable[Machine]) -> list[Series]:
    """Return the series of all trials that a machine measured more than once."""
    return [series for machine in machines for series in _of(machine) if len(series.moments) > 1]


def _of(machine: Machine) -> list[Series]:
    found: dict[Key, Series] = {}
    for run in machine.runs:
        for trial in run.trials:
            k = key(trial.data)
            series = found.setdefault(k, Series(machine.name, k))
            before = series.moments[-1].run if series.moments else None
            series.moments.append(Moment(run, trial, changes(before, run) if before else []))
    return list(found.values())
