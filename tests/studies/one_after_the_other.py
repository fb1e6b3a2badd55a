"""Identical training steps through plain pytest-benchmark: all of A, then all of B."""

import pytest

from keras_ab.bench.workloads.identical import training_step

TRIALS = 40


@pytest.mark.parametrize("arm", ["a", "b"])
@pytest.mark.parametrize("trial", range(TRIALS))
def test_step(benchmark, trial, arm):
    step = training_step({}).step
    for _ in range(20):
        step()
    benchmark.pedantic(lambda: float(step()), rounds=200, iterations=1)
