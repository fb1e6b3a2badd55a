"""The records of one trial, by kind."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from keras_ab.bench.lab.record.imported import Imported
from keras_ab.bench.lab.record.records import (
    Absent,
    Attempted,
    Block,
    End,
    Failure,
    GuardCheck,
    GuardRecord,
    Learned,
    MemoryCurve,
    Profile,
    Round,
    RoundsChosen,
    Trial,
    Work,
)
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.digests import GENERATED
from keras_ab.bench.lab.words.metrics import LEAST_MOVED, PEAK_DEVICE_MEMORY, STEP_FLOP, Metric


@dataclass
class TrialData:
    """All records of one trial, by kind."""

    declared: Trial
    records: list[Any] = field(default_factory=list)
    rounds: dict[int, list[Round]] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    curves: dict[str, MemoryCurve] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    checks: list[GuardCheck] = field(default_factory=list)
    attempts: list[Attempted] = field(default_factory=list)
    learned: list[Learned] = field(default_factory=list)
    imported: dict[str, dict[str, str]] = field(default_factory=dict)
    """SHA-256 of the files of code that each arm's process has imported, by path."""
    failures: list[Failure] = field(default_factory=list)
    absences: list[Absent] = field(default_factory=list)
    end: End | None = None
    judged: dict[tuple[str, str | int], Any] = field(default_factory=dict, compare=False)
    """What the judge has worked out since the last record: block contrasts by metric and arm."""

    def add(self, record: Any) -> None:
        """File one record of this trial."""
        self.records.append(record)
        self.judged.clear()
        match record:
            case Round():
                self.rounds.setdefault(record.block, []).append(record)
            case Block():
                self.blocks[record.block] = self._with_work(record)
            case MemoryCurve():
                self.curves[record.arm] = record
            case Profile():
                self.profiles[record.arm] = record
            case Work():
                self.work[record.arm] = record
            case GuardCheck():
                self.checks.append(record)
            case Attempted():
                self.attempts.append(record)
            case Learned():
                self.learned.append(record)
            case Imported():
                files = {f: d for f, d in record.files.items() if not f.startswith(GENERATED)}
                for arm in record.arms:
                    self.imported[arm] = self.imported.get(arm, {}) | files
            case Failure():
                self.failures.append(record)
            case Absent():
                self.absences.append(record)
            case End():
                self.end = record

    def _with_work(self, block: Block) -> Block:
        """Return a block in which each arm also has what its step has to do."""
        if not self.work:  # most runs count none, and a report on many has blocks by the thousand
            return block
        values = {arm: found | self._counted(arm) for arm, found in block.values.items()}
        return block.model_copy(update={"values": values})

    def _counted(self, arm: str) -> dict[str, float]:
        work = self.work.get(self.baseline if arm == CONTROL else arm)
        if work is None:
            return {}
        found = {STEP_FLOP.name: sum(work.flop.values())}
        found[LEAST_MOVED.name] = work.least_moved_bytes or 0.0
        return {name: value for name, value in found.items() if value > 0}

    @property
    def baseline(self) -> str:
        """Name of the arm that the others are compared with."""
        return self.declared.arms[0].name

    @property
    def treatments(self) -> list[str]:
        """Names of the other arms."""
        return [arm.name for arm in self.declared.arms[1:]]

    def seen_from(self, arm: str) -> TrialData:
        """Return the trial as it is with another arm for its baseline, of which there is one copy.

        The control is left out: it is a copy of the trial's own baseline.
        """
        key = ("seen from", arm)
        if key not in self.judged:
            ordered = sorted(self.declared.arms, key=lambda declared: declared.name != arm)
            seen = TrialData(self.declared.model_copy(update={"arms": ordered}))
            for record in self.records:
                seen.add(_without_control(record))
            self.judged[key] = seen
        return self.judged[key]

    def lessons(self, metric: str) -> list[dict[str, float]]:
        """Return an outcome of training by arm, for each judged seed.

        Of a seed that a resumed run trained again, the last training counts.
        """
        judged = {s.seed: s for s in self.learned if s.purpose == "judged"}.values()
        if metric == self.declared.quality:
            return [line.values for line in judged]
        return [line.also.get(metric, {}) for line in judged]

    def values(self, metric: str, arm: str) -> list[float]:
        """Return a metric's values of an arm, one a finished block.

        Peaks of device memory that the blocks do not tell are those that were counted beside them:
        one of each process, or of a run that had one process, those of its steps.
        """
        found = (block.values.get(arm, {}) for block in self.blocks.values())
        told = [value[metric] for value in found if metric in value]
        if not told and metric == PEAK_DEVICE_MEMORY.name and self.blocks and arm in self.curves:
            curve = self.curves[arm]
            peaks = curve.peak_device_bytes_elsewhere or curve.peak_device_bytes
            return [float(peak) for peak in peaks]
        return told

    def peaks_of(self, arm: str) -> Literal["block", "process", "step"]:
        """Return what an arm's peaks of device memory are those of.

        Blocks, where timed processes tell them; else processes beside these, or steps of one.
        """
        curve = self.curves.get(arm)
        if self._blocks_count(arm) or curve is None:
            return "block"
        if curve.peak_device_bytes_elsewhere:
            return "process"
        return "step" if curve.peak_device_bytes else "block"

    def uncounted(self, arm: str) -> bool:
        """Tell whether an arm's memory could be counted, and was not, in blocks or beside."""
        curve = self.curves.get(arm)
        if self._blocks_count(arm) or curve is None or curve.device_bytes is None:
            return False
        return not curve.peak_device_bytes_elsewhere

    def _blocks_count(self, arm: str) -> bool:
        blocks = self.blocks.values()
        return any(PEAK_DEVICE_MEMORY.name in block.values.get(arm, {}) for block in blocks)

    def metric(self, name: str) -> Metric:
        """Return the declared metric called `name`."""
        return next(metric for metric in self.declared.metrics if metric.name == name)

    def attempt(self, arm: str, name: str) -> Attempted | None:
        """Return what happened when something was tried on an arm."""
        return next((a for a in self.attempts if (a.arm, a.name) == (arm, name)), None)

    def guard(self, check: GuardCheck) -> GuardRecord | None:
        """Return the guard that a check belongs to."""
        return next((g for g in self.declared.guards if g.observed == check.observed), None)

    def holds(self, check: GuardCheck) -> bool:
        """Tell whether one arm passed one guard."""
        guard = self.guard(check)
        if guard is None or not check.finite:
            return False
        if guard.tolerance is None:
            return True
        return check.relative_error is not None and check.relative_error <= guard.tolerance

    @property
    def rounds_chosen(self) -> RoundsChosen | None:
        """How many rounds its blocks have, if that was chosen."""
        return next((b.chosen for b in self.blocks.values() if b.chosen), None)

    def step_time_s(self, arm: str) -> float:
        """Return the median step time of an arm over finished blocks; NaN without one."""
        judged = (line for number in self.blocks for line in self.rounds.get(number, []))
        values = [line.step_time_s[arm] for line in judged if arm in line.step_time_s]
        return median(values) if values else math.nan

    @property
    def broken(self) -> list[GuardCheck]:
        """The checks that failed; any makes the trial invalid."""
        return [check for check in self.checks if not self.holds(check)]

    @property
    def invalid(self) -> str | None:
        """Why nothing may be concluded: a broken guard, or what changed midway."""
        if self.broken:
            return "a guard is broken, so the arms did not do the same work"
        for failure in self.failures:
            if failure.what == "environment changed":
                return f"the environment changed during the run: {failure.message}"
            if failure.what == "code changed":
                return f"its code changed while it was measured: {failure.message}"
        return None

    def why_not(self, arm: str) -> str | None:
        """Return why an arm has no findings, if something was in the way."""
        for absent in self.absences:
            if absent.arm in (arm, None):
                return absent.said
        return self.failed(arm, self.baseline, CONTROL, None)

    def failed(self, *arms: str | None) -> str | None:
        """Return how the first of some arms to fail did so; None where none of them failed."""
        for failure in self.failures:
            if failure.arm in arms:
                return f"{failure.what} during {failure.stage}: {failure.said}"
        return None


def _without_control(record: Any) -> Any:
    name = {"round": "step_time_s", "block": "values"}.get(record.kind)
    if name is None:
        return record
    kept = {arm: found for arm, found in getattr(record, name).items() if arm != CONTROL}
    return record.model_copy(update={name: kept})


def group(records: Iterable[Any]) -> dict[str, TrialData]:
    """Return the trials of a run, in the order in which they were declared."""
    trials: dict[str, TrialData] = {}
    for record in records:
        if isinstance(record, Trial):
            trials.setdefault(record.trial, TrialData(record))
        elif (name := getattr(record, "trial", None)) in trials:
            trials[name].add(record)
    return trials
