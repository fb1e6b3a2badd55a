"""Time to a target: the steps that training takes to it times the step time."""

import math
from dataclasses import replace

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import assess, why_nothing
from keras_ab.bench.lab.judge.targets import NEVER_REACHED
from keras_ab.bench.lab.record.records import Learned
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Case, Quality
from keras_ab.bench.lab.words.metrics import (
    STEPS_TO_TARGET,
    TARGET_REACHED,
    TIME_TO_TARGET,
    Metric,
)
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.test_declare import ACCURACY, GOOD
from tests.reports import simulated

STEPS = Metric(STEPS_TO_TARGET, "steps to 0.8", "1", per="seed")


TWO = {"base": (100.0, 100.0), "fast": (150.0, 150.0)}


def trial(learned=True, steps=TWO, reached=None, blocks=8):
    """Return a trial with these steps to the target, of even and odd seeds."""
    scene = simulated.Scene("x", "?", {"n": 1}, {"base": 1.0, "fast": 0.5}, noise=0.002)
    scene.blocks = blocks
    scene.quality = {"base": 0.9, "fast": 0.9}
    lines = simulated.records(scene, 0)
    declared = lines[0].model_copy(
        update={"metrics": [*lines[0].metrics, STEPS, TIME_TO_TARGET], "also": [STEPS_TO_TARGET]}
    )
    told = [
        line.model_copy(update={"also": also(line.seed, steps, reached)} if learned else {})
        if isinstance(line, Learned)
        else line
        for line in lines[1:]
    ]
    (data,) = group([declared, *told]).values()
    return data


def also(seed, steps, reached):
    """Return what is told of a seed."""
    told = {STEPS_TO_TARGET: {arm: both[seed % 2] for arm, both in steps.items()}}
    if reached:
        told[TARGET_REACHED.name] = {arm: both[seed % 2] for arm, both in reached.items()}
    return told


def assessed(metric=TIME_TO_TARGET, **told):
    return assess(trial(**told), metric, "fast", Plan(min_blocks=5))


def test_half_the_step_time_and_half_as_many_steps_more_are_three_quarters():
    found = assessed()
    assert found.shown(found.estimate.point) == pytest.approx(0.75, rel=0.02)
    assert found.arm_value / found.baseline_value == pytest.approx(0.75, rel=0.02)
    assert str(found.verdict) == "better"
    assert math.isfinite(found.estimate.half_width)


def test_without_steps_there_is_no_time():
    assert assessed(learned=False) is None


SEEDS_DIFFER = {"base": (100.0, 140.0), "fast": (210.0, 180.0)}


def test_where_seeds_vary_more_it_is_of_seeds_and_no_number_of_blocks_settles_it():
    found = assessed(steps=SEEDS_DIFFER)
    assert str(found.verdict) == "inconclusive"
    assert (found.counts, found.estimate.blocks, found.blocks_to_settle) == ("seed", 5, math.inf)
    assert text.power(found).endswith(
        "; the seeds alone leave it open, so that no number of blocks would settle it"
    )


def test_where_blocks_vary_more_it_is_of_blocks():
    found = assessed()
    assert (found.counts, found.estimate.blocks) == ("block", 8)


def test_too_few_blocks_are_told_as_such():
    found = assessed(steps=SEEDS_DIFFER, blocks=3)
    assert text.left_open(found) == "3 blocks: too few to conclude anything"


@pytest.mark.parametrize("metric", [STEPS, TIME_TO_TARGET])
@pytest.mark.parametrize("reached", [None, {"base": (0.0, 0.0), "fast": (0.0, 0.0)}])
def test_a_target_that_neither_arm_ever_reached_tells_nothing(metric, reached):
    data = trial(steps={"base": (600.0, 600.0), "fast": (600.0, 600.0)}, reached=reached)
    assert assess(data, metric, "fast", Plan(min_blocks=5)) is None
    assert why_nothing(data, metric, "fast") == NEVER_REACHED


def test_the_steps_may_be_what_is_judged_first():
    data = trial()
    data.declared = data.declared.model_copy(update={"quality": STEPS_TO_TARGET, "also": []})
    told = [line.also[STEPS_TO_TARGET] for line in data.learned]
    data.learned = [
        line.model_copy(update={"values": steps, "also": {}})
        for line, steps in zip(data.learned, told, strict=True)
    ]
    found = assess(data, STEPS, "fast", Plan(min_blocks=5))
    assert found.shown(found.estimate.point) == pytest.approx(1.5)


@pytest.mark.parametrize("metric", [STEPS, TIME_TO_TARGET])
def test_a_target_that_was_not_always_reached_is_told_beside_the_numbers(metric):
    steps = {"base": (600.0, 100.0), "fast": (150.0, 150.0)}
    some, every = {"base": (0.0, 1.0), "fast": (1.0, 1.0)}, {"base": (1.0, 1.0), "fast": (1.0, 1.0)}
    told = text.compact(assessed(metric, steps=steps, reached=some))
    assert told.endswith(
        "(reached in 5 of 5 seeds, by the baseline in 2 of 5; a penalty counts where not)"
    )
    assert "reached" not in text.compact(assessed(metric, steps=steps, reached=every))


def test_an_experiment_that_tells_steps_to_a_target_has_the_time_to_it():
    quality = Quality(ACCURACY, lambda *_: 1.0, (0, 1, 2, 3, 4), (0.1,), ())
    without = replace(GOOD, cases=(Case({"n": 1}),), quality=quality)
    told = replace(without, quality=replace(quality, also=(STEPS,)))
    assert TIME_TO_TARGET not in without.all_metrics
    assert TIME_TO_TARGET in told.all_metrics
