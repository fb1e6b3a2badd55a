"""Work of a known amount: square roots, the same again, 3 % and 10 % more of them.

A process of its own: ``python -m tests.studies.known_work PASSES VALUES`` prints the seconds that
each of some values took, after one that does not count, as pyperf's workers do. NumPy uses one
thread for it: a library that waits for its threads in a busy loop would measure the scheduler.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

PASSES = {"plain": 100, "same": 100, "three": 103, "ten": 110}
"""How many passes over the numbers a step of each arm is."""

NUMBERS = 2**14
VALUE_STEPS = 10
"""Steps of one value of a process, some 30 ms."""


def stepping(passes: int) -> Callable[[], float]:
    """Return a step of so many passes."""
    numbers = np.random.default_rng(0).random(NUMBERS)
    roots = np.empty_like(numbers)

    def step() -> float:
        for _ in range(passes):
            np.sqrt(numbers, out=roots)
        return float(roots[0])

    return step


def timed(step: Callable[[], float], steps: int) -> float:
    """Return the seconds that some steps take together."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - start


if __name__ == "__main__":
    passes, values = map(int, sys.argv[1:])
    work = stepping(passes)
    print(*[timed(work, VALUE_STEPS) for _ in range(values + 1)][1:])
