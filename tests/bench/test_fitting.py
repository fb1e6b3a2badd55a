"""The largest batch: bisection, and processes that may die of it."""

import itertools
import os

import pytest

from keras_ab.bench import fitting
from keras_ab.bench.own.largest import FINEST, MOST, is_of_memory, largest


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 100, 1000, 12_345])
def test_bisection_comes_within_one_step_of_the_limit(limit):
    asked = []

    def fits(times):
        asked.append(times)
        return times <= limit

    low, high = largest(fits)
    assert low <= limit < high
    assert high - low <= max(1, low * FINEST)
    assert len(asked) == len(set(asked)) <= 20


def test_where_not_even_one_fits_it_is_none():
    assert largest(lambda _: False) == (0, 1)


def test_where_nothing_is_too_large_it_ends():
    low, high = largest(lambda _: True)
    assert (low, high) == (MOST, None)


@pytest.mark.parametrize(
    ("message", "is_so"),
    [
        ("ResourceExhaustedError: OOM when allocating tensor", True),
        ("RuntimeError: CUDA out of memory", True),
        ("XlaRuntimeError: RESOURCE_EXHAUSTED", True),
        ("MemoryError: ", True),
        ("ValueError: shapes do not agree", False),
    ],
)
def test_errors_of_memory_are_told_from_others(message, is_so):
    assert is_of_memory(message) is is_so


class Growing:
    """A worker that holds more at each look, and never answers."""

    pid = 1

    def __init__(self, ends_after):
        self.looks, self.ends_after, self.stopped = 0, ends_after, False

    def answered(self, _):
        self.looks += 1
        return self.looks > self.ends_after

    def stop(self):
        self.stopped = True


@pytest.fixture
def held(monkeypatch):
    """Let a worker hold a hundred bytes more at each look."""
    looks = itertools.count(1)
    monkeypatch.setattr(fitting, "most_held_bytes", lambda _: 100 * next(looks))


@pytest.mark.usefixtures("held")
def test_a_process_that_takes_too_much_is_ended():
    greedy, modest = Growing(ends_after=50), Growing(ends_after=3)
    assert not fitting.stays_below(greedy, limit_bytes=1000)
    assert greedy.stopped
    assert greedy.looks <= 11
    assert fitting.stays_below(modest, limit_bytes=10_000)
    assert not modest.stopped


def test_what_came_and_went_counts():
    before = fitting.most_held_bytes(os.getpid())
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert fitting.most_held_bytes(os.getpid()) >= max(before, 64 * 2**20)
    assert fitting.most_held_bytes(2**22 + 1) is None
