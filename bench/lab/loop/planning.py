"""How many rounds a block has: enough that starting its processes pays, and no more.

Looks at costs and variances only, never at how arms differ: a choice by these leaves the level of
an interval as it is, since two arms that are swapped have the same.
"""

from __future__ import annotations

import math

from keras_ab.bench.lab.record.records import RoundsChosen

PILOT_ROUNDS = 12
"""Rounds of the first block after which the number for all blocks is chosen."""

FEWEST_ROUNDS = 10
"""What a block has where a sample is short."""

FEWEST_SLOW_ROUNDS = 3
"""What a block has even where each step takes seconds."""

LEAST_SAMPLED_S = 1.0
"""How long an arm is sampled in a block at least, unless `FEWEST_ROUNDS` take less."""

PROCESS_LUCK = 0.015
"""Standard deviation of log time between processes that are alike, as long as nobody knows better.

One block cannot tell. At the median of the arms of five quick runs on two virtual cores, what is
left of the variance between blocks without that of their rounds: 0.6, 0.8 and 1.0 % on an Intel
Xeon, 2.4 % twice on an AMD EPYC.
"""


def best_rounds(start_s: float, round_s: float, round_variance: float, luck: float) -> float:
    """Return the rounds per block that give the narrowest interval in any given time.

        sqrt(cost of a block / cost of a round * variance of a round / variance between blocks)

    A block costs ``start + n round`` and has the variance ``luck + round / n``.

    Args:
        start_s: what a block costs before its first round.
        round_s: what a round costs.
        round_variance: of one round's contrast.
        luck: variance of a block's contrast that no number of rounds makes smaller.

    Source: T. Kalibera and R. Jones, Rigorous benchmarking in reasonable time, 2013,
    https://doi.org/10.1145/2464157.2464160, section 8.
    """
    return math.sqrt(start_s / round_s * round_variance / luck)


def choose_rounds(start_s: float, round_s: float, round_variance: float, most: int) -> RoundsChosen:
    """Return how many rounds each block of a trial has, and why.

    Args:
        start_s: see `best_rounds`.
        round_s: likewise.
        round_variance: likewise, the mean over the arms.
        most: rounds at most.
    """
    luck = 1.5 * PROCESS_LUCK**2  # an arm's process, and the mean of two of the baseline
    round_s = max(round_s, 1e-9)
    best = best_rounds(start_s, round_s, round_variance, luck)
    return RoundsChosen(
        rounds=max(min(PILOT_ROUNDS, most), min(most, round(best))),
        start_s=start_s,
        round_s=round_s,
        round_variance=round_variance,
        luck_variance=luck,
    )


def affordable(sample_s: float, most: int, sample_time_s: float) -> int:
    """Return how many rounds a block has at most, given how long a sample takes on the average.

    Where one step is far longer than a sample should be, fewer rounds are as telling: what a block
    is then short of is processes.

    Args:
        sample_s: what a sample takes.
        most: rounds at most.
        sample_time_s: what a sample should take.
    """
    sample_s = max(sample_s, 1e-9)
    fewest = max(FEWEST_SLOW_ROUNDS, min(FEWEST_ROUNDS, int(LEAST_SAMPLED_S / sample_s)))
    return min(most, max(fewest, round(2 * most * sample_time_s / sample_s)))
