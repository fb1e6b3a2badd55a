"""Where the time of a step goes, arm against baseline, from what the framework's profiler saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.estimate import Middle
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.steps import StepProfile
from keras_ab.reports import alive
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import short_names

MOST_ROWS = 10
"""Operations named in a table; the rest, whose differences are smaller, are one row."""

EXPLAINED = 0.15
"""How far the traced difference may lie from the timed one for the table to explain it."""

SANE_S = 1e6
"""Nobody waited that long for a step."""


@dataclass(frozen=True)
class OperationPair:
    """One kind of operation in two arms.

    Args:
        operation: its name.
        baseline_s: its part of the baseline's step.
        arm_s: its part of the arm's step.
        baseline_calls: how often it runs in the baseline's step.
        arm_calls: how often it runs in the arm's step.
        share: the difference, as a share of the baseline's step.
    """

    operation: str
    baseline_s: float
    arm_s: float
    baseline_calls: float
    arm_calls: float
    share: float


@dataclass(frozen=True)
class StepDifference:
    """An arm against its baseline, operation by operation.

    Args:
        arm: name of the arm.
        rows: operations, the largest difference first, then the rest and idleness.
        together: all rows in one.
        untraced: the difference in the same processes without the profiler, as a share of the
            baseline.
        timed: the difference that was timed in the trial, likewise; lowest, best and highest value
            of its interval.
    """

    arm: str
    rows: list[OperationPair]
    together: OperationPair
    untraced: float | None
    timed: Middle | None

    @property
    def says(self) -> str:
        """Whether the table explains what was timed."""
        told = f"Together {signed_percent(self.together.share)} of the baseline’s step"
        if self.untraced is not None:
            told += f"; in the same processes without the profiler {signed_percent(self.untraced)}"
        if self.timed is not None:
            ends = (self.timed.low, self.timed.point, self.timed.high)
            low, point, high = map(signed_percent, ends)
            told += f"; timed in the trial {point} [{low}, {high}]"
        if self.timed is None and self.untraced is None:
            return f"{told}."
        if self.explains:
            return f"{told}. The table explains the ratio."
        if self.timed and self.timed.low <= self.together.share <= self.timed.high:
            return f"{told}. They agree as far as the timing can tell."
        return (
            f"{told}. Too far apart for the table to explain the ratio; a longer trace is finer "
            "(--ab-profile-time)."
        )

    @property
    def explains(self) -> bool:
        """Tell whether the differences add up to that without the profiler, within 15 % of it.

        Without a profiler are the same processes; one process an arm is one block of the trial.
        """
        plain = self.untraced
        if plain is None and self.timed:
            plain = self.timed.point
        return plain is not None and abs(self.together.share - plain) <= EXPLAINED * abs(plain)


@dataclass(frozen=True)
class HostSide:
    """What one arm's step looks like from outside its operations."""

    arm: str
    step: StepProfile
    files: str
    untraced_s: float | None
    """Seconds of a step in the same process without the profiler."""

    @property
    def launches(self) -> float:
        """Operations begun in a step."""
        return sum(operation.calls for operation in self.step.operations)


@dataclass(frozen=True)
class Profiles:
    """All that the profiler told about one trial."""

    of: tuple[str, str]
    """The ids of its run and of its trial."""
    anchor: str
    title: str
    baseline: str
    arms: list[HostSide]
    differences: list[StepDifference]
    alive: alive.PiecesByArm | None
    untraced: list[str]
    """Arms without a trace, each with the reason."""


def of_runs(runs: Iterable[JudgedRun]) -> list[Profiles]:
    """Return what the profiler told, trial by trial."""
    found: list[Profiles] = []
    for run in runs:
        names = short_names([trial.data.declared for trial in run.trials])
        for name, trial in zip(names, run.trials, strict=True):
            if trial.data.profiles:
                of = run.header.run, trial.data.declared.trial
                found.append(_profiles(trial, name, of, f"profile{len(found) + 1}"))
    return found


