"""The CUDA kernels move no more bytes than their mathematics needs, as the emulator counts."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from keras_ab.kernels.native.least_bytes import PASSES
from tests.kernels.native import c_interface
from tests.kernels.native.c_interface import on_device
from tests.kernels.native.emulator import counting
from tests.kernels.native.machine_code import PAGE
from tests.kernels.native.traffic import Moved, counted, counted_apart, table
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


def count_in_memory_used_again() -> None:
    """Print what cross-entropy moves where arrays of its second pass lie over some of its first.

    First by a cache that forgets those, then by one that does not.
    """
    memory = np.zeros(1 << 23, np.uint8)
    with counting() as emulator:
        for forget in (emulator.driver.traffic_forget, lambda: None):
            free = Free(memory, forget)
            emulator.handlers.forget, c_interface.on_device = free.begin, free.place
            print(counted(emulator, "cross_entropy").moved_bytes)


class Free:
    """Memory of which a second pass gets what begins below the first's."""

    def __init__(self, memory: np.ndarray, forget: Callable[[], None]) -> None:
        self.memory, self.forget = memory, forget
        self.begins, self.next = iter((100 * 1024, 0)), 0

    def begin(self) -> None:
        self.forget()
        self.next = next(self.begins)

    def place(self, array: np.ndarray) -> np.ndarray:
        copy = on_device(array, self.memory[self.next :])
        self.next += array.nbytes + c_interface.ALIGNED_BYTES
        return copy


def test_a_pass_finds_nothing_in_the_cache_of_what_lay_where_its_arrays_do(moved):
    command = f"from {__name__} import count_in_memory_used_again as count; count()"
    said = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)
    forgets, remembers = map(int, said.stdout.split())
    assert forgets == moved["cross_entropy"].moved_bytes > remembers


def test_the_table_has_a_row_for_each_kernel():
    told = table([Moved("adam", 1000, 28_700)]).splitlines()
    assert told[2:] == ["| adam | 28.7 | 28.0 | 1.025 |"]
