"""From a trial's records to findings: estimates with verdicts, and claims with outcomes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from keras_ab.bench.lab.judge import peaks, targets, verdicts
from keras_ab.bench.lab.judge.contrasts import block_contrasts, incomparable, log, seed_contrasts
from keras_ab.bench.lab.judge.effort import effort, plural
from keras_ab.bench.lab.judge.estimate import ROUNDING, Estimate, difference, interval
from keras_ab.bench.lab.judge.moderation import Prior
from keras_ab.bench.lab.judge.verdicts import Outcome, Thresholds, Verdict
from keras_ab.bench.lab.record.records import ClaimRecord
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import (
    PEAK_DEVICE_MEMORY,
    STEP_TIME,
    STEPS_TO_TARGET,
    TIME_TO_TARGET,
    Metric,
)
from keras_ab.bench.lab.words.plan import Plan


@dataclass(frozen=True)
class Finding:
    """What a trial says about one metric of one arm, against the baseline."""

    trial: str
    arm: str
    metric: Metric
    estimate: Estimate
    thresholds: Thresholds
    verdict: Verdict
    baseline_value: float
    arm_value: float
    smallest_effect: float
    blocks_to_settle: float
    p_value: float
    block_s: float | None = None
    """What a block takes, where the run tells."""
    note: str = ""
    """What a reader has to know beside the numbers."""
    peaks_of: Literal["block", "process", "step"] = "block"
    """What peaks of memory are those of, if it is about these."""

    @property
    def counts(self) -> Literal["seed", "block", "process", "step"]:
        """What its number of blocks counts."""
        return "seed" if self.metric.per == "seed" else self.peaks_of

    def shown(self, x: float) -> float:
        """Turn a number on the estimate's scale into a ratio, or leave a difference as it is."""
        if self.metric.scale == "difference":
            return x
        return math.exp(x) if x < 700 else math.inf


def noise_floor(data: TrialData, metric: Metric) -> float:
    """Return how far each copy of the baseline lies from the middle between them.

    That is half the A/A contrast: a difference counts when its interval is clear of both copies.
    """
    contrasts = block_contrasts(data, metric, CONTROL)
    return abs(sum(contrasts) / len(contrasts)) / 2 if contrasts else 0.0


def mean_value(data: TrialData, metric: Metric, arm: str) -> float:
    """Return what an arm's metric comes to over finished blocks (or judged seeds), or NaN."""
    if metric.per == "round":
        return data.step_time_s(arm)
    if metric.per == "seed":
        values = [found[arm] for found in data.lessons(metric.name) if arm in found]
    else:
        values = data.values(metric.name, arm)
    return sum(values) / len(values) if values else math.nan


def _margin(metric: Metric, plan: Plan) -> float:
    margin = metric.margin if metric.margin is not None else plan.margin
    return math.log1p(margin) if metric.scale == "ratio" else margin


def assess(
    data: TrialData,
    metric: Metric,
    arm: str,
    plan: Plan,
    floor: float | None = None,
    prior: Prior | None = None,
) -> Finding | None:
    """Return the finding on one metric of one arm; None where there is nothing to say.

    Args:
        data: the trial.
        metric: one of the trial's metrics.
        arm: one of its treatments, or the control.
        plan: the run's plan, as recorded in the header.
        floor: the metric's noise floor in this trial, where it is known already.
        prior: what the run's trials say together, where they do.
    """
    if metric.name == PEAK_DEVICE_MEMORY.name:
        return _assess_peaks(data, metric, arm, plan)
    if incomparable(data, metric, arm):
        return None
    if metric.name == TIME_TO_TARGET.name:
        return _assess_time_to_target(data, metric, arm, plan, prior)
    is_quality = metric.per == "seed"
    contrasts = (seed_contrasts if is_quality else block_contrasts)(data, metric, arm)
    if not contrasts:
        return None
    confidence, enough = plan.confidence, 5 if is_quality else plan.min_blocks
    is_step = metric.per == "round"
    expected = prior.expects(data, arm) if is_step and prior else None
    estimate = interval(contrasts, confidence, plan.min_blocks if is_step else None, expected)
    if floor is None or arm == CONTROL or is_quality:
        floor = 0.0 if arm == CONTROL or is_quality else noise_floor(data, metric)
    thresholds = Thresholds(floor, _margin(metric, plan), max(5, enough))
    baseline_value = mean_value(data, metric, data.baseline)
    arm_value = _beside(baseline_value, mean_value(data, metric, arm), estimate, metric)
    found = _judged(data, metric, arm, (estimate, thresholds), (baseline_value, arm_value), plan)
    note = targets.how_often(data, arm) if targets.is_to_target(metric) else ""
    return replace(found, block_s=_block_s(data, metric), note=note)


