"""From a trial's records to findings: estimates with verdicts, and claims with outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import verdicts
from keras_ab.bench.lab.judge.estimate import Estimate, hodges_lehmann, interval
from keras_ab.bench.lab.judge.verdicts import Outcome, Thresholds, Verdict
from keras_ab.bench.lab.record.records import ClaimRecord
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME, Metric
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

    def shown(self, x: float) -> float:
        """Turn a number on the estimate's scale into a ratio, or leave a difference as it is."""
        if self.metric.scale == "difference":
            return x
        return math.exp(x) if x < 700 else math.inf


def _log(value: float) -> float:
    return math.log(value if value > 1.0e-12 else 1.0e-12)  # a report calls this by the million


def _log_bytes(value: float) -> float:
    return math.log(value if value > 1.0 else 1.0)


def _scale(metric: Metric) -> Callable[[float], float]:
    """Return what puts a metric's values on the scale where differences add."""
    if metric.scale == "difference":
        return float
    return _log_bytes if metric.unit == "B" else _log


def round_contrasts(data: TrialData, block: int, arm: str) -> list[float]:
    """Return the log ratio of step times of each round of a block, in order."""
    rows = [line.step_time_s for line in data.rounds.get(block, [])]
    return _paired(data, data.metric(STEP_TIME.name), rows, arm)


def _paired(
    data: TrialData, metric: Metric, rows: Sequence[Mapping[str, float]], arm: str
) -> list[float]:
    """Return arm minus the mean of the baseline's copies, of each row that has both."""
    scale, baseline = _scale(metric), data.baseline
    has_copy = arm != CONTROL
    contrasts = []
    for row in rows:
        if arm in row and baseline in row:
            reference = scale(row[baseline])
            if has_copy and CONTROL in row:
                reference = (reference + scale(row[CONTROL])) / 2
            contrasts.append(scale(row[arm]) - reference)
    return contrasts


def block_contrasts(data: TrialData, metric: Metric, arm: str) -> list[float]:
    """Return one contrast a finished block, in order: log ratios, or differences."""
    key = (metric.name, arm)
    if key not in data.contrasts:
        by_rounds = metric.per == "round"
        data.contrasts[key] = (_of_rounds if by_rounds else _of_blocks)(data, metric, arm)
    return data.contrasts[key]


def _of_rounds(data: TrialData, _: Metric, arm: str) -> list[float]:
    finished = (number for number, block in sorted(data.blocks.items()) if arm in block.values)
    paired = (round_contrasts(data, number, arm) for number in finished)
    return [hodges_lehmann(contrasts) for contrasts in paired if contrasts]


def _of_blocks(data: TrialData, metric: Metric, arm: str) -> list[float]:
    needed, name = (arm, data.baseline, CONTROL), metric.name
    blocks = (block.values for _, block in sorted(data.blocks.items()))
    rows = [{a: v[a][name] for a in needed if a in v and name in v[a]} for v in blocks]
    return _paired(data, metric, rows, arm)


def block_logs(data: TrialData, arm: str) -> list[float]:
    """Return the log step time in seconds of each finished block of one arm, by itself."""
    blocks = (data.rounds.get(number, []) for number in sorted(data.blocks))
    found = ([_log(r.step_time_s[arm]) for r in rs if arm in r.step_time_s] for rs in blocks)
    return [hodges_lehmann(logs) for logs in found if logs]


def noise_floor(data: TrialData, metric: Metric) -> float:
    """Return how far each copy of the baseline lies from their mean, which arms are held against.

    That is half the A/A contrast: a difference counts when its interval is clear of both copies.
    """
    contrasts = block_contrasts(data, metric, CONTROL)
    return abs(sum(contrasts) / len(contrasts)) / 2 if contrasts else 0.0


def seed_contrasts(data: TrialData, metric: Metric, arm: str) -> list[float]:
    """Return one contrast a judged seed."""
    return _paired(data, metric, data.lessons(metric.name), arm)


