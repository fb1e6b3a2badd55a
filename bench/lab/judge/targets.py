"""Time to a target: whether it was ever reached, and what of it varies, its seeds or its blocks."""

from __future__ import annotations

from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.metrics import (
    STEPS_TO_TARGET,
    TARGET_REACHED,
    TIME_TO_TARGET,
    Metric,
)

NEVER_REACHED = "no training of either arm is known to have reached the target"

OF_SEEDS = "the seeds vary more than the step time, so that no number of blocks would settle it"


def is_to_target(metric: Metric) -> bool:
    """Tell whether a metric is of the steps to a target, or of the time."""
    return metric.name in (STEPS_TO_TARGET, TIME_TO_TARGET.name)


def is_of_seeds(metric: Metric) -> bool:
    """Tell whether it is the time to a target, and its seeds vary more than its blocks."""
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


def _of(data: TrialData, metric: str, arm: str) -> list[float]:
    return [found[arm] for found in data.lessons(metric) if arm in found]
