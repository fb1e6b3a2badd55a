"""A trial with its findings and claims, as the lab's own judge sees the raw samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from keras_ab.bench.lab.judge.answers import Answer, answers
from keras_ab.bench.lab.judge.estimate import ROUNDING
from keras_ab.bench.lab.judge.findings import (
    ClaimFinding,
    Finding,
    assess,
    claim_findings,
    findings,
)
from keras_ab.bench.lab.judge.moderation import Prior, run_prior
from keras_ab.bench.lab.judge.verdicts import Verdict, holm
from keras_ab.bench.lab.record.records import Header
from keras_ab.bench.lab.record.run_file import Run
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.together import Told, told_of


@dataclass(frozen=True)
class JudgedTrial:
    """One trial and all that the judge says about it."""

    data: TrialData
    plan: Plan
    findings: list[Finding]
    claims: list[ClaimFinding]
    answers: list[Answer]
    control: Finding | None
    """The A/A comparison of step time."""
    told: list[Told] = field(default_factory=list)
    """What it says of techniques together."""

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
        return [answer.arm for answer in self.answers]

    def answer(self, arm: str) -> Answer:
        """Return the answer for an arm."""
        return next(answer for answer in self.answers if answer.arm == arm)


@dataclass(frozen=True)
class JudgedRun:
    """One run file with every trial in it judged."""

    run: Run
    trials: list[JudgedTrial]
    prior: Prior = field(default_factory=Prior)
    """What its trials say together of the variance between blocks."""

    @property
    def header(self) -> Header:
        """The run's first record."""
        return self.run.header


def judge_trial(data: TrialData, plan: Plan, prior: Prior | None = None) -> JudgedTrial:
    """Judge one trial from its raw samples, and what its run's trials say together."""
    step = next((m for m in data.declared.metrics if m.name == STEP_TIME.name), None)
    control = assess(data, step, CONTROL, plan, prior=prior) if step else None
    found, claims = findings(data, plan, prior), claim_findings(data, plan, prior)
    together = told_of(data, plan)
    return JudgedTrial(data, plan, found, claims, answers(data, found), control, together)


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
        any_false: how likely at least one of these is then, were they independent of each other.
        any_false_corrected: how likely at least one is to survive Holm's correction, at most.
        verdicts: those judged better or worse, noise in them or not.
        survivors: those of `verdicts` that survive Holm's correction.
    """

    compared: int
    expected_false: float
    any_false: float
    any_false_corrected: float
    verdicts: list[Finding]
    survivors: list[Finding]

    @cached_property
    def _surviving(self) -> set[int]:
        return set(map(id, self.survivors))

    def survives(self, finding: Finding) -> bool:
        """Tell whether a verdict survives."""
        return id(finding) in self._surviving


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
    n, level = len(noisy), 1 - confidence
    any_false, corrected = 1 - confidence**n, level if n else 0.0
    return Multiplicity(n, n * level, any_false, corrected, verdicts, survivors)
