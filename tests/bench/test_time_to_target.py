"""Time to a target: the steps that training takes to it times the step time."""

import math
from dataclasses import replace

import pytest

from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.record.records import Learned
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Case, Quality
from keras_ab.bench.lab.words.metrics import STEPS_TO_TARGET, TIME_TO_TARGET, Metric
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.test_declare import ACCURACY, GOOD
from tests.reports import simulated

STEPS = Metric(STEPS_TO_TARGET, "steps to 0.8", "1", per="seed")


def trial(learned=True):
    scene = simulated.Scene("x", "?", {"n": 1}, {"base": 1.0, "fast": 0.5}, noise=0.002)
    scene.quality = {"base": 0.9, "fast": 0.9}
    lines = simulated.records(scene, 0)
    declared = lines[0].model_copy(
        update={"metrics": [*lines[0].metrics, STEPS, TIME_TO_TARGET], "also": [STEPS_TO_TARGET]}
    )
    steps = {"base": 100.0, "fast": 150.0}
    told = [
        line.model_copy(update={"also": {STEPS_TO_TARGET: steps}} if learned else {})
        if isinstance(line, Learned)
        else line
        for line in lines[1:]
    ]
    (data,) = group([declared, *told]).values()
    return data


def test_half_the_step_time_and_half_as_many_steps_more_are_three_quarters():
    found = assess(trial(), TIME_TO_TARGET, "fast", Plan(min_blocks=5))
    assert found.shown(found.estimate.point) == pytest.approx(0.75, rel=0.02)
    assert found.arm_value / found.baseline_value == pytest.approx(0.75, rel=0.02)
    assert str(found.verdict) == "better"
    assert math.isfinite(found.estimate.half_width)


def test_without_steps_there_is_no_time():
    assert assess(trial(learned=False), TIME_TO_TARGET, "fast", Plan(min_blocks=5)) is None


def test_an_experiment_that_tells_steps_to_a_target_has_the_time_to_it():
    quality = Quality(ACCURACY, lambda *_: 1.0, (0, 1, 2, 3, 4), (0.1,), ())
    without = replace(GOOD, cases=(Case({"n": 1}),), quality=quality)
    told = replace(without, quality=replace(quality, also=(STEPS,)))
    assert TIME_TO_TARGET not in without.all_metrics
    assert TIME_TO_TARGET in told.all_metrics
