"""Peaks of device memory: exact where they repeat, a range where the executor's order decides.

An executor runs what is ready in an order of its own, and the order decides what is alive together:
a peak is one of a few values, some of them rare. In two whole runs of the suite and one of schema 1
(82 trials, TensorFlow on two cores) 34 baselines had one peak in every block of both their copies,
16 had one below 256 KiB, and 32 took several, 0.1 to 34 % apart. Of these 32, the means
of the two identical copies lay more than 2 % apart in 15, and the least values in 7: neither is
stable enough to be judged to 2 % by five blocks. In no trial did the ranges of two copies lie
apart, and in 14 they were the same to the byte. So ranges are judged, by what they show without a
distribution:

- the same ends: no order found makes a difference, and the ratio is 1;
- one wholly below the other: better or worse. Of identical arms that is as likely as that the peaks
  of one come first, or last, in a random order: ``2 / C(n + m, n)``, below 0.001 for 5 blocks
  against 10 (two copies of the baseline), and below 0.01 for 5 steps against 5;
- else the order of operations may have moved either, and nothing is concluded.

Where the allocator that is timed does not count, peaks are those of one step of as many processes
beside the blocks, whose allocator does. Older runs have some steps of one process there, and its
order is its luck: the least peaks of identical arms in two processes (217 pairs of three runs on
two cores) lay up to 1.94 times apart, one pair in twenty more than 1.25 times. Such peaks decide
nothing unless they are twice as far apart: `ONE_PROCESS`. (With one operation after the other the
order is hardly luck any more, but it is another: what is recomputed comes before it is wanted, and
nothing is saved.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge.estimate import Estimate, t_quantile
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import PEAK_DEVICE_MEMORY

COUNTED = 2**18
"""Bytes below which a tensor is not counted by TensorFlow's CPU allocator where oneDNN is on."""
JUDGED = 4 * COUNTED
"""Bytes below which a peak is not judged: more may be left out than is counted.

Of 38 arms of the quick suite that this allocator had below it, in every process and without a
convolution, a pool that counts every tensor, on another processor, had 26 above, at up to 3.5 MiB.
"""
ONE_PROCESS = 2.0
"""How many times as large as that of an identical process the least peak of one may be."""
IDENTICAL_PAIRS = 217
"""Of identical arms, looked at for that: none lay further apart."""
TOO_SMALL = "too small: below 1 MiB, where more may be left out than is counted"


@dataclass(frozen=True)
class Peaks:
    """The peaks of an arm over blocks, in bytes.

    Args:
        least: the smallest of them.
        most: the largest of them.
        count: how many there are.
        one_process: whether they are those of steps of one process.
    """

    least: float
    most: float
    count: int
    one_process: bool = False


@dataclass(frozen=True)
class Ranges(Estimate):
    """A log ratio of peaks of which only ranges are known, in the place of an interval.

    The point is the ratio of the least peaks, what either arm needs in its best order. The ends are
    those of the ratio of any peak of the arm to any of the baseline; both are 0 where the ranges
    are the same. Those of one process are wider, see above.

    Args:
        arm: peaks of the arm.
        baseline: peaks of the baseline, of both its copies.
    """

    arm: Peaks
    baseline: Peaks

    @property
    def same(self) -> bool:
        """Whether the two ranges have the same ends."""
        return (self.arm.least, self.arm.most) == (self.baseline.least, self.baseline.most)

    @property
    def one_process(self) -> bool:
        """Whether either arm's peaks are those of one process."""
        return self.arm.one_process or self.baseline.one_process

    @property
    def low(self) -> float:
        """Least peak of the arm over the greatest of the baseline."""
        return 0.0 if self.same else -self._end(self.baseline, self.arm)

    @property
    def high(self) -> float:
        """Greatest peak of the arm over the least of the baseline."""
        return 0.0 if self.same else self._end(self.arm, self.baseline)

    def _end(self, upper: Peaks, lower: Peaks) -> float:
        """Return the largest log ratio of two arms that their peaks allow."""
        most = max(upper.most, ONE_PROCESS * upper.least) if self.one_process else upper.most
        return math.log(most / lower.least)

    @property
    def p_value(self) -> float:
        """How likely ranges are to lie apart by chance where the arms are the same."""
        if self.low <= 0 <= self.high:
            return 1.0
        if self.one_process:
            return 1 / (1 + IDENTICAL_PAIRS)
        n, m = self.arm.count, self.baseline.count
        return min(1.0, 2 / math.comb(n + m, n))


def peaks(data: TrialData, names: Sequence[str]) -> Peaks | None:
    """Return the peaks of some arms together, over finished blocks; None without any."""
    found = [peak for arm in names for peak in data.values(PEAK_DEVICE_MEMORY.name, arm)]
    if not found:
        return None
    one_process = any(data.peaks_of(name) == "step" for name in names)
    return Peaks(min(found), max(found), len(found), one_process)


def compared(data: TrialData, arm: str) -> tuple[Peaks, Peaks] | None:
    """Return the peaks of an arm and of what it is held against; None where one has none."""
    references = [data.baseline] if arm == CONTROL else [data.baseline, CONTROL]
    own, reference = peaks(data, [arm]), peaks(data, references)
    return (own, reference) if own and reference else None


def too_small(data: TrialData, arm: str) -> bool:
    """Tell whether a peak of an arm or of what it is held against is too small to be judged."""
    both = compared(data, arm)
    return both is not None and any(side.least < JUDGED for side in both)


def ranged(own: Peaks, reference: Peaks, confidence: float) -> Estimate:
    """Return the log ratio of peaks: exact where all processes of an arm agree, else `Ranges`.

    The standard error of ranges is there for `difference` alone, which holds two runs against
    each other: that of an interval as wide as the range.
    """
    point = math.log(own.least / reference.least)
    degrees = own.count - 1
    exact = own.least == own.most and reference.least == reference.most
    if exact and not (own.one_process or reference.one_process):
        width = 0.0 if own.count > 1 else math.inf
        return Estimate(point, width, width, degrees, own.count)
    found = Ranges(point, 0.0, 0.0, degrees, own.count, own, reference)
    if found.same:
        return found
    width = max(point - found.low, found.high - point)
    error = width / t_quantile((1 + confidence) / 2, degrees) if degrees else math.inf
    width = width if degrees else math.inf
    return Ranges(point, width, error, degrees, own.count, own, reference)
