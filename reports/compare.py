"""What differs between machines, or between before and after: flips, changes, speed-ups."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from keras_ab.bench.lab.judge.contrasts import block_logs
from keras_ab.bench.lab.judge.estimate import Estimate, difference, interval
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict, holm, judge, p_value
from keras_ab.bench.lab.record.declared import Trial
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.metrics import DIMENSIONS, Dimension
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.loading import Refused
from keras_ab.reports.machines import Key, Placed, changes, is_simulated, key, versions
from keras_ab.reports.same_code import unlike_arms

ALLOWED = ("versions", "cases", "code")


@dataclass(frozen=True)
class Side:
    """One of the things that are compared: a name, and the newest trial of everything in it."""

    name: str
    runs: list[JudgedRun]
    trials: dict[Key, Placed]
    left_out: tuple[str, ...] = ()
    """Files that could not be read, with why."""

    @property
    def simulated(self) -> bool:
        """Whether any number in it was drawn and not measured."""
        return any(map(is_simulated, self.runs))


def side(name: str, runs: list[JudgedRun], refused: Iterable[Refused] = ()) -> Side:
    """Return runs, oldest first, as one side of a comparison.

    Where they are of several backends, none takes the place of another: keys name the backend.

    Args:
        name: of the side.
        runs: those that were read.
        refused: files beside them that could not be.
    """
    placed = [Placed(run, trial) for run in runs for trial in run.trials]
    several = len({p.run.header.backend for p in placed}) > 1
    left_out = tuple(str(bad.error.received) for bad in refused)
    return Side(name, runs, {_key(p, several): p for p in placed}, left_out)


def _key(placed: Placed, with_backend: bool) -> Key:
    return replace(
        key(placed.trial.data), backend=placed.run.header.backend if with_backend else ""
    )


def _alike(sides: Sequence[Side]) -> list[Side]:
    """Return sides that all name backends in their keys, where one of them has several."""
    if not any(k.backend for side in sides for k in side.trials):
        return list(sides)
    return [replace(s, trials={_key(p, True): p for p in s.trials.values()}) for s in sides]


@dataclass(frozen=True)
class Flip:
    """An arm that is better on one side and worse on another, in one dimension."""

    key: Key
    arm: str
    dimension: Dimension
    found: dict[str, Finding]
    """The finding of each side, by the side's name."""

    @property
    def title(self) -> str:
        """What is measured, for people."""
        return next(iter(self.found.values())).metric.title

    def on(self, verdict: str) -> list[str]:
        """Return the sides with a verdict."""
        return [side for side, finding in self.found.items() if finding.verdict == verdict]


def flips(sides: Sequence[Side]) -> list[Flip]:
    """Return every arm and dimension that is better on one side and worse on another."""
    keys = dict.fromkeys(k for side in sides for k in side.trials)
    return [flip for k in keys for flip in _flips_of(k, sides)]


def _flips_of(k: Key, sides: Sequence[Side]) -> Iterable[Flip]:
    there = {side.name: side.trials[k].trial for side in sides if k in side.trials}
    for arm in next(iter(there.values())).answered:
        answers = {name: t.answer(arm) for name, t in there.items() if arm in t.answered}
        for dimension in DIMENSIONS:
            by_metric: dict[str, dict[str, Finding]] = {}
            for name, answer in answers.items():
                if f := answer.part(dimension).finding:
                    by_metric.setdefault(f.metric.name, {})[name] = f
            for found in by_metric.values():  # memory is the device's on one, the host's on another
                if {Verdict.BETTER, Verdict.WORSE} <= {f.verdict for f in found.values()}:
                    yield Flip(k, arm, dimension, found)


