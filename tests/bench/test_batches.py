"""What counts as arrays to be cut into batches."""

import numpy as np

from keras_ab.bench.own import batches


def test_arrays_in_any_nesting_are_arrays():
    x = np.zeros((4, 2))
    assert batches.of_arrays((x, x))
    assert batches.of_arrays(({"a": x, "b": x}, x))
    assert not batches.of_arrays([])
    assert not batches.of_arrays(5)
