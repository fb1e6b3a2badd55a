"""The CUDA kernels move no more bytes than their mathematics needs, as the emulator counts."""

import pytest

from keras_ab.kernels.native.least_bytes import PASSES
from tests.kernels.native.machine_code import PAGE
from tests.kernels.native.traffic import Moved, counted_apart, table
from tests.studies.tables import between

MOST = 1.05
"""Times the least: what accumulators and partial sums may add."""


@pytest.fixture(scope="module")
def moved(compiler, library):
    """What each kernel moved."""
    if "Free Software Foundation" not in compiler.version:
        pytest.skip("the emulator counts accesses as GCC tells them")
    return {each.kernel: each for each in counted_apart()}


def test_every_kernel_is_counted(moved):
    assert set(moved) == set(PASSES)


@pytest.mark.parametrize("kernel", PASSES)
def test_a_kernel_moves_what_it_must_and_hardly_more(kernel, moved):
    assert 0.99 <= moved[kernel].ratio <= MOST


def test_the_page_has_what_was_counted(moved):
    (said,) = between("traffic").findall(PAGE.read_text(encoding="utf-8"))
    assert said == f"{table(list(moved.values()))}\n"


def test_the_table_has_a_row_for_each_kernel():
    told = table([Moved("adam", 1000, 28_700)]).splitlines()
    assert told[2:] == ["| adam | 28.7 | 28.0 | 1.025 |"]
