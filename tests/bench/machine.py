"""Simulated machines: noise as it is measured, drift, level shifts and the luck of processes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import numpy as np

from keras_ab.bench.lab.judge.contrasts import contrast
from keras_ab.bench.lab.record.orders import balanced_orders

BASELINE, CONTROL, ARM = range(3)
SCHEDULES = 64


@dataclass(frozen=True)
class Machine:
    """How a machine lies; sizes are standard deviations or shifts of log time.

    Args:
        luck: of a process, for as long as it lives.
        noise: of one sample.
        tail: mean of an exponential on top of it: nothing ever makes a sample shorter.
        tripled: share of samples that take three times as long.
        busy: share of samples that share their core with another process, at 1.8 times the time.
        memory: how much of one round's noise is left in the next, by arm.
        drift: of the machine's speed, a random walk, a step per sample.
        shift: change of level at one moment in each block.
        spikes: share of samples that take half as long again.
    """

    luck: float = 0.015
    noise: float = 0.03
    tail: float = 0.0
    tripled: float = 0.0
    busy: float = 0.0
    memory: float = 0.0
    drift: float = 0.0
    shift: float = 0.0
    spikes: float = 0.0

    def speed(self, rng: np.random.Generator, blocks: int, samples: int) -> np.ndarray:
        """Return log times of samples in a row of one fixed workload ``(blocks, samples)``."""
        shape = blocks, samples
        walk = np.cumsum(rng.normal(0, self.drift, shape), axis=1)
        later = np.arange(samples) > rng.integers(samples, size=(blocks, 1))
        level = self.shift * rng.choice([-1, 1], size=(blocks, 1)) * later
        longer = ((1.5, self.spikes), (3.0, self.tripled), (1.8, self.busy))
        steps = sum(np.log(times) * (rng.random(shape) < share) for times, share in longer)
        return walk + level + steps + rng.exponential(self.tail, shape)

    def own_noise(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        """Return what each arm's samples add to that ``(blocks, rounds, arms)``."""
        fresh = rng.normal(0, self.noise, shape)
        for now in range(1, shape[1]):
            fresh[:, now] += self.memory * fresh[:, now - 1]
        return fresh + rng.normal(0, self.luck, (shape[0], 1, shape[2]))

    def blocks(self, rng: np.random.Generator, blocks: int, rounds: int, arms=3) -> np.ndarray:
        """Measure identical arms as the lab does: log times ``(blocks, rounds, arms)``."""
        row = self.speed(rng, blocks, rounds * arms).reshape(blocks, rounds, arms)
        orders = schedules(rounds, arms)[rng.integers(SCHEDULES, size=blocks)]
        return np.take_along_axis(row, orders, axis=2) + self.own_noise(rng, row.shape)

    def sequential(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Measure two identical arms one after the other, each in one process."""
        times = self.speed(rng, 1, 2 * samples)[0] + rng.normal(0, self.noise, 2 * samples)
        luck = rng.normal(0, self.luck, 2)
        return times[:samples] + luck[0], times[samples:] + luck[1]


@cache
def schedules(rounds: int, arms: int) -> np.ndarray:
    """Return at which place each arm is sampled ``(SCHEDULES, rounds, arms)``, as the lab draws."""
    drawn = []
    for seed in range(SCHEDULES):
        orders = balanced_orders(range(arms), random.Random(seed))
        drawn.append([np.argsort(next(orders)) for _ in range(rounds)])
    return np.array(drawn)


def contrasts(table: np.ndarray, arm: int = ARM, copies=(BASELINE, CONTROL)) -> np.ndarray:
    """Return the lab's contrast of an arm in each block."""
    return np.array([contrast(x[:, arm], [x[:, copy] for copy in copies]) for x in table])


QUIET = Machine()
SKEWED = Machine(luck=0.005, noise=0.28, tripled=0.05)
EXPONENTIAL = Machine(luck=0.005, noise=0.03, tail=0.30)
ALL_AT_ONCE = Machine(drift=0.002, shift=0.10, spikes=0.03)
MACHINES = {
    "quiet": QUIET,
    "drifting": Machine(drift=0.002),
    "jumping": Machine(shift=0.10),
    "spiky": Machine(spikes=0.20),
    "skewed": SKEWED,
    "exponential": EXPONENTIAL,
    "autocorrelated": Machine(memory=0.8),
    "one core busy": Machine(luck=0.01, noise=0.08, busy=0.3),
    "lucky processes": Machine(luck=0.03),
    "all at once": ALL_AT_ONCE,
}
