"""The one place that judges: verdicts, claims, power, and how many verdicts may be false."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from keras_ab.bench.lab.judge.estimate import Estimate, t_quantile, t_tail


class Verdict(StrEnum):
    """What an interval says about an arm, against the baseline."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


class Outcome(StrEnum):
    """What became of a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured here"


@dataclass(frozen=True)
class Thresholds:
    """What a difference is held against, on the scale where differences add.

    Args:
        floor: the noise floor, how far two copies of the baseline lay from their mean in the trial.
        margin: the largest difference that does not matter.
        min_blocks: blocks (or seeds) below which nothing is concluded.
    """

    floor: float
    margin: float
    min_blocks: int = 5


def judge(estimate: Estimate, thresholds: Thresholds, better: str = "less") -> Verdict:
    """Return the verdict on an arm.

    The whole interval within the margin is equivalent; else the whole interval beyond the noise
    floor is better or worse; else, or with too few blocks, inconclusive. However noisy the machine,
    equivalent means the margin: a difference as large as that is called so in at most half of
    ``1 - confidence`` of trials.
    """
    if estimate.blocks < thresholds.min_blocks or not math.isfinite(estimate.half_width):
        return Verdict.INCONCLUSIVE
    margin = thresholds.margin
    if -margin < estimate.low and estimate.high < margin:
        return Verdict.EQUIVALENT
    sign = 1 if better == "less" else -1
    if estimate.high < -thresholds.floor:
        return Verdict.BETTER if sign > 0 else Verdict.WORSE
    if estimate.low > thresholds.floor:
        return Verdict.WORSE if sign > 0 else Verdict.BETTER
    return Verdict.INCONCLUSIVE


def judge_claim(
    estimate: Estimate, low: float, high: float, min_blocks: int = 5, *, gains: bool = False
) -> Outcome:
    """Return what an interval says about a claim that the truth lies in ``[low, high]``.

    Args:
        estimate: of the claim's metric and arm.
        low: lower bound of the claim on the estimate's scale, or minus infinity.
        high: upper bound, or infinity.
        min_blocks: blocks (or seeds) below which nothing is concluded.
        gains: whether a bound at no difference claims a gain, which a tie is not.
    """
    if estimate.blocks < min_blocks or not math.isfinite(estimate.half_width):
        return Outcome.UNDECIDED
    if gains and 0 in (low, high) and math.inf in (-low, high) and is_tie(estimate):
        return Outcome.REFUTED
    if low <= estimate.low and estimate.high <= high:
        return Outcome.CONFIRMED
    if estimate.high < low or high < estimate.low:
        return Outcome.REFUTED
    return Outcome.UNDECIDED


def is_tie(estimate: Estimate) -> bool:
    """Tell whether there is no difference at all."""
    return estimate.low == estimate.high == 0


def p_value(estimate: Estimate, floor: float) -> float:
    """Return the two-sided p value of "the arms differ by no more than the noise floor"."""
    excess = abs(estimate.point) - floor
    if excess <= 0 or not math.isfinite(estimate.standard_error):
        return 1.0
    if estimate.standard_error == 0:
        return 0.0
    return min(1.0, 2 * t_tail(excess / estimate.standard_error, estimate.degrees))


def smallest_effect(
    estimate: Estimate, thresholds: Thresholds, confidence: float, power: float = 0.8
) -> float:
    """Return the smallest true difference that this many blocks would find with the given power.

    ``max(floor + t_{(1+c)/2} * se, margin - t_{(1+c)/2} * se) + t_{power} * se``, on the estimate's
    scale: the interval must clear the floor, and must not lie within the margin.
    """
    error, degrees = estimate.standard_error, estimate.degrees
    if not math.isfinite(error):
        return math.inf
    width = t_quantile((1 + confidence) / 2, degrees) * error
    least = max(thresholds.floor + width, thresholds.margin - width)
    return least + t_quantile(power, degrees) * error


def room(estimate: Estimate, thresholds: Thresholds) -> float:
    """Return how wide an interval may be to either side to settle it, where its point lies."""
    distance = abs(estimate.point)
    return max(distance - thresholds.floor, thresholds.margin - distance)


def blocks_to_settle(estimate: Estimate, thresholds: Thresholds, confidence: float) -> float:
    """Return how many blocks in all would settle it, if the point and its noise stay as they are.

    The interval must shrink until it clears the nearer line: the noise floor from outside, or the
    margin from inside. It is the smallest number for which it does, more than there are where it is
    open. Infinite where the point lies on a line.
    """
    if not math.isfinite(estimate.half_width):
        return math.inf
    nearer = room(estimate, thresholds)
    if nearer <= 0:
        return math.inf
    reach = estimate.standard_error * math.sqrt(estimate.blocks) / nearer

    def wanted(blocks: int) -> int:  # fewer the more there are, since the quantile falls
        degrees = max(1.0, estimate.degrees + blocks - estimate.blocks)
        return math.ceil((t_quantile((1 + confidence) / 2, degrees) * reach) ** 2)

    is_open = estimate.half_width >= nearer
    few = max(thresholds.min_blocks, estimate.blocks + is_open)
    enough = max(few, wanted(few))
    while few < enough:
        middle = (few + enough) // 2
        few, enough = (few, middle) if wanted(middle) <= middle else (middle + 1, enough)
    return enough


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Tell which of many findings survive correction for their number.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979,
    https://www.jstor.org/stable/4615733.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    survives = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - rank):
            break
        survives[index] = True
    return survives
