"""The method, on simulated machines where the truth is known."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict, judge
from tests.bench.machine import ALL_AT_ONCE, MACHINES, QUIET, Machine

TRIALS = 2000
MARGIN = math.log1p(0.02)
FINDS = (Verdict.BETTER, Verdict.WORSE)


def verdicts(machine: Machine, effect: float, trials: int, **design) -> list[Verdict]:
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(trials):
        estimate, floor = machine.trial(rng, effect, **design)
        outcomes.append(judge(estimate, Thresholds(floor, MARGIN)))
    return outcomes


@pytest.mark.parametrize("name", MACHINES)
def test_the_interval_covers_the_truth_as_often_as_it_says(name):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(TRIALS):
        estimate, _ = MACHINES[name].trial(rng, effect=0.03)
        covered += estimate.low <= 0.03 <= estimate.high
    assert 0.93 <= covered / TRIALS <= 0.97


@pytest.mark.parametrize("name", MACHINES)
def test_identical_arms_are_seldom_called_different(name):
    found = verdicts(MACHINES[name], 0.0, TRIALS)
    assert sum(v in FINDS for v in found) / TRIALS <= 0.05


def test_identical_arms_are_called_equivalent_when_there_are_blocks_enough():
    found = verdicts(QUIET, 0.0, 500, blocks=20)
    assert found.count(Verdict.EQUIVALENT) / 500 >= 0.8


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("effect", [MARGIN, -MARGIN])
def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent(name, effect):
    found = verdicts(MACHINES[name], effect, TRIALS, blocks=20)
    assert found.count(Verdict.EQUIVALENT) / TRIALS <= 0.035


def test_three_percent_is_found_with_ten_blocks():
    found = verdicts(QUIET, 0.03, TRIALS, blocks=10)
    assert found.count(Verdict.WORSE) / TRIALS >= 0.90
    assert found.count(Verdict.BETTER) == 0


def test_stein_reaches_the_asked_precision():
    rng = np.random.default_rng(2)
    estimates = [QUIET.trial(rng)[0] for _ in range(300)]
    assert all(e.half_width <= MARGIN * 1.000001 for e in estimates if e.blocks < 60)


@pytest.mark.parametrize(("name", "at_least"), [("quiet", 0.5), ("all at once", 0.8)])
def test_one_arm_after_the_other_calls_identical_arms_different(name, at_least):
    """What all of A, then all of B does on the same machines, judged by Mann-Whitney."""
    rng = np.random.default_rng(3)
    false = sum(
        mannwhitneyu(*MACHINES[name].sequential(rng, samples=100)).pvalue < 0.05 for _ in range(400)
    )
    assert false / 400 >= at_least


def test_checking_after_every_block_would_not_keep_the_level():
    """Why the lab uses Stein's rule: stopping as soon as the interval looks narrow undercovers."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(TRIALS):
        contrasts = [x for x, _ in (ALL_AT_ONCE.block(rng, 0.0, 4) for _ in range(3))]
        while True:
            half = 1.96 * np.std(contrasts, ddof=1) / math.sqrt(len(contrasts))
            if half <= 0.02 or len(contrasts) >= 40:
                break
            contrasts.append(ALL_AT_ONCE.block(rng, 0.0, 4)[0])
        covered += abs(np.mean(contrasts)) <= half
    assert covered / TRIALS < 0.93
