"""Scales are named at round numbers, evenly apart."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ab.reports.ticks import STEPS, round_numbers


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (0.93, 1.07, 4, [0.95, 1.0, 1.05]),
        (-0.02, 0.031, 7, [-0.02, -0.01, 0, 0.01, 0.02, 0.03]),
        (3, 3, 5, [3]),
        (0, math.inf, 5, [0]),
    ],
)
def test_by_hand(low, high, most, expected):
    assert round_numbers(low, high, most) == pytest.approx(expected)


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e6), st.integers(2, 10))
def test_all_lie_between_are_round_and_not_too_many(low, width, most):
    found = round_numbers(low, low + width, most)
    assert all(low - width * 1e-6 <= x <= low + width * (1 + 1e-6) for x in found)
    assert len(found) <= most + 1
    steps = [b - a for a, b in pairwise(found)]
    if steps:
        mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
        assert min(abs(mantissa - n) for n in STEPS) < 1e-3
        assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)
