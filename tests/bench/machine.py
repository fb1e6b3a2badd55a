"""A simulated machine: drift, level shifts, spikes and the luck of processes."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from keras_ab.bench.lab.judge.estimate import Estimate, blocks_needed, hodges_lehmann, interval
from keras_ab.bench.lab.loop.schedule import balanced_orders

ARMS = ("baseline", "control", "treatment")


@dataclass(frozen=True)
class Machine:
    """How a machine lies; all sizes are standard deviations or shifts of log time.

    Args:
        luck: of a process, for as long as it lives.
        noise: of one sample.
        drift: of the machine's speed, a random walk, a step per sample.
        shift: change of level at one moment in each block.
        spikes: share of samples that take half as long again.
    """

    luck: float = 0.015
    noise: float = 0.03
    drift: float = 0.0
    shift: float = 0.0
    spikes: float = 0.0

    def speed(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        """Return log times of `samples` samples in a row of one fixed workload."""
        walk = np.cumsum(rng.normal(0, self.drift, samples))
        level = self.shift * rng.choice([-1, 1]) * (np.arange(samples) > rng.integers(samples))
        spike = np.log(1.5) * (rng.random(samples) < self.spikes)
        return walk + level + spike + rng.normal(0, self.noise, samples)

    def block(self, rng: np.random.Generator, effect: float, rounds: int) -> tuple[float, float]:
        """Measure one block as the lab does; return the contrasts of treatment and control."""
        orders = balanced_orders(ARMS, random.Random(int(rng.integers(2**32))))
        times = self.speed(rng, rounds * len(ARMS)).reshape(rounds, len(ARMS))
        table = np.empty_like(times)
        for row, order in zip(range(rounds), orders, strict=False):
            table[row, [ARMS.index(arm) for arm in order]] = times[row]
        table += rng.normal(0, self.luck, len(ARMS)) + np.array([0, 0, effect])
        treatment = table[:, 2] - table[:, :2].mean(axis=1)
        return hodges_lehmann(treatment), hodges_lehmann(table[:, 1] - table[:, 0])

    def trial(
        self,
        rng: np.random.Generator,
        effect: float = 0.0,
        blocks: int | None = None,
        rounds: int = 10,
        precision: float = 0.02,
    ) -> tuple[Estimate, float]:
        """Measure one trial; return the estimate and the noise floor.

        With `blocks` None, Stein's procedure chooses their number after the first five.
        """
        first = blocks or 5
        measured = [self.block(rng, effect, rounds) for _ in range(first)]
        if blocks is None:
            width = float(np.log1p(precision))
            wanted = min(60, blocks_needed([x for x, _ in measured], width, 0.95))
            measured += [self.block(rng, effect, rounds) for _ in range(wanted - first)]
        treatment, control = zip(*measured, strict=True)
        return interval(treatment, 0.95, first), abs(float(np.mean(control))) / 2

    def sequential(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Measure two identical arms one after the other, each in one process."""
        times = self.speed(rng, 2 * samples)
        luck = rng.normal(0, self.luck, 2)
        return times[:samples] + luck[0], times[samples:] + luck[1]


QUIET = Machine()
DRIFTING = Machine(drift=0.002)
JUMPING = Machine(shift=0.10)
SPIKY = Machine(spikes=0.03)
ALL_AT_ONCE = Machine(drift=0.002, shift=0.10, spikes=0.03)
MACHINES = {
    "quiet": QUIET,
    "drifting": DRIFTING,
    "jumping": JUMPING,
    "spiky": SPIKY,
    "all at once": ALL_AT_ONCE,
}
