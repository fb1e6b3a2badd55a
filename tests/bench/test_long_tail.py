"""Long-tailed digits, and the accuracies that tell head from tail."""

import numpy as np
import pytest

from keras_ab.bench.workloads import long_tail

CASE = {"imbalance": 100}


def test_each_class_is_rarer_than_the_one_before_and_the_last_a_hundred_times_rarer():
    data = long_tail.LONG_TAIL.data
    _, labels = data(CASE)
    found = np.bincount(labels, minlength=10)
    assert list(found) == list(data.counts(CASE))
    assert (np.diff(found) < 0).all()
    assert found[0] / found[-1] == pytest.approx(100, rel=0.2)


def test_accuracies_tell_head_from_tail():
    labels = np.repeat(np.arange(10), 2)
    predicted = np.where(labels >= 7, 0, labels)
    found = long_tail.accuracies(predicted, labels, CASE)
    assert found["balanced_accuracy"] == pytest.approx(0.7)
    assert found["head_accuracy"] == 1.0
    assert found["tail_accuracy"] == 0.0
    counts = long_tail.LONG_TAIL.data.counts(CASE)
    rare = counts[7:].sum() / counts.sum()
    assert found["overall_accuracy"] == pytest.approx(1 - rare)
