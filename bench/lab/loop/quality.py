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
Purpose = Literal["tuning", "judged"]
Lesson = tuple[int, dict[str, float]]
"""A seed, and the learning rate of each arm that is trained from it."""


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
    judged = [(seed, rates) for seed in quality.seeds]
    yield from _lessons(quality, trial, pupils, cores, "judged", judged)


def _tuned(
    quality: Quality, trial: str, pupils: dict[str, ArmProcess], cores: int
) -> Generator[Learned | ArmFailed, None, dict[str, float]]:
    """Return each arm's best learning rate of the grid; where there is but one, that."""
    if len(quality.learning_rates) == 1:
        return dict.fromkeys(pupils, quality.learning_rates[0])
    scores: Scores = {arm: {} for arm in pupils}
    tries = [
        (seed, dict.fromkeys(pupils, rate))
        for rate in quality.learning_rates
        for seed in quality.tuning_seeds
    ]
    for line in _lessons(quality, trial, pupils, cores, "tuning", tries):
        yield line
        if isinstance(line, Learned):
            for arm, value in line.values.items():
                scores[arm].setdefault(line.learning_rate[arm], []).append(value)
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


def _lessons(
    quality: Quality,
    trial: str,
    pupils: dict[str, ArmProcess],
    cores: int,
    purpose: Purpose,
    lessons: list[Lesson],
) -> Iterator[Learned | ArmFailed]:
    """Train every arm in each lesson; those of two lessons meet where a core would be idle.

    A divergence is a low score while tuning, later a failure.
    """
    tuning = purpose == "tuning"
    planned = [(n, arm) for n, (_, rates) in enumerate(lessons) for arm in pupils if arm in rates]
    lasts = dict(planned)  # the arm that each lesson ends with
    found: list[dict[str, dict[str, float]]] = [{} for _ in lessons]
    for group in groups(planned, min(cores, len(pupils))):  # no arm is twice in one
        under_way = {
            (n, arm): pupils[arm].training(lessons[n][0], lessons[n][1][arm], tuning=tuning)
            for n, arm in group
            if arm in pupils
        }
        for n, arm in group:
            try:
                if outcome := under_way.get((n, arm)):
                    found[n] |= _outcomes(pupils[arm], outcome(), purpose, lessons[n])
            except ArmFailed as failed:
                del pupils[arm]
                yield failed
            if arm == lasts[n] and found[n]:
                yield _learned(quality, trial, purpose, lessons[n], found[n])


def _outcomes(
    pupil: ArmProcess, told: dict[str, float | None], purpose: Purpose, lesson: Lesson
) -> dict[str, dict[str, float]]:
    """Return what a training came to, by its arm; nothing where it diverged while tuning."""
    known = {name: value for name, value in told.items() if value is not None}
    if len(known) == len(told):
        return {pupil.arm: known}
    if purpose == "judged":
        message = f"the outcome of seed {lesson[0]} is NaN"
        raise pupil.failed("quality", "not finite", message)
    return {}


def _learned(
    quality: Quality,
    trial: str,
    purpose: Purpose,
    lesson: Lesson,
    found: dict[str, dict[str, float]],
) -> Learned:
    seed, rates = lesson
    return Learned(
        trial=trial,
        purpose=purpose,
        seed=seed,
        learning_rate={arm: rates[arm] for arm in found},
        values={arm: outcomes[quality.metric.name] for arm, outcomes in found.items()},
        also={
            metric.name: {arm: outcomes[metric.name] for arm, outcomes in found.items()}
            for metric in (() if purpose == "tuning" else quality.also)
        },
    )