def _profiles(trial: JudgedTrial, name: str, of: tuple[str, str], anchor: str) -> Profiles:
    profiles = trial.data.profiles
    arms = [arm.name for arm in trial.data.declared.arms if arm.name in profiles]
    found = [(profiles[arm], profiles[arm].step) for arm in arms]
    untraced = {p.arm: s for p, _ in found if (s := p.untraced_step_time_s) and _sane_step(s)}
    sides = [
        HostSide(p.arm, step, p.files, untraced.get(p.arm))
        for p, step in found
        if step and _sane(step)
    ]
    return Profiles(
        of=of,
        anchor=anchor,
        title=name,
        baseline=trial.data.baseline,
        arms=sides,
        differences=list(_differences(trial, {side.arm: side.step for side in sides}, untraced)),
        alive=alive.pieces_by_arm({p.arm: p.peak for p, _ in found if p.peak}),
        untraced=[f"{p.arm}: {p.reason}" for p, step in found if step is None],
    )


def _sane(step: StepProfile) -> bool:
    times = [step.step_time_s, step.hand_over_time_s, step.idle_time_s, step.longest_gap_s]
    times += [number for one in step.operations for number in (one.time_s, one.calls / SANE_S)]
    return all(-SANE_S < time < SANE_S for time in times) and _sane_step(step.step_time_s)


def _sane_step(step_time_s: float) -> bool:
    return 1 / SANE_S**2 < step_time_s < SANE_S


def _differences(
    trial: JudgedTrial, steps: dict[str, StepProfile], untraced: dict[str, float]
) -> Iterator[StepDifference]:
    baseline = steps.get(trial.data.baseline)
    if baseline is None or trial.data.invalid:
        return
    for arm in trial.data.treatments:
        if arm in steps:
            finding = trial.find(arm, STEP_TIME.name)
            both = arm in untraced and trial.data.baseline in untraced
            plain = untraced[arm] / untraced[trial.data.baseline] - 1 if both else None
            timed = _timed(finding) if finding else None
            yield step_difference(arm, baseline, steps[arm], plain, timed)


def _timed(finding: Finding) -> Middle:
    """Return a ratio of step times as a difference, a share of the baseline's."""
    estimate = finding.estimate
    ends = (estimate.low, estimate.point, estimate.high)
    return Middle(*(finding.shown(end) - 1 for end in ends))


def step_difference(
    arm: str,
    baseline: StepProfile,
    step: StepProfile,
    untraced: float | None,
    timed: Middle | None,
) -> StepDifference:
    """Return two steps side by side; the rows add up to the difference between them."""
    before, after = (_by_operation(one) for one in (baseline, step))
    names = dict.fromkeys([*before, *after])
    step_s = baseline.step_time_s
    rows = [_row(name, before, after, step_s, name) for name in names]
    rows.sort(key=lambda row: -abs(row.share))
    named = [row.operation for row in rows[:MOST_ROWS]]
    rest = [name for name in names if name not in named]
    shown = rows[:MOST_ROWS]
    if rest:
        title = text.count(len(rest), "other operation")
        shown.append(_row(title, before, after, step_s, *rest))
    shown.append(_plain("no operation under way", baseline.idle_time_s, step.idle_time_s, step_s))
    whole = _plain("together", step_s, step.step_time_s, step_s)
    return StepDifference(arm, shown, whole, untraced, timed)


_Parts = dict[str, tuple[float, float]]


def _by_operation(step: StepProfile) -> _Parts:
    """Return seconds and calls of each kind of operation."""
    return {one.operation: (one.time_s, one.calls) for one in step.operations}


def _row(title: str, before: _Parts, after: _Parts, step_s: float, *names: str) -> OperationPair:
    """Return the row of some operations together."""
    nothing = (0.0, 0.0)
    was, now = (
        [sum(parts.get(name, nothing)[column] for name in names) for column in (0, 1)]
        for parts in (before, after)
    )
    return OperationPair(title, was[0], now[0], was[1], now[1], (now[0] - was[0]) / step_s)


def _plain(title: str, was: float, now: float, step_s: float) -> OperationPair:
    return OperationPair(title, was, now, 0.0, 0.0, (now - was) / step_s)


def signed_percent(x: float) -> str:
    """Return a share with its sign."""
    return ("−" if x < 0 else "+") + text.percent(abs(x))
