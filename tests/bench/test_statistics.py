"""Estimates, verdicts and power on numbers worked out by hand."""

import math
import random
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_ab.bench.lab.judge import estimate as estimates
from keras_ab.bench.lab.judge.contrasts import contrast
from keras_ab.bench.lab.judge.estimate import Estimate, blocks_needed, hodges_lehmann, interval
from keras_ab.bench.lab.judge.verdicts import (
    Outcome,
    Thresholds,
    Verdict,
    blocks_to_settle,
    holm,
    judge,
    judge_claim,
    p_value,
    smallest_effect,
)
from keras_ab.bench.lab.record.orders import balanced_orders, williams_square


def estimate(low, high, blocks=10):
    return Estimate((low + high) / 2, (high - low) / 2, (high - low) / 4.6, blocks - 1, blocks)


def test_hodges_lehmann_is_the_median_of_pairwise_means():
    # means of 1, 2, 9 with themselves and each other: 1, 1.5, 2, 5, 5.5, 9
    assert hodges_lehmann([1, 2, 9]) == 3.5


def test_hodges_lehmann_shrugs_off_a_spike():
    assert hodges_lehmann([1.0] * 9 + [1000.0]) == 1.0


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(-10, 10))
def test_hodges_lehmann_moves_with_its_samples(values, shift):
    moved = hodges_lehmann([v + shift for v in values])
    assert math.isclose(moved, hodges_lehmann(values) + shift, abs_tol=1e-9)


def pairwise_median(values):
    i, j = np.triu_indices(len(values))
    return float(np.median((values[i] + values[j]) / 2))


LOGS = st.floats(-30, 30, width=32) | st.integers(-2, 2).map(float)


