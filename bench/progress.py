"""How far a run is: which trial of how many, and when the rest will be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from keras_ab.bench.lab import clock


class Progress:
    """Counts the trials of an invocation, and reckons from those measured how long is left.

    Args:
        trials: all that were selected, by id, in order.
        now: monotonic seconds.
        time_in: the time of day that it will be in some seconds.
    """

    def __init__(
        self,
        trials: Sequence[str],
        now: Callable[[], float] = clock.now,
        time_in: Callable[[float], str] = clock.time_in,
    ) -> None:
        self._numbers = {trial: number for number, trial in enumerate(trials, 1)}
        self._now, self._time_in = now, time_in
        self._begun = now()
        self._spent: list[float] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the trial under way began."""
        return self._now() - self._begun

    def begin(self, trial: str, says: str) -> str:
        """Take the time at which a trial begins, and return the line that announces it.

        Args:
            trial: its id.
            says: what people call it.
        """
        self._begun = self._now()
        number, count = self._numbers.get(trial, 0), len(self._numbers)
        return f"trial {number} of {count}: {says}{self._left(count - number + 1)}"

    def end(self) -> None:
        """Take the time at which a trial ends that was measured, not read from a run file."""
        self._spent.append(self.elapsed_s)

    @property
    def done(self) -> str:
        """How many trials have been measured, in words: ``3 of 42 trials``."""
        return f"{len(self._spent)} of {len(self._numbers)} trials"

    def _left(self, trials: int) -> str:
        if not self._spent:
            return ""
        left_s = trials * fmean(self._spent)
        return f"  ({_roughly(left_s)} left, until about {self._time_in(left_s)})"


def _roughly(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


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
