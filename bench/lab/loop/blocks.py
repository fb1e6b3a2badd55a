"""One block: a fresh process for each arm, sampled in rounds, then ended."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from keras_ab.bench.lab.judge.contrasts import round_variance
from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess
from keras_ab.bench.lab.loop.arms import Arms
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.gpu import worst_gpu_state
from keras_ab.bench.lab.loop.planning import PILOT_ROUNDS, affordable, choose_rounds
from keras_ab.bench.lab.record.orders import balanced_orders, block_dice, starts
from keras_ab.bench.lab.record.records import Block, Round, RoundsChosen, TrialLine
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_ENERGY
from keras_ab.bench.lab.words.plan import Plan

ENERGY_S = 1.0
"""How long an arm runs while its energy is counted.

A GPU's counter moves every 20 to 100 ms, on some after looking at the power only part of the time.

Source: Z. Yang, K. Adamek, W. Armour, Part-time Power Measurements: nvidia-smi's Lack of Attention,
2023, https://arxiv.org/abs/2312.02741.
"""

COLD_STEP_S = 0.05
"""A step that takes longer is timed alone, as it comes: a step before it would cost too much time.

Others had the caches since, and its threads slept: with TensorFlow on two busy cores of an Intel
Xeon, a step of 15 ms took some 2 ms more. Of two arms of which one has twice the work that makes
1.87 where it is 1.97 after steps that are not timed.
"""

Processes = dict[str, ArmProcess]
"""The processes of a block by arm; those that fail are taken out."""


@dataclass
class Blocks:
    """Measures the blocks of a trial.

    Args:
        data: what the trial has come to so far.
        plan: how hard to look.
        arms: those that are left.
        gauges: load, GPU state and energy.
        steps: in a sample; 0 until the baseline has been calibrated, in the first block.
        warm: whether steps that are not timed come before each sample of the block.
    """

    data: TrialData
    plan: Plan
    arms: Arms
    gauges: Gauges
    steps: int = 0
    warm: bool = True

    @property
    def _trial(self) -> str:
        return self.data.declared.trial

    def measure(self, number: int) -> Iterator[TrialLine]:
        """Measure a block and yield its records as they come."""
        rng = block_dice(self.plan.seed, self._trial, number)
        began = self.gauges.now()
        with ExitStack() as stack:
            processes: Processes = {}
            values: dict[str, dict[str, float]] = {}
            warm_up_s = 0.0
            order = starts(self.arms.active, rng)
            started = yield from self.arms.started(stack, order, rng)
            for arm, process in started.items():
                try:
                    values[arm] = process.build()
                    processes[arm] = process
                except ArmFailed as failed:
                    yield self.arms.drop(failed)
            built = self.gauges.now()
            yield from self._calibrate(processes)
            began += self.gauges.now() - built  # no other block pays for that
            for arm, process in list(processes.items()):
                try:
                    sampled = process.sample(self.steps, "warm-up", self.warm)
                    warm_up_s += sampled.duration_s
                except ArmFailed as failed:
                    del processes[arm]
                    yield self.arms.drop(failed)
            sample_s = warm_up_s / max(len(processes), 1)
            self.warm = self.steps > 1 or sample_s < COLD_STEP_S
            most = affordable(sample_s, self.plan.rounds, self.plan.sample_time_s)
            chosen = yield from self._rounds(number, most, began, processes, rng)
            yield from self._finish(processes, values)
            if self.arms.baseline in self.arms.active:
                kept = {arm: values[arm] for arm in processes}
                notes = {arm: process.notes for arm, process in processes.items() if process.notes}
                yield Block(
                    trial=self._trial, block=number, values=kept, notes=notes, chosen=chosen
                )

    def _calibrate(self, processes: Processes) -> Iterator[TrialLine]:
        """Find out how many steps of the baseline make a sample, once."""
        baseline = self.arms.baseline
        if self.steps or baseline not in processes:
            return
        try:
            self.steps = processes[baseline].calibrate()
        except ArmFailed as failed:
            processes.clear()
            yield self.arms.drop(failed)

    def _rounds(
        self, block: int, most: int, began: float, processes: Processes, rng: random.Random
    ) -> Generator[TrialLine, None, RoundsChosen | None]:
        """Measure the rounds of a block; in the first block, return how many all have."""
        orders = balanced_orders(sorted(processes), rng)
        known = self.data.rounds_chosen
        rounds = known.rounds if known else min(most, PILOT_ROUNDS)
        ready = self.gauges.now()
        yield from self._some_rounds(block, range(rounds), orders, processes)
        if known or not processes:
            return None
        round_s = (self.gauges.now() - ready) / rounds
        chosen = choose_rounds(ready - began, round_s, self._round_variance(block), most)
        yield from self._some_rounds(block, range(rounds, chosen.rounds), orders, processes)
        return chosen

    def _round_variance(self, block: int) -> float:
        """Return the variance of a round's log ratio, the mean over the arms."""
        found = [round_variance(self.data, block, arm) for arm in self.arms.active[1:]]
        known = [variance for variance in found if math.isfinite(variance)]
        return fmean(known) if known else 0.0

    def _some_rounds(
        self, block: int, numbers: range, orders: Iterator[list[str]], processes: Processes
    ) -> Iterator[TrialLine]:
        for number in numbers:
            if self.arms.baseline not in self.arms.active:
                return
            order = [arm for arm in next(orders) if arm in processes]
            yield from self._round(block, number, order, processes)

    def _round(
        self, block: int, number: int, order: list[str], processes: Processes
    ) -> Iterator[TrialLine]:
        times: dict[str, float] = {}
        handed_over: dict[str, float] = {}
        gpu_states: list[dict[str, Any]] = []
        workers_cpu_s, before = 0.0, self.gauges.gpu_state()
        self.gauges.load.begin()
        for arm in order:
            try:
                sampled = processes[arm].sample(self.steps, warm=self.warm)
            except ArmFailed as failed:
                del processes[arm]
                yield self.arms.drop(failed)
                continue
            times[arm] = sampled.duration_s / self.steps
            if processes[arm].on_gpu:
                handed_over[arm] = sampled.hand_over_s / self.steps
            workers_cpu_s += sampled.cpu_s
            gpu_states += filter(None, [self.gauges.gpu_state()])
        if times:
            yield Round(
                trial=self._trial,
                block=block,
                round=number,
                order=list(times),
                steps=self.steps,
                step_time_s=times,
                others_cpu_cores=self.gauges.load.others(workers_cpu_s),
                gpu=worst_gpu_state(gpu_states, before),
                hand_over_s=handed_over or None,
            )

    def _finish(
        self, processes: Processes, values: dict[str, dict[str, float]]
    ) -> Iterator[TrialLine]:
        """Measure energy and memory in each process; make sure of its numbers and of its code.

        What a step has to do is the same in every block: it is counted in the first.
        """
        for arm, process in list(processes.items()):
            try:
                values[arm] |= self._energy(process)
                values[arm] |= process.memory()
                if self.plan.ceilings and arm != CONTROL and not self.data.blocks:
                    yield from filter(None, [process.work()])
                process.finish()
            except ArmFailed as failed:
                del processes[arm]
                yield self.arms.drop(failed)
        timed = [process for arm, process in processes.items() if arm != CONTROL]
        yield from self.arms.listed(timed, self.data.imported, "measurement")

    def _energy(self, process: ArmProcess) -> dict[str, float]:
        """Return the joules of a step, counted while the GPU is warm.

        Nothing without a counter, or where the arm computes on something else.
        """
        if not process.on_gpu or self.gauges.energy_j() is None:
            return {}
        steps = self.steps * math.ceil(ENERGY_S / self.plan.sample_time_s)
        process.sample(self.steps, "energy")
        before = self.gauges.energy_j()
        process.sample(steps, "energy")
        after = self.gauges.energy_j()
        if before is None or after is None or after <= before:  # the counter was reset
            return {}
        return {STEP_ENERGY.name: (after - before) / steps}