def _judged(
    data: TrialData,
    metric: Metric,
    arm: str,
    found: tuple[Estimate, Thresholds],
    values: tuple[float, float],
    plan: Plan,
) -> Finding:
    """Return the finding that follows from an estimate, its thresholds and both arms' values."""
    estimate, thresholds = found
    baseline_value, arm_value = values
    return Finding(
        trial=data.declared.trial,
        arm=arm,
        metric=metric,
        estimate=estimate,
        thresholds=thresholds,
        verdict=verdicts.judge(estimate, thresholds, metric.better),
        baseline_value=baseline_value,
        arm_value=arm_value,
        smallest_effect=verdicts.smallest_effect(estimate, thresholds, plan.confidence),
        blocks_to_settle=verdicts.blocks_to_settle(estimate, thresholds, plan.confidence),
        p_value=verdicts.p_value(estimate, thresholds.floor),
    )


def _block_s(data: TrialData, metric: Metric) -> float | None:
    chosen = data.rounds_chosen
    return None if chosen is None or metric.per == "seed" else chosen.block_s


def _beside(baseline: float, own: float, estimate: Estimate, metric: Metric) -> float:
    """Return an arm's value as the estimate has it beside the baseline's.

    Its own mean or median would lie elsewhere, on the other side of the baseline even: rounds are
    paired, and held against both copies. Where nothing varied, it is the value itself.
    """
    if estimate.half_width < ROUNDING:
        return own
    if metric.scale == "difference":
        return baseline + estimate.point
    if baseline > 0 and own > 0 and abs(estimate.point) < 700:
        return baseline * math.exp(estimate.point)
    return own


def _assess_peaks(data: TrialData, metric: Metric, arm: str, plan: Plan) -> Finding | None:
    """Return the finding on peaks of device memory, by what repeats in them; see `peaks`.

    They may be those of processes beside the blocks: how many blocks a plan asks for does not
    matter.
    """
    both = peaks.compared(data, arm)
    if both is None or peaks.too_small(data, arm):
        return None
    own, baseline = both
    estimate = peaks.ranged(own, baseline, plan.confidence)
    thresholds = Thresholds(0.0, _margin(metric, plan))
    told = estimate.p_value if isinstance(estimate, peaks.Ranges) else None
    return Finding(
        trial=data.declared.trial,
        arm=arm,
        metric=metric,
        estimate=estimate,
        thresholds=thresholds,
        verdict=verdicts.judge(estimate, thresholds, metric.better),
        baseline_value=baseline.least,
        arm_value=own.least,
        smallest_effect=verdicts.smallest_effect(estimate, thresholds, plan.confidence),
        blocks_to_settle=math.inf if told is not None else estimate.blocks,
        p_value=told if told is not None else verdicts.p_value(estimate, 0.0),
        peaks_of=data.peaks_of(arm),
    )


def _assess_time_to_target(
    data: TrialData, metric: Metric, arm: str, plan: Plan, prior: Prior | None
) -> Finding | None:
    """Return the finding on steps to the target times step time: their log ratios add.

    It is of seeds where these alone leave it open, or are too few; of blocks where more of them
    would settle it; else of what varies more.
    """
    names = (STEPS_TO_TARGET, STEP_TIME.name)
    steps, step = (assess(data, data.metric(name), arm, plan, prior=prior) for name in names)
    if steps is None or step is None:
        return None
    thresholds = Thresholds(step.thresholds.floor, _margin(metric, plan), 5)
    each = replace(step.estimate, point=-step.estimate.point)
    estimate = difference(steps.estimate, each, plan.confidence)
    room = verdicts.room(estimate, thresholds)
    needed = targets.blocks_to_settle(estimate, steps.estimate, step.estimate, room)
    told = max(steps, step, key=lambda f: f.estimate.standard_error)
    if fewer := [f for f in (steps, step) if f.estimate.blocks < thresholds.min_blocks]:
        told = fewer[0]
    elif estimate.half_width >= room:
        told = step if math.isfinite(needed) else steps
    estimate = replace(estimate, blocks=told.estimate.blocks)
    metric = replace(metric, per="seed" if told is steps else "block")
    baseline_value = steps.baseline_value * step.baseline_value
    arm_value = steps.arm_value * step.arm_value
    found = _judged(data, metric, arm, (estimate, thresholds), (baseline_value, arm_value), plan)
    return replace(found, note=steps.note, blocks_to_settle=needed)


def findings(data: TrialData, plan: Plan, prior: Prior | None = None) -> list[Finding]:
    """Return every finding of a valid trial, the arms in order; none where it is invalid.

    Args:
        data: the trial.
        plan: the run's plan, as recorded in the header.
        prior: see `assess`.
    """
    if data.invalid:
        return []
    floors = {metric.name: noise_floor(data, metric) for metric in data.declared.metrics}
    pairs = ((arm, metric) for arm in data.treatments for metric in data.declared.metrics)
    found = (assess(data, metric, arm, plan, floors[metric.name], prior) for arm, metric in pairs)
    return [finding for finding in found if finding]


