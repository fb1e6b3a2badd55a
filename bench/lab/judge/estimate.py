"""From samples to an estimate: robust within a block, a t interval across blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np
from scipy.special import bdtr, stdtr, stdtrit


@dataclass(frozen=True)
class Estimate:
    """A point with its interval, on the scale where differences add (log ratios, differences).

    Args:
        point: the mean over blocks (or seeds).
        half_width: of the interval; infinite with fewer than two blocks.
        standard_error: of the point.
        degrees: of freedom of the standard error.
        blocks: how many blocks (or seeds) entered.
    """

    point: float
    half_width: float
    standard_error: float
    degrees: int
    blocks: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.point - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.point + self.half_width


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution."""
    return float(stdtrit(degrees, probability))


def t_tail(t: float, degrees: int) -> float:
    """Return P(T > t) for Student's t distribution."""
    return float(stdtr(degrees, -t))


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(count)


def hodges_lehmann(values: Sequence[float]) -> float:
    """Return the median of all pairwise means, ``median((x_i + x_j) / 2, i <= j)``.

    Keeps 95 % of the mean's efficiency on normal samples and shrugs off spikes in up to 29 % of
    them.

    Source: J. L. Hodges and E. L. Lehmann, Estimates of location based on rank tests, 1963,
    https://doi.org/10.1214/aoms/1177704172.
    """
    if len(values) == 1:
        return float(values[0])
    x = np.asarray(values, dtype=float)
    i, j = _pairs(len(x))
    means = np.sort((x[i] + x[j]) / 2)  # five times as fast as np.median, for reports on many runs
    middle = len(means) // 2
    return float(means[middle] if len(means) % 2 else (means[middle - 1] + means[middle]) / 2)


def interval(
    values: Sequence[float], confidence: float, first_stage: int | None = None
) -> Estimate:
    """Return the mean of block values with a t interval.

    Where the number of blocks was fixed by the variance of the first ``first_stage`` of them, the
    interval uses that variance and its degrees of freedom alone:

        mean(x_1..x_N) ± t_{n0-1} s_{n0} / sqrt(N)

    which keeps its level exactly for normal blocks, whatever N came out.

    Args:
        values: one number a block, in the order of measurement.
        confidence: level, 0.95 for a 95 % interval.
        first_stage: n0, the blocks that fixed N; None for a sample size fixed beforehand.

    Source: C. Stein, A two-sample test for a linear hypothesis whose power is independent of the
    variance, 1945, https://doi.org/10.1214/aoms/1177731088.
    """
    if not all(map(math.isfinite, values)):
        raise ValueError(f"block values must be finite, received {values!r}; leave failures out")
    mean, stage = fmean(values), values[:first_stage]
    if len(stage) < 2:
        return Estimate(mean, math.inf, math.inf, 0, len(values))
    degrees = len(stage) - 1
    error = _deviation(stage) / math.sqrt(len(values))
    width = t_quantile((1 + confidence) / 2, degrees) * error
    return Estimate(mean, width, error, degrees, len(values))


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation, with one degree of freedom taken by the mean."""
    centre = fmean(values)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in values) / (len(values) - 1))


def difference(a: Estimate, b: Estimate, confidence: float) -> Estimate:
    """Return ``a - b`` of two estimates that share no block, with Welch's interval.

        se = sqrt(se_a^2 + se_b^2),  degrees = se^4 / (se_a^4 / d_a + se_b^4 / d_b)

    Its blocks are those of the estimate with fewer.

    Source: B. L. Welch, The generalization of "Student's" problem when several different population
    variances are involved, 1947, https://doi.org/10.1093/biomet/34.1-2.28.
    """
    point, blocks = a.point - b.point, min(a.blocks, b.blocks)
    error = math.hypot(a.standard_error, b.standard_error)
    if not math.isfinite(error):
        return Estimate(point, math.inf, math.inf, 0, blocks)
    if error == 0:
        return Estimate(point, 0.0, 0.0, min(a.degrees, b.degrees), blocks)
    shares = ((e.standard_error / error) ** 4 / e.degrees for e in (a, b) if e.standard_error)
    degrees = max(1, math.floor(1 / sum(shares)))
    width = t_quantile((1 + confidence) / 2, degrees) * error
    return Estimate(point, width, error, degrees, blocks)


def blocks_needed(first_stage: Sequence[float], half_width: float, confidence: float) -> int:
    """Return how many blocks Stein's procedure asks for, given the first of them.

    ``N = max(n0, ceil((t_{n0-1} s_{n0} / h)^2))``

    Args:
        first_stage: the block values of the first stage (two or more).
        half_width: h, the asked half-width, on the scale of the values.
        confidence: level of the interval.
    """
    n0 = len(first_stage)
    s = _deviation(first_stage)
    t = t_quantile((1 + confidence) / 2, n0 - 1)
    return max(n0, math.ceil((t * s / half_width) ** 2))


@dataclass(frozen=True)
class Middle:
    """A median with its interval."""

    low: float
    point: float
    high: float


def middle(values: Sequence[float], confidence: float) -> Middle:
    """Return the median with an interval that needs no assumption about the distribution.

    ``[x_(k), x_(n+1-k)]`` with the largest k for which ``2 P(B < k) <= 1 - confidence``, B being
    binomial with n trials of probability one half; with too few values for that, all of them.

    Source: W. R. Thompson, On confidence ranges for the median and other expectation distributions
    for populations of unknown distribution form, 1936, https://doi.org/10.1214/aoms/1177732502.
    """
    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    outside = [float(bdtr(k - 1, n, 0.5)) <= (1 - confidence) / 2 for k in range(1, n // 2 + 1)]
    k = max(1, sum(outside))
    return Middle(float(x[k - 1]), float(np.median(x)), float(x[n - k]))
