"""Memory over time: a thread of the worker looks at what is in use while steps run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

from keras_ab.bench.lab import clock

MOST_LOOKS = 400
"""Kept of a curve: more than a figure has room for."""

THREAD = "memory watch"
SWITCH_S = 1e-4
"""How long Python lets one thread run while the other waits, during a watch."""


@dataclass(frozen=True)
class Look:
    """What was in use at one moment, in bytes; the device's is None where nobody counts."""

    at_s: float
    host_bytes: int
    device_bytes: int | None


def resident_bytes() -> Callable[[], int]:
    """Return a function that tells this process' resident memory."""
    process = psutil.Process()
    return lambda: process.memory_info().rss


@dataclass
class Watch:
    """Looks at memory again and again, from `begin` to `end`.

    Args:
        device_bytes: return what is in use on the device.
        now: the clock.
        host_bytes: return this process' resident memory.
    """

    device_bytes: Callable[[], int | None]
    now: Callable[[], float] = clock.now
    host_bytes: Callable[[], int] = field(default_factory=resident_bytes)
    looks: list[Look] = field(default_factory=list)

    def look(self, start: float) -> None:
        """Take one look."""
        at = self.now() - start
        self.looks.append(Look(at, self.host_bytes(), self.device_bytes()))


@contextmanager
def watching(watch: Watch) -> Iterator[list[Look]]:
    """Look at memory all the while; what was seen is complete at the end.

    The thread never sleeps: it looks as often as Python lets it, which is whenever the framework
    works on its own. What runs meanwhile is slowed down, so nothing may be timed.
    """
    done, start = threading.Event(), watch.now()

    def run() -> None:
        while not done.is_set():
            watch.look(start)

    thread, interval = (
        threading.Thread(target=run, name=THREAD, daemon=True),
        sys.getswitchinterval(),
    )
    sys.setswitchinterval(SWITCH_S)
    watch.look(start)
    thread.start()
    try:
        yield watch.looks
    finally:
        done.set()
        thread.join()
        watch.look(start)
        sys.setswitchinterval(interval)


def thinned(looks: Sequence[Look], most: int = MOST_LOOKS) -> list[Look]:
    """Return at most so many looks, of each stretch the one with the most in use."""
    if len(looks) <= most:
        return list(looks)
    ends = [round(number * len(looks) / most) for number in range(most + 1)]
    stretches = (looks[a:b] for a, b in pairwise(ends))
    return [max(part, key=_height) for part in stretches]


def _height(look: Look) -> tuple[int, int]:
    return look.device_bytes or 0, look.host_bytes