@dataclass(frozen=True)
class ClaimFinding:
    """What became of one claim in one trial."""

    trial: str
    claim: ClaimRecord
    outcome: Outcome
    finding: Finding | None
    reason: str


def claim_bounds(claim: ClaimRecord, metric: Metric) -> tuple[float, float]:
    """Return a claim's lower and upper bound, on the scale of its metric's estimates."""
    low = -math.inf if claim.at_least is None else claim.at_least
    high = math.inf if claim.at_most is None else claim.at_most
    if metric.scale == "difference":
        return low, high
    return (log(low) if low > 0 else -math.inf), (log(high) if high < math.inf else math.inf)


def claim_findings(data: TrialData, plan: Plan, prior: Prior | None = None) -> list[ClaimFinding]:
    """Return the outcome of each of the trial's claims."""
    return [_claim_finding(data, claim, plan, prior) for claim in data.declared.claims]


def _attempt_finding(data: TrialData, claim: ClaimRecord) -> ClaimFinding:
    trial, tried = data.declared.trial, data.attempt(claim.arm, claim.attempt)
    if tried is None or tried.what == "not measured here":
        reason = tried.said if tried else data.why_not(claim.arm) or "it was not tried"
        return ClaimFinding(trial, claim, Outcome.NOT_MEASURED, None, reason)
    as_said = (tried.what == "works") == claim.works
    outcome = Outcome.CONFIRMED if as_said else Outcome.REFUTED
    happened = f"{tried.what}: {tried.said}" if tried.message else f"it {tried.what}"
    return ClaimFinding(trial, claim, outcome, None, happened)


def _claim_finding(
    data: TrialData, claim: ClaimRecord, plan: Plan, prior: Prior | None
) -> ClaimFinding:
    if claim.not_here:
        return ClaimFinding(data.declared.trial, claim, Outcome.NOT_MEASURED, None, claim.not_here)
    if claim.attempt:
        return _attempt_finding(data, claim)
    metric = data.metric(claim.metric)
    finding = None if data.invalid else _assess_claimed(data, claim, metric, plan, prior)
    trial = data.declared.trial
    if finding is None:
        seen = data.seen_from(claim.against) if claim.against else data
        reason = data.invalid or why_nothing(seen, metric, claim.arm)
        return ClaimFinding(trial, claim, Outcome.NOT_MEASURED, None, reason)
    low, high = claim_bounds(claim, metric)
    enough = finding.thresholds.min_blocks
    tie = verdicts.is_tie(finding.estimate)
    gains = finding.counts == "seed"  # of sizes, "no more" is a claim that a tie confirms
    outcome = verdicts.judge_claim(finding.estimate, low, high, enough, gains=gains)
    reason = "a tie is no gain" if gains and outcome is Outcome.REFUTED and tie else ""
    if outcome is Outcome.UNDECIDED:
        room = min(abs(finding.estimate.point - b) for b in (low, high) if math.isfinite(b))
        reason = _what_it_takes(finding, room, plan.confidence)
    return ClaimFinding(trial, claim, outcome, finding, reason)


def _assess_claimed(
    data: TrialData, claim: ClaimRecord, metric: Metric, plan: Plan, prior: Prior | None
) -> Finding | None:
    """Assess a claim's arm against the baseline, or against the arm that the claim names."""
    if not claim.against:
        return assess(data, metric, claim.arm, plan, prior=prior)
    floor = noise_floor(data, metric)
    return assess(data.seen_from(claim.against), metric, claim.arm, plan, floor, prior)


def why_nothing(data: TrialData, metric: Metric, arm: str) -> str:
    """Return why there is no finding on a metric of an arm."""
    if why := data.why_not(arm):
        return why
    if not data.blocks:
        return "no block was finished"
    if metric.name == PEAK_DEVICE_MEMORY.name and peaks.too_small(data, arm):
        return peaks.TOO_SMALL
    if why := incomparable(data, metric, arm):
        return why
    if metric.name == STEP_TIME.name:
        return f"no finished block has a round of both {arm} and {data.baseline}"
    return f"this machine does not tell {metric.title}"


def _what_it_takes(finding: Finding, room: float, confidence: float) -> str:
    if isinstance(finding.estimate, peaks.Ranges):
        return "the order of operations moves the peaks across the claim's bound"
    if targets.is_of_seeds(finding.metric):
        return targets.OF_SEEDS
    lines = Thresholds(0.0, room, finding.thresholds.min_blocks)
    centred = replace(finding.estimate, point=0.0)
    needed = verdicts.blocks_to_settle(centred, lines, confidence)
    takes = effort(needed, finding.estimate.blocks, finding.block_s, finding.counts)
    if not takes:
        never = f"no number of {plural(finding.counts)} would settle it"
        return f"the estimate lies on the claim's bound: {never}"
    return f"{takes} would settle it if the estimate stays where it is"
