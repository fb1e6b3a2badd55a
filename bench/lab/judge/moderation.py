"""What the trials of a run say together of the variance between blocks: they share a machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, fdtrc, polygamma

from keras_ab.bench.lab.judge.contrasts import block_contrasts, references, sampling_variance
from keras_ab.bench.lab.judge.estimate import Variance, variance
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan

FEWEST_TRIALS = 10
"""A run with fewer says too little of its machine: each of its trials keeps its own variance."""

MOST_BORROWED = 3
"""Degrees that a trial borrows at most, for each of its own: however alike a run's trials are, one
that is not may be among them, and its own blocks must be able to tell."""


LEAST_VARIANCE = 1e-6
"""Of what the rounds account for: blocks that vary less did not vary, but for rounding."""


@dataclass(frozen=True)
class Prior:
    """What to expect of the variance of step time between a trial's blocks.

        log s0² = level + slope * (log w - centre)

    w is the variance that the rounds within blocks account for; both are per process, so that arms
    and control, held against two copies and one, lie on one line.

    Args:
        trials: how many trials it is of.
        degrees: of freedom that it is worth; 0 where every trial stands by itself.
        level: where the line is at its centre.
        slope: 0 where only processes and the machine vary, 1 where only rounds do.
        centre: mean log w of the trials.
        first_stage: how many blocks of each trial count.
    """

    trials: int = 0
    degrees: float = 0.0
    level: float = 0.0
    slope: float = 0.0
    centre: float = 0.0
    first_stage: int | None = None

    def expects(self, data: TrialData, arm: str) -> Variance | None:
        """Return the variance of an arm's block contrasts to expect; None where it cannot tell.

        It is worth ``d0 min(1, 2 P(F > f))²`` degrees, f being what the trial's arms vary over what
        is expected, on the average, or what this arm does by itself, whichever is the less likely
        (the arm's own counts twice: it is a second look).
        In Smyth's form it is d0 for all. But what is noisier than its like does not belong to them,
        and must not borrow: in simulated runs in which 3 % of trials had three times the process
        luck of the others, 78 % of their 95 % intervals held the truth, and so do 94 %. No interval
        is narrower for it.
        """
        spreads = spread_of(data, self.first_stage) if self.degrees else {}
        if arm not in spreads:
            return None
        chance = min(self._surprise(list(spreads.values())), 2 * self._surprise([spreads[arm]]))
        worth = self.degrees * min(1.0, 2 * chance) ** 2
        return Variance(self._line(spreads[arm].within) * _share(data, arm), worth)

    def _line(self, within: float) -> float:
        return math.exp(self.level + self.slope * (math.log(within) - self.centre))

    def _surprise(self, spreads: Sequence[BlockSpread]) -> float:
        """Return how likely arms of trials like the others were to vary more than these."""
        degrees = sum(s.between.degrees for s in spreads)
        ratios = (s.between.degrees * s.between.value / self._line(s.within) for s in spreads)
        return float(fdtrc(degrees, self.degrees, sum(ratios) / degrees))


@dataclass(frozen=True)
class BlockSpread:
    """How the blocks of one arm varied, and how much of that its rounds account for, a process."""

    between: Variance
    within: float


def run_prior(trials: Iterable[TrialData], plan: Plan) -> Prior:
    """Return what the trials of a run say together, from its records alone.

    Step time alone has one: it has rounds within blocks, which tell trials from each other.
    """
    spreads = [list(spread_of(data, plan.min_blocks).values()) for data in trials]
    varied = [[s for s in arms if s.between.value > LEAST_VARIANCE * s.within] for arms in spreads]
    found = [arms for arms in varied if arms]
    if len(found) < FEWEST_TRIALS:
        return Prior(len(found))
    prior = fit([spread for arms in found for spread in arms], len(found))
    return replace(prior, first_stage=plan.min_blocks)


def spread_of(data: TrialData, first_stage: int | None) -> dict[str, BlockSpread]:
    """Return how the blocks of each arm varied, where that can be told."""
    key = ("spread", first_stage or 0)
    if key not in data.judged:
        data.judged[key] = dict(_spreads(data, first_stage))
    return data.judged[key]


def _spreads(data: TrialData, first_stage: int | None) -> Iterator[tuple[str, BlockSpread]]:
    step = next((m for m in data.declared.metrics if m.name == STEP_TIME.name), None)
    if step is None or data.invalid:
        return
    for arm in (*data.treatments, CONTROL):
        stage = block_contrasts(data, step, arm)[:first_stage]
        within = sampling_variance(data, arm) / _share(data, arm)
        if len(stage) > 2 and within > 0:
            own = variance(stage)
            yield arm, BlockSpread(Variance(own.value / _share(data, arm), own.degrees), within)


def _share(data: TrialData, arm: str) -> float:
    """Return the variance of a contrast over that of one process: an arm and the mean of copies."""
    finished = [b for b in data.blocks.values() if CONTROL in b.values]
    return 1 + 1 / (len(references(data, arm)) if finished else 1)


def fit(spreads: Sequence[BlockSpread], trials: int) -> Prior:
    """Return the prior of trials with these variances.

    With ``e = log s² - digamma(d/2) + log(d/2)``, a line is laid through e over log w; what e
    varies about it beyond the trigamma(d/2) of its sampling tells the prior's degrees:
    ``trigamma(d0/2) = var(e) - mean trigamma(d/2)``.

    Args:
        spreads: two or more, none of them nought.
        trials: how many trials they are of.

    Source: G. K. Smyth, Linear models and empirical Bayes methods for assessing differential
    expression in microarray experiments, 2004, https://doi.org/10.2202/1544-6115.1027, section 6.2;
    the trend: C. W. Law et al., voom, 2014, https://doi.org/10.1186/gb-2014-15-2-r29.
    """
    half = np.array([spread.between.degrees for spread in spreads]) / 2
    e = np.log([spread.between.value for spread in spreads]) - digamma(half) + np.log(half)
    x = np.log([spread.within for spread in spreads])
    slope = _slope(x - x.mean(), e)
    rest = e - e.mean() - slope * (x - x.mean())
    excess = rest @ rest / (len(e) - 2) - polygamma(1, half).mean()
    most = MOST_BORROWED * 2 * half.mean()
    d0 = 2 * _trigamma_inverse(excess) if excess > 0 else math.inf
    shift = digamma(d0 / 2) - math.log(d0 / 2) if math.isfinite(d0) else 0.0
    return Prior(trials, min(d0, float(most)), float(e.mean() + shift), slope, float(x.mean()))


def _slope(x: np.ndarray, e: np.ndarray) -> float:
    """Return the slope of e over centred x: a part of the variance is of rounds, never more."""
    spread = float(x @ x)
    return min(1.0, max(0.0, float(x @ e) / spread)) if spread > 0 else 0.0


def _trigamma_inverse(x: float) -> float:
    """Return y with ``trigamma(y) = x``, by Newton's method as in Smyth's appendix."""
    y = 0.5 + 1 / x
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / x) / float(polygamma(2, y))
        y += step
        if -step < 1e-8 * y:
            break
    return y
