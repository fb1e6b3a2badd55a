"""Time to a target: whether it was ever reached, and what of it varies, its seeds or its blocks."""

from __future__ import annotations

import math

from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.metrics import (
    STEPS_TO_TARGET,
    TARGET_REACHED,
    TIME_TO_TARGET,
    Metric,
)

NEVER_REACHED = "no training of either arm is known to have reached the target"

OF_SEEDS = "the seeds alone leave it open, so that no number of blocks would settle it"


def is_to_target(metric: Metric) -> bool:
    """Tell whether a metric is of what it takes to come to a target: steps, time, or other."""
    return "_to_target" in metric.name


def is_of_seeds(metric: Metric) -> bool:
    """Tell whether it is the time to a target, and is of seeds rather than of blocks."""
    return metric.name == TIME_TO_TARGET.name and metric.per == "seed"


def never_reached(data: TrialData, arm: str) -> bool:
    """Tell whether an arm and the baseline are not known to have reached the target from any seed.

    What did not reach it counts as the experiment says, and longer than any that did. Where it does
    not tell which did, that is so where all count the same, and none of the trial's more.
    """
    reached = _of(data, TARGET_REACHED.name, arm) + _of(data, TARGET_REACHED.name, data.baseline)
    if reached:
        return not any(reached)
    counts = _of(data, STEPS_TO_TARGET, arm) + _of(data, STEPS_TO_TARGET, data.baseline)
    is_first = data.declared.quality == STEPS_TO_TARGET
    every = [x.values if is_first else x.also.get(STEPS_TO_TARGET, {}) for x in data.learned]
    most = max((steps for found in every for steps in found.values()), default=0.0)
    return bool(counts) and min(counts) >= most


def how_often(data: TrialData, arm: str) -> str:
    """Return in how many seeds the target was reached, where that is told and was not all."""
    own, other = (_of(data, TARGET_REACHED.name, name) for name in (arm, data.baseline))
    if all(own) and all(other):
        return ""
    counted = (f"{sum(map(bool, found))} of {len(found)}" for found in (own, other))
    return f"reached in {' seeds, by the baseline in '.join(counted)}; a penalty counts where not"


def blocks_to_settle(both: Estimate, seeds: Estimate, blocks: Estimate, room: float) -> float:
    """Return how many blocks would settle the time to a target, its seeds being what they are.

    Args:
        both: of the time.
        seeds: of the steps, in which the seeds vary.
        blocks: of the step time.
        room: how wide the interval may be to either side.
    """
    if not math.isfinite(both.half_width) or room <= 0:
        return math.inf
    quantile = both.half_width / both.standard_error if both.standard_error else 1.0
    left = (room / quantile) ** 2 - seeds.standard_error**2
    if left <= 0:
        return math.inf
    wanted = math.ceil(blocks.blocks * blocks.standard_error**2 / left)
    return max(wanted, blocks.blocks + (both.half_width >= room))


def _of(data: TrialData, metric: str, arm: str) -> list[float]:
    return [found[arm] for found in data.lessons(metric) if arm in found]
