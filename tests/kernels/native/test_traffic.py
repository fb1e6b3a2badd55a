"""The CUDA kernels move no more bytes than their mathematics needs, as the emulator counts."""

import subprocess
import sys

import pytest

from keras_ab.kernels.native.least_bytes import PASSES
from tests.kernels.native.traffic import Moved, table

MOST = 1.05
"""Times the least: what accumulators and partial sums may add."""


@pytest.fixture(scope="module")
def moved(compiler, library):
    """What each kernel moved, and the least; counted in a process of its own."""
    if "Free Software Foundation" not in compiler.version:
        pytest.skip("the emulator counts accesses as GCC tells them")
    command = [sys.executable, "-m", "tests.kernels.native.traffic"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = (line.split() for line in lines)
    return {kernel: (int(bytes_), int(least)) for kernel, bytes_, least in found}


def test_every_kernel_is_counted(moved):
    assert set(moved) == set(PASSES)


@pytest.mark.parametrize("kernel", PASSES)
def test_a_kernel_moves_what_it_must_and_hardly_more(kernel, moved):
    counted, least = moved[kernel]
    assert 0.99 * least <= counted <= MOST * least


def test_the_table_has_a_row_for_each_kernel():
    told = table([Moved("adam", 1000, 28_700)]).splitlines()
    assert told[2:] == ["| adam | 28.7 | 28.0 | 1.025 |"]