@dataclass(frozen=True)
class Change:
    """One metric of one arm on a later side, against an earlier one."""

    key: Key
    arm: str
    before: Finding
    after: Finding
    estimate: Estimate
    thresholds: Thresholds
    verdict: Verdict
    p_value: float

    @property
    def has_enough_blocks(self) -> bool:
        """Whether it can be judged at all; what cannot is none of those that Holm corrects for."""
        return self.estimate.blocks >= self.thresholds.min_blocks

    @property
    def shown(self) -> Finding:
        """The change as a finding, so that it is put into words like any other."""
        return Finding(
            self.after.trial,
            self.arm,
            self.after.metric,
            self.estimate,
            self.thresholds,
            self.verdict,
            baseline_value=self.before.arm_value,
            arm_value=self.after.arm_value,
            smallest_effect=math.inf,
            blocks_to_settle=math.inf,
            p_value=self.p_value,
        )


def change(k: Key, before: Finding, after: Finding, confidence: float) -> Change:
    """Judge how a finding differs between two sides: the ratio of two ratios.

    Both noise floors count: each side's machine calls that much a difference when there is none.
    """
    estimate = difference(after.estimate, before.estimate, confidence)
    thresholds = Thresholds(
        before.thresholds.floor + after.thresholds.floor,
        max(before.thresholds.margin, after.thresholds.margin),
        max(before.thresholds.min_blocks, after.thresholds.min_blocks),
    )
    verdict = judge(estimate, thresholds, after.metric.better)
    p = p_value(estimate, thresholds.floor)
    return Change(k, after.arm, before, after, estimate, thresholds, verdict, p)


def changes_between(a: Side, b: Side, metrics: Sequence[str] = ()) -> list[Change]:
    """Return the change of every finding that two sides share, or of some metrics only."""
    return [
        change(k, before, after, placed.trial.plan.confidence)
        for k, placed in b.trials.items()
        if k in a.trials
        for after in placed.trial.findings
        if (not metrics or after.metric.name in metrics)
        and (before := a.trials[k].trial.find(after.arm, after.metric.name))
    ]


@dataclass(frozen=True)
class Apart:
    """What differs between two sides, and how much of it is more than chance.

    Args:
        compared: how many ratios of ratios were judged.
        changes: those that are settled and survive Holm's correction, the largest first.
    """

    compared: int
    changes: list[Change]


def apart(a: Side, b: Side) -> Apart:
    """Return where an arm is worth more, or less, on side `b` than on side `a`."""
    judged = [c for c in changes_between(a, b) if c.has_enough_blocks]
    settled = (Verdict.BETTER, Verdict.WORSE)
    found = [c for c in surviving(judged, b) if c.verdict in settled]
    return Apart(len(judged), sorted(found, key=lambda c: -abs(c.estimate.point)))


def surviving(judged: Sequence[Change], b: Side) -> list[Change]:
    """Return the changes that survive Holm's correction for their number, at the level of `b`."""
    level = 1 - min((r.header.plan.confidence for r in b.runs), default=0.95)
    kept = holm([c.p_value for c in judged], level)
    return [c for c, keep in zip(judged, kept, strict=True) if keep]


@dataclass(frozen=True)
class SpeedUp:
    """One arm's own step time on one side over that on another; no A/B ratio."""

    key: Key
    arm: str
    estimate: Estimate
    """The log ratio of the step times; the machines were not measured at the same time."""


def speed_ups(a: Side, b: Side) -> list[SpeedUp]:
    """Return the step time of every shared arm on side `b` over that on side `a`."""
    found = []
    for k, placed in b.trials.items():
        if k not in a.trials:
            continue
        old, new = a.trials[k].trial, placed.trial
        confidence = new.plan.confidence
        for arm in (new.data.baseline, *new.data.treatments):
            before, after = (block_logs(t.data, arm) for t in (old, new))
            if not old.data.invalid and not new.data.invalid and before and after:
                now, then = (interval(logs, confidence) for logs in (after, before))
                found.append(SpeedUp(k, arm, difference(now, then, confidence)))
    return found


@dataclass(frozen=True)
class Comparison:
    """Sides that may be compared, and what may not."""

    sides: list[Side]
    refused: list[str] = field(default_factory=list)
    environments: dict[str, list[str]] = field(default_factory=dict)
    """What differs in machine, software and settings from the first side, by the side's name."""

    @property
    def left_out(self) -> list[str]:
        """Files of any side that could not be read, with why."""
        return list(dict.fromkeys(line for side in self.sides for line in side.left_out))


