"""How an arm differs from the baseline, block by block: log ratios, or differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np

from keras_ab.bench.lab.judge import targets
from keras_ab.bench.lab.judge.estimate import hodges_lehmann
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.metrics import Metric

MOST_ROUNDS = 1_000_000
"""Rounds of one block that are judged; a measured one has a few hundred at most."""

NORMAL_QUARTILES = 1.349
"""How far the quartiles of a normal distribution lie apart, in standard deviations."""


def contrast(arm: np.ndarray, copies: Sequence[np.ndarray]) -> float:
    """Return how the rounds of an arm lie against copies of the baseline; NaN without a round.

        mean over copies c of HodgesLehmann(arm - c)

    Swapping two arms turns its sign, so identical arms lie at nought whatever their noise. Against
    the mean of the copies they do not: noise is skewed, so is one sample against a mean of two, and
    its pseudo-median lies below its mean.

    Args:
        arm: log times of its rounds, NaN where it has none.
        copies: the same of each copy, round by round.
    """
    differences = [arm - copy for copy in copies]
    paired = [kept for d in differences if len(kept := d[np.isfinite(d)])]
    return fmean(map(hodges_lehmann, paired)) if paired else math.nan


def block_samples(data: TrialData, block: int) -> dict[str, np.ndarray]:
    """Return the log step times of a block by arm, round by round; NaN where one is missing."""
    key = ("samples", block)
    if key not in data.judged:
        data.judged[key] = _samples(data, block)
    return data.judged[key]


def _samples(data: TrialData, block: int) -> dict[str, np.ndarray]:
    rounds = [line.step_time_s for line in data.rounds.get(block, [])]
    if len(rounds) > MOST_ROUNDS:
        raise RecordError(
            f"a block has at most {MOST_ROUNDS} rounds",
            f"{len(rounds)} in block {block} of {data.declared.trial}",
            "split them into blocks, each of fresh processes",
        )
    arms = dict.fromkeys(arm for times in rounds for arm in times)
    table = {arm: np.array([times.get(arm, math.nan) for times in rounds]) for arm in arms}
    return {arm: np.log(np.maximum(times, 1.0e-12)) for arm, times in table.items()}


def references(data: TrialData, arm: str) -> tuple[str, ...]:
    """Return the copies of the baseline that an arm is held against."""
    return (data.baseline,) if arm == CONTROL else (data.baseline, CONTROL)


def _paired_block(data: TrialData, block: int, arm: str) -> tuple[np.ndarray, list[np.ndarray]]:
    samples = block_samples(data, block)
    if arm not in samples or data.baseline not in samples:
        return np.empty(0), []
    return samples[arm], [samples[name] for name in references(data, arm) if name in samples]


def round_contrasts(data: TrialData, block: int, arm: str) -> list[float]:
    """Return the log ratio of each round of a block to the mean of the copies, to be looked at."""
    times, copies = _paired_block(data, block, arm)
    ratios = times - sum(copies) / max(1, len(copies))
    return ratios[np.isfinite(ratios)].tolist()


def block_contrast(data: TrialData, block: int, arm: str) -> float:
    """Return the contrast of step times of one block, finished or not; NaN without a round."""
    return contrast(*_paired_block(data, block, arm))


def block_contrasts(data: TrialData, metric: Metric, arm: str) -> list[float]:
    """Return one contrast a finished block, in order: log ratios, or differences."""
    key = (metric.name, arm)
    if key not in data.judged:
        by_rounds = metric.per == "round"
        data.judged[key] = (_of_rounds if by_rounds else _of_blocks)(data, metric, arm)
    return data.judged[key]


def finished(data: TrialData, arm: str) -> list[int]:
    """Return the blocks that an arm finished, in order."""
    return [number for number, block in sorted(data.blocks.items()) if arm in block.values]


def _of_rounds(data: TrialData, _: Metric, arm: str) -> list[float]:
    found = (block_contrast(data, number, arm) for number in finished(data, arm))
    return [x for x in found if math.isfinite(x)]


def _of_blocks(data: TrialData, metric: Metric, arm: str) -> list[float]:
    needed, name = (arm, *references(data, arm)), metric.name
    blocks = (block.values for _, block in sorted(data.blocks.items()))
    rows = [{a: v[a][name] for a in needed if a in v and name in v[a]} for v in blocks]
    return _paired(data, metric, rows, arm)


def _paired(
    data: TrialData, metric: Metric, rows: Sequence[Mapping[str, float]], arm: str
) -> list[float]:
    """Return the mean of an arm's differences from the copies, of each row that has both."""
    scale, names = _scale(metric), references(data, arm)
    both = (row for row in rows if arm in row and data.baseline in row)
    return [
        scale(row[arm]) - fmean([scale(row[name]) for name in names if name in row]) for row in both
    ]


