"""What the arms learn: rates chosen by some seeds and examples, outcomes judged by others."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from statistics import fmean
from typing import Literal

from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess
from keras_ab.bench.lab.loop.schedule import groups
from keras_ab.bench.lab.record.records import Learned
from keras_ab.bench.lab.words.declare import Quality

Scores = dict[str, dict[float, list[float]]]


def learn(
    quality: Quality, trial: str, pupils: dict[str, ArmProcess], cores: int
) -> Iterator[Learned | ArmFailed]:
    """Tune and judge every arm; yields what was learnt, and the arms that could not go on.

    Args:
        quality: what to train and from which seeds.
        trial: name of the trial.
        pupils: a process for each arm; those that fail are taken out.
        cores: how many of them train at a time.
    """
    rates = yield from _tuned(quality, trial, pupils, cores)
    for seed in quality.seeds:
        yield from _lesson(quality, trial, pupils, cores, "judged", seed, rates)


def _tuned(
    quality: Quality, trial: str, pupils: dict[str, ArmProcess], cores: int
) -> Generator[Learned | ArmFailed, None, dict[str, float]]:
    """Return each arm's best learning rate of the grid; where there is but one, that."""
    if len(quality.learning_rates) == 1:
        return dict.fromkeys(pupils, quality.learning_rates[0])
    scores: Scores = {arm: {} for arm in pupils}
    for rate in quality.learning_rates:
        for seed in quality.tuning_seeds:
            rates = dict.fromkeys(pupils, rate)
            for line in _lesson(quality, trial, pupils, cores, "tuning", seed, rates):
                yield line
                if isinstance(line, Learned):
                    for arm, value in line.values.items():
                        scores[arm].setdefault(rate, []).append(value)
    for arm in [arm for arm in pupils if not scores[arm]]:
        message = "the outcome is NaN at every learning rate"
        yield pupils.pop(arm).failed("quality", "not finite", message)
    sign = 1 if quality.metric.better == "more" else -1
    return {arm: best_rate(found, sign) for arm, found in scores.items() if found}


def best_rate(scores: dict[float, list[float]], sign: int) -> float:
    """Return the learning rate with the best mean; one that ever diverged has fewer scores."""
    most = max(len(values) for values in scores.values())
    steady = {rate: fmean(values) for rate, values in scores.items() if len(values) == most}
    return max(steady, key=lambda rate: sign * steady[rate])


def _lesson(
    quality: Quality,
    trial: str,
    pupils: dict[str, ArmProcess],
    cores: int,
    purpose: Literal["tuning", "judged"],
    seed: int,
    rates: dict[str, float],
) -> Iterator[Learned | ArmFailed]:
    """Train every arm from one seed. A divergence is a low score while tuning, later a failure."""
    found: dict[str, dict[str, float]] = {}
    tuning = purpose == "tuning"
    for arms in groups((arm for arm in pupils if arm in rates), cores):
        under_way = {arm: pupils[arm].training(seed, rates[arm], tuning=tuning) for arm in arms}
        for arm, outcome in under_way.items():
            try:
                outcomes = outcome()
                if None in outcomes.values() and purpose == "judged":
                    message = f"the outcome of seed {seed} is NaN"
                    raise pupils[arm].failed("quality", "not finite", message)
            except ArmFailed as failed:
                del pupils[arm]
                yield failed
            else:
                known = {name: value for name, value in outcomes.items() if value is not None}
                if len(known) == len(outcomes):
                    found[arm] = known
    if found:
        yield Learned(
            trial=trial,
            purpose=purpose,
            seed=seed,
            learning_rate={arm: rates[arm] for arm in found},
            values={arm: outcomes[quality.metric.name] for arm, outcomes in found.items()},
            also={
                metric.name: {arm: outcomes[metric.name] for arm, outcomes in found.items()}
                for metric in (() if tuning else quality.also)
            },
        )
