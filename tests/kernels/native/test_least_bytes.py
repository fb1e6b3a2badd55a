"""The least bytes that a kernel must move: by hand, for arrays within the cache and beyond."""

import pytest

from keras_ab.bench import bench_kernels
from keras_ab.kernels.native import switch
from keras_ab.kernels.native.least_bytes import PASSES, least_bytes

CACHE = 2**20
WITHIN, BEYOND = 1000, 2**20
"""Elements of arrays of 4 kB, all of which the cache holds, and of 4 MiB, a quarter of one."""

BY_HAND = {  # bytes an element: within the cache, and beyond it without what it still holds
    "adam": (28, 28, 0),
    "sm3": (12, 12, 0),
    "adafactor": (12, 24, 2),
    "adaptive_clip": (8, 8, 0),
    "cross_entropy": (12, 12, 0),
    "standardize": (20, 32, 2),
    "batch_statistics": (12, 12, 0),
}


def test_every_kernel_has_its_passes():
    assert set(PASSES) == set(switch.OPS)


@pytest.mark.parametrize("kernel", PASSES)
def test_the_least_is_as_reckoned_by_hand(kernel):
    within, beyond, found = BY_HAND[kernel]
    assert least_bytes(kernel, WITHIN, CACHE) == within * WITHIN
    assert least_bytes(kernel, BEYOND, CACHE) == beyond * BEYOND - found * CACHE
    assert least_bytes(kernel, BEYOND, 2**30, itemsize=2) == within * BEYOND // 2


TRIALS = (
    bench_kernels.ADAM,
    bench_kernels.SM3,
    bench_kernels.ADAFACTOR,
    bench_kernels.CROSS_ENTROPY,
    bench_kernels.STANDARDIZATION,
    bench_kernels.STATISTICS,
)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_the_experiments_reckon_with_as_many(trial):
    """Adaptive clipping's counts the optimizer's update as well: 4 bytes more an element."""
    work = trial.arms[0].build.args[0]
    assert work.moved == least_bytes(work.op, 1, CACHE)