def seed_contrasts(data: TrialData, metric: Metric, arm: str) -> list[float]:
    """Return one contrast a judged seed."""
    return _paired(data, metric, data.lessons(metric.name), arm)


NO_RATIO = "it came out at 0 or less, of which there is no ratio"


def incomparable(data: TrialData, metric: Metric, arm: str) -> str:
    """Return why what was measured of an arm is held against nothing; "" where it is."""
    if targets.is_to_target(metric) and targets.never_reached(data, arm):
        return targets.NEVER_REACHED
    return NO_RATIO if _has_no_ratio(data, metric, arm) else ""


def _has_no_ratio(data: TrialData, metric: Metric, arm: str) -> bool:
    """Tell whether a ratio of an arm's values to the baseline's would say nothing.

    Bytes and times are never less than none; of bytes, none has its own words.
    """
    if metric.scale == "difference" or metric.unit in ("B", "s"):
        return False
    names = (arm, *references(data, arm))
    if metric.per == "seed":
        lessons = data.lessons(metric.name)
        return any(found.get(name, 1.0) <= 0 for found in lessons for name in names)
    return any(value <= 0 for name in names for value in data.values(metric.name, name))


def sampling_variance(data: TrialData, arm: str) -> float:
    """Return the variance of a block's contrast that its rounds alone account for; NaN unknown.

        mean over blocks of ((upper quartile - lower quartile) / 1.349)² / rounds

    Of quartiles, like the contrast itself hardly moved by spikes. It knows nothing of the luck of
    processes, nor of noise that lasts over rounds.
    """
    key = ("sampling variance", arm)
    if key not in data.judged:
        found = [_sampling_variance(data, number, arm) for number in finished(data, arm)]
        known = [x for x in found if math.isfinite(x)]
        data.judged[key] = fmean(known) if known else math.nan
    return data.judged[key]


def round_variance(data: TrialData, block: int, arm: str) -> float:
    """Return the variance of the log ratio of one round, by its quartiles; NaN unknown."""
    ratios = np.sort(round_contrasts(data, block, arm))
    if len(ratios) < 2:
        return math.nan
    out = len(ratios) // 4
    return (float(ratios[-1 - out] - ratios[out]) / NORMAL_QUARTILES) ** 2


def _sampling_variance(data: TrialData, block: int, arm: str) -> float:
    return round_variance(data, block, arm) / max(1, len(round_contrasts(data, block, arm)))


def block_logs(data: TrialData, arm: str) -> list[float]:
    """Return the log step time in seconds of each finished block of one arm, by itself."""
    samples = (block_samples(data, number).get(arm, np.empty(0)) for number in sorted(data.blocks))
    found = (logs[np.isfinite(logs)] for logs in samples)
    return [hodges_lehmann(logs) for logs in found if len(logs)]


def log(value: float) -> float:
    """Return the logarithm of a positive number; what is not above 1e-12 counts as that."""
    return math.log(value if value > 1.0e-12 else 1.0e-12)  # a report calls this by the million


def _log_bytes(value: float) -> float:
    return math.log(value if value > 1.0 else 1.0)


def _scale(metric: Metric) -> Callable[[float], float]:
    """Return what puts a metric's values on the scale where differences add."""
    if metric.scale == "difference":
        return float
    return _log_bytes if metric.unit == "B" else log