@given(arrays(float, st.integers(2, 40), elements=LOGS))
def test_counting_pairwise_means_finds_what_sorting_finds(values):
    counted = estimates._selected_median(np.sort(values))
    assert counted == pytest.approx(pairwise_median(values), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("many", [estimates.SORTED_AT_MOST + n for n in (-1, 0, 1, 2, 3)])
def test_many_values_are_counted(many):
    rng = np.random.default_rng(many)
    for values in (rng.standard_cauchy(many), rng.normal(size=many).round(1), np.full(many, 0.1)):
        assert hodges_lehmann(values) == pytest.approx(pairwise_median(values), rel=1e-12)


@pytest.mark.parametrize("spread", ["wide", "coarse", "none"])
def test_a_hundred_thousand_rounds_take_little_memory(spread):
    values = np.random.default_rng(0).standard_cauchy(100_001)
    values -= np.median(values)
    values = {"wide": values, "coarse": values.round(), "none": values * 0 + 7}[spread]
    tracemalloc.start()
    found = hodges_lehmann(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 8 * len(values)  # all pairwise means are 50 000 times as many
    assert found == pytest.approx(7 if spread == "none" else 0, abs=0.05)


SAMPLES = arrays(float, (12, 3), elements=st.floats(-5, 5))


@given(SAMPLES)
def test_swapping_two_arms_turns_the_sign(x):
    a, b, c = x.T
    assert contrast(a, [b]) == pytest.approx(-contrast(b, [a]), abs=1e-12)
    # of three alike, each in turn held against the others: what one gains another loses
    turns = contrast(a, [b, c]) + contrast(b, [a, c]) + contrast(c, [a, b])
    assert turns == pytest.approx(0, abs=1e-12)


@given(SAMPLES, st.floats(-3, 3))
def test_a_contrast_shifts_with_its_arm(x, shift):
    a, b, c = x.T
    assert contrast(a + shift, [b, c]) == pytest.approx(contrast(a, [b, c]) + shift, abs=1e-9)
    assert contrast(a, [b, c]) == contrast(a, [c, b])


def test_a_contrast_by_hand():
    # against b: -1, 2, 9, means -1, 0.5, 2, 4, 5.5, 9: 3; against c, two rounds: 1, 3, so 2
    a, b, c = np.array([0, 3, 9.0]), np.array([1.0, 1, 0]), np.array([-1.0, 0, math.nan])
    assert hodges_lehmann(a - b) == pytest.approx(3.0)
    assert contrast(a, [b, c]) == pytest.approx((3.0 + 2.0) / 2)
    assert math.isnan(contrast(a, [c * math.nan]))
    assert math.isnan(contrast(a, []))


def test_a_t_interval_by_hand():
    # mean 3, s = sqrt(2.5), t_4(0.975) = 2.776445: half-width = t * s / sqrt(5) = 1.963243
    found = interval([1, 2, 3, 4, 5], 0.95)
    assert found.point == 3
    assert found.half_width == pytest.approx(1.963243, abs=1e-6)
    assert (found.degrees, found.blocks) == (4, 5)


def test_steins_interval_uses_the_variance_of_the_first_stage_alone():
    # the same s and t, over 8 blocks: t * s / sqrt(8) = 1.552079
    found = interval([1, 2, 3, 4, 5, 90, -90, 6], 0.95, first_stage=5)
    assert found.half_width == pytest.approx(1.552079, abs=1e-6)
    assert found.degrees == 4
    assert found.point == pytest.approx(21 / 8)


def test_steins_number_by_hand():
    # (t * s / h)^2 = (2.776445 * 1.581139 / 1.5)^2 = 8.565: 9 blocks
    assert blocks_needed([1, 2, 3, 4, 5], 1.5, 0.95) == 9
    assert blocks_needed([1, 2, 3, 4, 5], 100, 0.95) == 5
    assert blocks_needed([3, 3, 3], 0.1, 0.95) == 3


def test_one_block_says_nothing():
    assert interval([1.0], 0.95).half_width == math.inf


def test_failures_do_not_enter_an_interval():
    with pytest.raises(ValueError, match="must be finite"):
        interval([1.0, math.nan], 0.95)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.10, -0.03, Verdict.BETTER),
        (0.03, 0.10, Verdict.WORSE),
        (-0.01, 0.015, Verdict.EQUIVALENT),
        (0.012, 0.018, Verdict.EQUIVALENT),
        (0.012, 0.028, Verdict.WORSE),
        (0.004, 0.028, Verdict.INCONCLUSIVE),
        (-0.05, 0.05, Verdict.INCONCLUSIVE),
        (-0.021, 0.001, Verdict.INCONCLUSIVE),
    ],
)
def test_the_four_verdicts(low, high, verdict):
    assert judge(estimate(low, high), Thresholds(floor=0.005, margin=0.02)) is verdict


def test_where_more_is_better_the_signs_turn():
    lines = Thresholds(floor=0.0, margin=0.01)
    assert judge(estimate(0.02, 0.05), lines, better="more") is Verdict.BETTER
    assert judge(estimate(-0.05, -0.02), lines, better="more") is Verdict.WORSE


def test_equivalent_is_the_margin_however_high_the_noise_floor():
    assert judge(estimate(0.02, 0.04), Thresholds(floor=0.05, margin=0.01)) is Verdict.INCONCLUSIVE
    assert judge(estimate(-0.01, 0.0), Thresholds(floor=0.05, margin=0.02)) is Verdict.EQUIVALENT


def test_too_few_blocks_are_inconclusive_whatever_they_show():
    few = estimate(0.5, 0.6, blocks=4)
    assert judge(few, Thresholds(0, 0.02)) is Verdict.INCONCLUSIVE
    assert judge_claim(few, -math.inf, 0) is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.2, -0.1, Outcome.CONFIRMED),
        (0.1, 0.2, Outcome.REFUTED),
        (-0.1, 0.1, Outcome.UNDECIDED),
        (-0.1, 0.0, Outcome.CONFIRMED),
    ],
)
def test_claims(low, high, outcome):
    assert judge_claim(estimate(low, high), -math.inf, 0.0) is outcome