def comparison(sides: Sequence[Side], allow: Sequence[str] = ()) -> Comparison:
    """Check that sides can be compared, and leave out what cannot.

    Args:
        sides: two or more.
        allow: what may differ: ``versions``, ``cases``, ``code``.

    Raises:
        RecordError: where nothing can be compared, or versions or cases differ unasked.
    """
    first, *others = sides = _alike(sides)
    shared = set.intersection(*(set(side.trials) for side in sides))
    told = list(dict.fromkeys(k for side in sides for k in side.trials))
    unmatched = sorted(k.says for k in told if k not in shared)
    if unmatched and "cases" not in allow:
        raise RecordError(
            "all sides measured the same experiments and cases",
            f"not on every side: {'; '.join(unmatched)[:1000]}",
            "measure them everywhere, or compare the rest with --allow cases",
        )
    kept, refused = shared, [f"{says}: not measured on every side" for says in unmatched]
    for other in others:
        if "versions" not in allow:
            _check_versions(first, other, shared)
        if "code" not in allow:
            kept = kept - _unlike(first, other).keys()
            refused += differing_code(first, other)
    narrowed = [replace(s, trials={k: v for k, v in s.trials.items() if k in kept}) for s in sides]
    if not kept:
        raise RecordError(
            "the sides have a trial in common",
            "; ".join(refused)[:1000] or "no trial at all",
            "name runs of the same experiments, or say with --allow what may differ",
        )
    environments = {s.name: _environment(narrowed[0], s, s.trials) for s in narrowed[1:]}
    return Comparison(narrowed, refused, environments)


def _environment(a: Side, b: Side, keys: Iterable[Key]) -> list[str]:
    """Return what differs between the runs that the trials of two sides are from."""
    both = ([side.trials[k].run for side in (a, b)] for k in keys)
    pairs = {(old.header.run, new.header.run): (old, new) for old, new in both}
    return list(dict.fromkeys(line for pair in pairs.values() for line in changes(*pair)))


def _check_versions(a: Side, b: Side, keys: Iterable[Key]) -> None:
    """Refuse trials that were measured with other versions, each held against its own."""
    found: dict[str, list[str]] = {}
    for k in keys:
        old, new = (versions(side.trials[k].run) for side in (a, b))
        if old != new:
            found.setdefault(f"{a.name}: {old} and {b.name}: {new}", []).append(k.says)
    if found:
        lines = (f"{what}, of {'; '.join(sorted(says))}" for what, says in sorted(found.items()))
        raise RecordError(
            "each trial was measured with the same versions on all sides",
            "; ".join(lines)[:1000],
            "if the upgrade is what you ask about, say so with --allow versions",
        )


def unlike(sides: Iterable[Side]) -> set[Key]:
    """Return the trials whose arms do not have the same code on all sides that have them."""
    first: dict[Key, Trial] = {}
    placed = ((k, p.trial.data.declared) for side in sides for k, p in side.trials.items())
    return {k for k, own in placed if unlike_arms(first.setdefault(k, own), own)}


def without(side: Side, keys: Container[Key]) -> Side:
    """Return a side without some of its trials."""
    return replace(side, trials={k: v for k, v in side.trials.items() if k not in keys})


def differing_code(a: Side, b: Side) -> list[str]:
    """Say which trials have arms of the same name with different code: different experiments."""
    return sorted(
        f"{k.says}: the code of {', '.join(arms)} differs between {a.name} and {b.name}"
        for k, arms in _unlike(a, b).items()
    )


def _unlike(a: Side, b: Side) -> dict[Key, list[str]]:
    """Return the arms whose code differs between two sides, by trial."""
    shared = (k for k in b.trials if k in a.trials)
    found = {k: unlike_arms(*(s.trials[k].trial.data.declared for s in (a, b))) for k in shared}
    return {k: arms for k, arms in found.items() if arms}
