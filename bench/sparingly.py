"""Doing again and again what must not take more than a share of the time."""

from __future__ import annotations

from collections.abc import Callable

from keras_ab.bench.lab import clock


class Sparingly:
    """Does something again and again that must not take more than a share of the time.

    Args:
        share: of the time since the first.
        now: monotonic seconds.
    """

    def __init__(self, share: float, now: Callable[[], float] = clock.now) -> None:
        self._share, self._now = share, now
        self._begun, self._spent = now(), 0.0

    def do(self, work: Callable[[], object]) -> None:
        """Do it, unless too much was spent on it already."""
        begun = self._now()
        if self._spent <= self._share * (begun - self._begun):
            work()
            self._spent += self._now() - begun