@pytest.mark.parametrize(
    ("low", "gains", "outcome"),
    [
        (0.0, True, Outcome.REFUTED),
        (-0.01, True, Outcome.CONFIRMED),
        (0.0, False, Outcome.CONFIRMED),
    ],
)
def test_a_tie_is_no_gain(low, gains, outcome):
    assert judge_claim(estimate(0.0, 0.0), low, math.inf, gains=gains) is outcome


def test_holm_by_hand():
    # sorted .001 .01 .03 .04 against .0125 .0167 .025 .05: the first two survive
    assert holm([0.03, 0.001, 0.04, 0.01]) == [False, True, False, True]
    assert holm([]) == []


def test_p_value_is_about_the_noise_floor():
    found = estimate(0.01, 0.03)
    assert p_value(found, floor=0.03) == 1.0
    assert p_value(found, floor=0.0) < 0.01
    assert p_value(interval([0.1] * 5, 0.95), floor=0.0) == 0.0


def test_the_smallest_effect_shrinks_with_the_noise():
    wide, narrow = estimate(-0.1, 0.1), estimate(-0.01, 0.01)
    lines = Thresholds(floor=0.0, margin=0.0)
    assert smallest_effect(wide, lines, 0.95) == pytest.approx(
        10 * smallest_effect(narrow, lines, 0.95)
    )


@pytest.mark.parametrize(("noise", "floor"), [(0.0022, 0.0), (0.0022, 0.015), (0.02, 0.003)])
def test_the_smallest_effect_is_found_four_times_in_five(noise, floor):
    """Where the noise is small, a difference has to leave the margin before it is one."""
    rng, lines = np.random.default_rng(7), Thresholds(floor, math.log1p(0.02))
    width = estimates.t_quantile(0.975, 9) * noise
    least = smallest_effect(Estimate(0.0, width, noise, 9, 10), lines, 0.95)
    drawn = rng.normal(least, noise * math.sqrt(10), (2000, 10)).tolist()
    found = [judge(interval(values, 0.95), lines) is Verdict.WORSE for values in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("blocks", [5, 6, 10])
def test_the_blocks_that_would_settle_it_are_the_fewest_that_do(blocks):
    rng, lines, tried = random.Random(0), Thresholds(floor=0.0, margin=0.02), 0
    for _ in range(300):
        found = interval([rng.gauss(0.02, 0.03) for _ in range(blocks)], 0.95)
        if judge(found, lines) is not Verdict.INCONCLUSIVE:
            continue
        tried += 1

        def is_settled(many, found=found):
            t = estimates.t_quantile(0.975, found.degrees + many - blocks)
            width = t * found.standard_error * math.sqrt(blocks / many)
            return judge(replace(found, half_width=width), lines) is not Verdict.INCONCLUSIVE

        needed = blocks_to_settle(found, lines, 0.95)
        assert needed > blocks
        assert is_settled(needed)
        assert needed == blocks + 1 or not is_settled(needed - 1)
    assert tried > 50


def test_what_is_settled_is_so_with_the_blocks_that_there_are():
    assert blocks_to_settle(estimate(0.03, 0.05), Thresholds(0.0, 0.02), 0.95) == 10


@pytest.mark.parametrize("size", range(2, 9))
def test_a_williams_square_is_balanced(size):
    rows = williams_square(size)
    for place in range(size):
        column = [row[place] for row in rows]
        assert all(column.count(item) == len(rows) // size for item in range(size))
    pairs = [pair for row in rows for pair in pairwise(row)]
    assert len({pairs.count(pair) for pair in pairs}) == 1
    assert len(set(pairs)) == size * (size - 1)


def test_orders_are_random_and_reproducible():
    def take(seed):
        orders = balanced_orders("abcd", random.Random(seed))
        return [next(orders) for _ in range(8)]

    assert take(1) == take(1)
    assert take(1) != take(2)
