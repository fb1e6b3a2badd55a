"""Cyclical learning rates against the paper's formula."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate, reference_learning_rate
from tests.examples import examples

POLICIES = [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.9994)]


@pytest.mark.parametrize(("policy", "gamma"), POLICIES)
def test_equals_the_papers_formula(policy, gamma):
    schedule = CyclicalLearningRate(1e-3, 6e-3, 7, policy, gamma)
    for step in [*range(30), 10_000]:
        expected = reference_learning_rate(step, 1e-3, 6e-3, 7, policy, gamma)
        np.testing.assert_allclose(float(schedule(step)), expected, rtol=1e-6)


@settings(max_examples=examples(30), deadline=None)
@given(step=st.integers(0, 10**6), stepsize=st.integers(1, 5000))
def test_stays_in_its_bounds_and_equals_the_formula(step, stepsize):
    rate = float(CyclicalLearningRate(0.125, 0.5, stepsize)(step))
    assert 0.125 <= rate <= 0.5
    np.testing.assert_allclose(rate, reference_learning_rate(step, 0.125, 0.5, stepsize), rtol=1e-6)


def test_is_exact_after_more_steps_than_float32_counts():
    schedule = CyclicalLearningRate(0.0, 1.0, 3)
    step = 2**24 + 1
    np.testing.assert_allclose(
        float(schedule(step)), reference_learning_rate(step, 0.0, 1.0, 3), rtol=1e-6
    )


@pytest.mark.parametrize(("policy", "gamma"), POLICIES)
def test_drives_an_optimizer_and_survives_saving(policy, gamma):
    optimizer = keras.optimizers.SGD(CyclicalLearningRate(0.25, 1.0, 2, policy, gamma))
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    variable = keras.Variable(0.0)
    for _ in range(4):
        optimizer.apply([keras.ops.ones(())], [variable])
    moved = sum(reference_learning_rate(k, 0.25, 1.0, 2, policy, gamma) for k in range(4))
    np.testing.assert_allclose(float(variable), -moved, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"base_lr": -1.0},
        {"max_lr": 0.0},
        {"stepsize": 0},
        {"stepsize": 2.5},
        {"gamma": 0.0},
        {"policy": "sawtooth"},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_declared(change):
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        CyclicalLearningRate(**{"base_lr": 0.1, "max_lr": 1.0, "stepsize": 5, **change})
