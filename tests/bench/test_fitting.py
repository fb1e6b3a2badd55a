"""The largest batch: bisection, and processes that may die of it."""

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

    def process(_):
        process.bytes += 100
        return type("Process", (), {"memory_info": lambda self: self, "rss": process.bytes})()

    process.bytes = 0
    monkeypatch.setattr(fitting.psutil, "Process", process)


@pytest.mark.usefixtures("held")
def test_a_process_that_takes_too_much_is_ended():
    greedy, modest = Growing(ends_after=50), Growing(ends_after=3)
    assert not fitting.stays_below(greedy, limit_bytes=1000)
    assert greedy.stopped
    assert greedy.looks <= 11
    assert fitting.stays_below(modest, limit_bytes=10_000)
    assert not modest.stopped
