"""Adaptive clipping: λ by the case, each arm at its own best rate, and the mean over all."""

from statistics import fmean

import pytest

from keras_ab.bench import bench_gradient_clipping as bench
from keras_ab.bench.workloads.by_name import BY_NAME

CASE = {"model": "mlp", "width": 4, "depth": 1, "batch": 8, "clip": 0.16}
ADAPTIVE = next(arm.recipe for arm in bench.EXPERIMENT.arms if arm.name == "adaptive")


def test_the_case_says_the_share_of_a_units_weights():
    optimizer = BY_NAME.compiled(ADAPTIVE.of(CASE), CASE).optimizer
    assert optimizer.clipping == 0.16


def test_stability_is_the_mean_over_all_rates(monkeypatch):
    asked = []

    def scored(_steps, _recipe, _case, seed, rate):
        asked.append((seed, rate))
        return 1.0 - rate

    monkeypatch.setattr(type(BY_NAME), "train_and_score", lambda _self, *a: scored(*a))
    bench.accuracy_at.cache_clear()
    found = bench.over_rates(ADAPTIVE, CASE, 3, 0.1)
    bench.accuracy_at.cache_clear()
    assert found["test_accuracy"] == pytest.approx(0.9)
    assert found["accuracy_over_rates"] == pytest.approx(fmean(1.0 - rate for rate in bench.RATES))
    assert asked == [(3, rate) for rate in bench.RATES]


def test_the_share_is_the_papers_for_large_batches_and_larger_for_small_ones():
    for case in bench.EXPERIMENT.cases:
        assert case.params["clip"] == (0.01 if case.params["batch"] >= 2048 else 0.16)