def mean_value(data: TrialData, metric: Metric, arm: str) -> float:
    """Return what an arm's metric comes to over finished blocks (or judged seeds), or NaN."""
    if metric.per == "round":
        return data.step_time_s(arm)
    if metric.per == "seed":
        values = [found[arm] for found in data.lessons(metric.name) if arm in found]
    else:
        values = [
            b.values[arm][metric.name]
            for b in data.blocks.values()
            if metric.name in b.values.get(arm, {})
        ]
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
) -> Finding | None:
    """Return the finding on one metric of one arm; None where there is nothing to say.

    Args:
        data: the trial.
        metric: one of the trial's metrics.
        arm: one of its treatments, or the control.
        plan: the run's plan, as recorded in the header.
        floor: the metric's noise floor in this trial, where it is known already.
    """
    is_quality = metric.per == "seed"
    contrasts = (seed_contrasts if is_quality else block_contrasts)(data, metric, arm)
    if not contrasts:
        return None
    confidence, enough = plan.confidence, 5 if is_quality else plan.min_blocks
    stage = plan.min_blocks if metric.per == "round" else None
    estimate = interval(contrasts, confidence, stage)
    if floor is None or arm == CONTROL or is_quality:
        floor = 0.0 if arm == CONTROL or is_quality else noise_floor(data, metric)
    thresholds = Thresholds(floor, _margin(metric, plan), max(5, enough))
    return Finding(
        trial=data.declared.trial,
        arm=arm,
        metric=metric,
        estimate=estimate,
        thresholds=thresholds,
        verdict=verdicts.judge(estimate, thresholds, metric.better),
        baseline_value=mean_value(data, metric, data.baseline),
        arm_value=mean_value(data, metric, arm),
        smallest_effect=verdicts.smallest_effect(estimate, floor, confidence),
        blocks_to_settle=verdicts.blocks_to_settle(estimate, thresholds, confidence),
        p_value=verdicts.p_value(estimate, floor),
    )


def findings(data: TrialData, plan: Plan) -> list[Finding]:
    """Return every finding of a valid trial, the arms in order; none where it is invalid."""
    if data.invalid:
        return []
    floors = {metric.name: noise_floor(data, metric) for metric in data.declared.metrics}
    pairs = ((arm, metric) for arm in data.treatments for metric in data.declared.metrics)
    found = (assess(data, metric, arm, plan, floors[metric.name]) for arm, metric in pairs)
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
    return (_log(low) if low > 0 else -math.inf), (_log(high) if high < math.inf else math.inf)


def claim_findings(data: TrialData, plan: Plan) -> list[ClaimFinding]:
    """Return the outcome of each of the trial's claims."""
    return [_claim_finding(data, claim, plan) for claim in data.declared.claims]


def _attempt_finding(data: TrialData, claim: ClaimRecord) -> ClaimFinding:
    trial, tried = data.declared.trial, data.attempt(claim.arm, claim.attempt)
    if tried is None or tried.what == "not measured here":
        reason = tried.message if tried else data.why_not(claim.arm) or "it was not tried"
        return ClaimFinding(trial, claim, Outcome.NOT_MEASURED, None, reason)
    as_said = (tried.what == "works") == claim.works
    outcome = Outcome.CONFIRMED if as_said else Outcome.REFUTED
    happened = f"{tried.what}: {tried.message}" if tried.message else f"it {tried.what}"
    return ClaimFinding(trial, claim, outcome, None, happened)


def _claim_finding(data: TrialData, claim: ClaimRecord, plan: Plan) -> ClaimFinding:
    if claim.attempt:
        return _attempt_finding(data, claim)
    metric = data.metric(claim.metric)
    finding = None if data.invalid else assess(data, metric, claim.arm, plan)
    trial = data.declared.trial
    if finding is None:
        reason = data.invalid or data.why_not(claim.arm) or _why_nothing(data, metric)
        return ClaimFinding(trial, claim, Outcome.NOT_MEASURED, None, reason)
    low, high = claim_bounds(claim, metric)
    enough = finding.thresholds.min_blocks
    outcome = verdicts.judge_claim(finding.estimate, low, high, enough)
    reason = ""
    if outcome is Outcome.UNDECIDED:
        room = min(abs(finding.estimate.point - b) for b in (low, high) if math.isfinite(b))
        reason = _what_it_takes(finding, room, plan.confidence)
    return ClaimFinding(trial, claim, outcome, finding, reason)


def _why_nothing(data: TrialData, metric: Metric) -> str:
    if not data.blocks:
        return "no block was finished"
    return f"this machine does not tell {metric.title}"


def _what_it_takes(finding: Finding, room: float, confidence: float) -> str:
    lines = Thresholds(0.0, room, finding.thresholds.min_blocks)
    centred = Estimate(
        0.0,
        finding.estimate.half_width,
        finding.estimate.standard_error,
        finding.estimate.degrees,
        finding.estimate.blocks,
    )
    needed = verdicts.blocks_to_settle(centred, lines, confidence)
    if not math.isfinite(needed) or needed > 10_000:
        return "the estimate lies on the claim's bound: no number of blocks would settle it"
    return f"about {needed} blocks would settle it if the estimate stays where it is"
