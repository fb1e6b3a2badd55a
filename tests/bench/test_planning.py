"""How many rounds a block has: by hand, held against every other number, and the level kept."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ab.bench.lab.judge.contrasts import NORMAL_QUARTILES, contrast
from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.loop.planning import (
    PILOT_ROUNDS,
    affordable,
    best_rounds,
    choose_rounds,
)
from tests.bench.machine import MACHINES

COSTS = st.floats(1e-3, 1e3)
VARIANCES = st.floats(1e-6, 1.0)


def test_the_best_number_of_rounds_by_hand():
    # sqrt(6 / 0.06 * 0.015 / 0.00015) = sqrt(100 * 100)
    assert best_rounds(6.0, 0.06, 0.015, 0.00015) == pytest.approx(100)


@given(COSTS, COSTS, VARIANCES, VARIANCES)
def test_no_other_number_gives_a_narrower_interval_in_the_same_time(start, each, rounds, luck):
    def variance_in_a_second(n):
        return (start + n * each) * (luck + rounds / n)

    best = best_rounds(start, each, rounds, luck)
    others = best * np.array([0.5, 0.9, 1.1, 2.0])
    assert all(variance_in_a_second(best) <= variance_in_a_second(n) * (1 + 1e-9) for n in others)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(2, 500))
def test_the_choice_is_bounded_and_says_what_it_rests_on(start, each, variance, most):
    chosen = choose_rounds(start, each, variance, most)
    assert min(PILOT_ROUNDS, most) <= chosen.rounds <= most
    assert chosen.start_s == start
    assert chosen.round_variance == variance
    assert chosen.block_s == start + chosen.rounds * chosen.round_s


def test_noise_and_dear_starts_ask_for_more_rounds():
    quiet, noisy = (choose_rounds(5.0, 0.06, v, 1000).rounds for v in (0.001, 0.01))
    dear = choose_rounds(20.0, 0.06, 0.001, 1000).rounds
    assert quiet < dear < noisy
    assert dear == pytest.approx(2 * quiet, abs=1)


@pytest.mark.parametrize(
    ("sample_s", "most"),
    [(0.01, 60), (0.02, 60), (0.04, 30), (0.1, 12), (0.2, 6), (0.5, 3), (2.0, 3)],
)
def test_what_slow_steps_can_afford(sample_s, most):
    assert affordable(sample_s, most=60, sample_time_s=0.01) == most


def test_few_rounds_that_are_asked_for_are_enough():
    assert affordable(0.1, most=5, sample_time_s=0.01) == 5


def chosen(pilot):
    """Return how many rounds a trial gets whose first block began with this ``(rounds, arms)``."""
    ratios = np.sort(pilot[:, 2] - pilot[:, :2].mean(axis=1))
    reach = ratios[-1 - PILOT_ROUNDS // 4] - ratios[PILOT_ROUNDS // 4]
    return choose_rounds(5.0, 0.2, (reach / NORMAL_QUARTILES) ** 2, 60).rounds


@pytest.mark.parametrize("name", ["quiet", "skewed", "exponential", "autocorrelated"])
def test_the_level_holds_with_rounds_chosen_in_the_first_block(name):
    """The rounds that were looked at count like the others of their block."""
    tables = MACHINES[name].blocks(np.random.default_rng(3), 5 * 1500, 60).reshape(1500, 5, 60, 3)
    covered, numbers = [], []
    for trial in tables:
        rounds = chosen(trial[0, :PILOT_ROUNDS])
        values = [contrast(x[:rounds, 2], [x[:rounds, 0], x[:rounds, 1]]) for x in trial]
        found = interval(values, 0.95)
        covered.append(found.low <= 0 <= found.high)
        numbers.append(rounds)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert len(set(numbers)) > 5 or math.isclose(np.median(numbers), 60)


def test_the_choice_is_the_same_for_arms_that_are_swapped():
    for block in MACHINES["skewed"].blocks(np.random.default_rng(4), 50, PILOT_ROUNDS):
        mirrored = block[:, :2].sum(axis=1, keepdims=True) - block
        assert chosen(block) == chosen(np.hstack([block[:, :2], mirrored[:, 2:]]))
