"""Batches drawn so that all classes are alike, and the order of those that are not."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np

from keras_ab.bench.workloads.long_tail import LONG_TAIL
from keras_ab.bench.workloads.recipe import Recipe

CASE = {"imbalance": 100, "batch": 100, "width": 4}


def shares(sampling):
    labels = LONG_TAIL.data(CASE)[1]
    drawn = LONG_TAIL.drawn(replace(Recipe(), sampling=sampling), CASE, 0)
    counted = Counter(int(label) for rows in islice(drawn, 40) for label in labels[rows])
    return np.array([counted[digit] for digit in range(10)]) / 4000


def test_balanced_batches_have_every_class_alike():
    assert np.abs(shares("balanced") - 0.1).max() < 0.025


def test_uniform_batches_are_as_long_tailed_as_the_set():
    found = shares("uniform")
    assert found[0] / max(found[9], 1e-9) > 30


def test_uniform_batches_are_drawn_as_they_ever_were():
    count = len(LONG_TAIL.data(CASE)[1])
    wanted = np.random.default_rng(3).choice(count, 100, replace=False)
    np.testing.assert_array_equal(next(LONG_TAIL.drawn(Recipe(), CASE, 3)), wanted)
