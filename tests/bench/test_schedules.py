"""Schedules: where a recipe's rate stands after some steps."""

import pytest

from keras_ab.bench.workloads.schedules import learning_rate


def rates(schedule, steps):
    rate = learning_rate(schedule, 0.4, 120)
    return [float(rate(step)) for step in steps]


def test_a_constant_rate_is_a_number():
    assert learning_rate("constant", 0.4, 0) == 0.4


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        ("triangular", (0, 20, 40, 60, 80), (0.1, 0.4, 0.1, 0.4, 0.1)),
        ("triangular2", (0, 20, 40, 60, 100), (0.1, 0.4, 0.1, 0.25, 0.175)),
        ("cosine", (0, 60, 120, 200), (0.4, 0.2, 0.0, 0.0)),
    ],
)
def test_a_schedule_moves_between_its_bounds(schedule, steps, expected):
    assert rates(schedule, steps) == pytest.approx(expected, abs=1e-6)
