"""A trial with its findings and claims, as the lab's own judge sees the raw samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from keras_ab.bench.lab.judge.findings import (
    ClaimFinding,
    Finding,
    assess,
    claim_findings,
    findings,
    why_nothing,
)
from keras_ab.bench.lab.judge.moderation import Prior, run_prior
from keras_ab.bench.lab.judge.text import ROUNDING
from keras_ab.bench.lab.judge.verdicts import Verdict, holm
from keras_ab.bench.lab.record.records import Header
from keras_ab.bench.lab.record.run_file import Run
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan

Word = Literal[
    "better",
    "worse",
    "equivalent",
    "inconclusive",
    "invalid",
    "failed",
    "not measured here",
    "not timed",
]


@dataclass(frozen=True)
class Standing:
    """Where an arm stands: its verdict on step time, or why it has none."""

    word: Word
    reason: str = ""


def reason(claim: ClaimFinding) -> str:
    """Return why a claim has no better outcome, without saying "not measured here" twice."""
    return claim.reason.removeprefix("not measured here: ")


@dataclass(frozen=True)
class JudgedTrial:
    """One trial and all that the judge says about it."""

    data: TrialData
    plan: Plan
    findings: list[Finding]
    claims: list[ClaimFinding]
    control: Finding | None
    """The A/A comparison of step time."""

    def find(self, arm: str, metric: str) -> Finding | None:
        """Return the finding on one metric of one arm, if there is one."""
        return next(
            (f for f in self.findings if f.arm == arm and f.metric.name == metric),
            None,
        )

    def of(self, arm: str) -> list[Finding]:
        """Return every finding on one arm."""
        return [f for f in self.findings if f.arm == arm]

    @property
    def answered(self) -> list[str]:
        """The arms to answer for: all but the baseline, or all where nothing is timed."""
        declared = self.data.declared
        return self.data.treatments if declared.timed else [arm.name for arm in declared.arms]

    def standing(self, arm: str) -> Standing:
        """Return where an arm stands."""
        if self.data.invalid:
            return Standing("invalid", self.data.invalid)
        if step := self.find(arm, STEP_TIME.name):
            return Standing(step.verdict.value)
        if not (self.data.declared.timed or self.data.why_not(arm)):
            made = [a for a in self.data.attempts if a.arm == arm]
            works = sum(a.what == "works" for a in made)
            return Standing("not timed", f"{works} of {len(made)} attempts work")
        reason = why_nothing(self.data, STEP_TIME, arm)
        if any(absent.arm in (arm, None) for absent in self.data.absences) or not self._failed(arm):
            return Standing("not measured here", reason.removeprefix("not measured here: "))
        return Standing("failed", reason)

    def _failed(self, arm: str) -> bool:
        return any(f.arm in (arm, self.data.baseline, CONTROL, None) for f in self.data.failures)


@dataclass(frozen=True)
class JudgedRun:
    """One run file with every trial in it judged."""

    run: Run
    trials: list[JudgedTrial]

    @property
    def header(self) -> Header:
        """The run's first record."""
        return self.run.header


def judge_trial(data: TrialData, plan: Plan, prior: Prior | None = None) -> JudgedTrial:
    """Judge one trial from its raw samples, and what its run's trials say together."""
    step = next((m for m in data.declared.metrics if m.name == STEP_TIME.name), None)
    control = assess(data, step, CONTROL, plan, prior=prior) if step else None
    found, claims = findings(data, plan, prior), claim_findings(data, plan, prior)
    return JudgedTrial(data, plan, found, claims, control)


def judge_trials(trials: Sequence[TrialData], plan: Plan) -> list[JudgedTrial]:
    """Judge the trials of a run, each by all of them."""
    prior = run_prior(trials, plan)
    return [judge_trial(data, plan, prior) for data in trials]


@dataclass(frozen=True)
class Multiplicity:
    """What many comparisons at one level do to the verdicts among them.

    Args:
        compared: comparisons with noise in them and blocks enough for a verdict.
        expected_false: how many of these would err if no technique made any difference.
        verdicts: those judged better or worse, noise in them or not.
        survivors: those of `verdicts` that survive Holm's correction.
    """

    compared: int
    expected_false: float
    verdicts: list[Finding]
    survivors: list[Finding]

    def survives(self, finding: Finding) -> bool:
        """Tell whether a verdict survives."""
        return any(finding is other for other in self.survivors)


def _can_err(finding: Finding) -> bool:
    """Tell whether chance has a part in a finding: sizes without noise have none."""
    estimate = finding.estimate
    return (
        estimate.blocks >= finding.thresholds.min_blocks
        and math.isfinite(estimate.standard_error)
        and estimate.standard_error > ROUNDING
    )


def multiplicity(trials: Iterable[JudgedTrial], confidence: float) -> Multiplicity:
    """Return how many false verdicts to expect among many, and which survive correction."""
    found = [finding for trial in trials for finding in trial.findings]
    noisy = [finding for finding in found if _can_err(finding)]
    kept = holm([finding.p_value for finding in noisy], 1 - confidence)
    chancy = {id(finding): keep for finding, keep in zip(noisy, kept, strict=True)}
    verdicts = [f for f in found if f.verdict in (Verdict.BETTER, Verdict.WORSE)]
    survivors = [f for f in verdicts if chancy.get(id(f), True)]
    return Multiplicity(len(noisy), len(noisy) * (1 - confidence), verdicts, survivors)
