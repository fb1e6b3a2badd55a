"""The one measuring loop: carries out a trial and yields its records as they come."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from keras_ab.bench.lab.judge.contrasts import block_contrasts
from keras_ab.bench.lab.judge.estimate import blocks_needed
from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess, Worker, Workers
from keras_ab.bench.lab.loop.attempts import attempting, not_attempted
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.gpu import worst_gpu_state
from keras_ab.bench.lab.loop.guards import checks
from keras_ab.bench.lab.loop.profiling import profiled
from keras_ab.bench.lab.loop.quality import learn
from keras_ab.bench.lab.loop.schedule import balanced_orders, groups
from keras_ab.bench.lab.record.records import (
    Absent,
    Attempted,
    Block,
    End,
    Failure,
    Profile,
    Round,
    TrialLine,
)
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import CONTROL, Attempt, Case, Experiment, Quality
from keras_ab.bench.lab.words.errors import LabError, NotMeasuredHere
from keras_ab.bench.lab.words.metrics import STEP_ENERGY, STEP_TIME

FEWEST_ROUNDS = 3
"""What a block has even where each step takes seconds."""

ENERGY_S = 1.0
"""How long an arm runs while its energy is counted.

A GPU's counter moves every 20 to 100 ms, on some after looking at the power only part of the time.

Source: Z. Yang, K. Adamek, W. Armour, Part-time Power Measurements: nvidia-smi's Lack of Attention,
2023, https://arxiv.org/abs/2312.02741.
"""


def run_trial(
    task: Task,
    workers: Workers,
    previous: Iterable[TrialLine] = (),
    gauges: Gauges | None = None,
    traces: Path = Path("traces"),
) -> Iterator[TrialLine]:
    """Carry out one trial and yield its records.

    Args:
        task: which trial.
        workers: where fresh processes come from.
        previous: records of the same trial from a run that was cut off; the trial goes on after
            its last finished block.
        gauges: clock, load and GPU state.
        traces: folder for the traces of arms, where the plan asks for them.

    Yields:
        Records, as they come; a record that was yielded is measured.
    """
    experiment = load_experiment(task.file, task.experiment)
    case = experiment.case(task.case)
    loop = _Loop(task, experiment, case, workers, gauges or Gauges(), traces)
    yield from loop.run(list(previous))


class _Loop:
    """The state of one trial under way."""

    def __init__(
        self,
        task: Task,
        experiment: Experiment,
        case: Case,
        workers: Workers,
        gauges: Gauges,
        traces: Path,
    ) -> None:
        self.task = task
        self.plan = task.plan
        self.experiment = experiment
        self.quality = experiment.quality_of(case)
        self.workers = workers
        self.gauges = gauges
        self.traces = traces
        self.data = TrialData(declaration(task, experiment, case))
        self.active = [arm.name for arm in experiment.arms]
        self.steps = 1
        self.started = gauges.now()

    def run(self, previous: list[TrialLine]) -> Iterator[TrialLine]:
        for line in previous:
            self._recall(line)
        if self.data.end:
            return
        if not previous:
            yield self.data.declared
        for line in self._measure():
            self.data.add(line)
            yield line

    def _recall(self, line: TrialLine) -> None:
        self.data.add(line)
        if isinstance(line, Failure | Absent) and line.arm in self.active:
            self.active.remove(line.arm)
        if isinstance(line, Round):
            self.steps = line.steps

    def _measure(self) -> Iterator[TrialLine]:
        if self.task.backend not in self.experiment.backends:
            supported = ", ".join(self.experiment.backends)
            reason = f"runs on {supported}; this run uses {self.task.backend}"
            yield Absent(trial=self.task.trial, arm=None, reason=reason)
            yield End(trial=self.task.trial, reason="absent")
            return
        if not self.data.rounds:
            yield from self._rehearse()
            yield from self._attempt()
        reason = self._why_stop()
        while not reason:
            yield from self._block(1 + max(self.data.rounds, default=-1))
            reason = self._why_stop()
        if self.quality and reason in ("precise", "budget", "max_blocks"):
            yield from self._learn(self.quality)
        if self.plan.profile and reason in ("precise", "budget", "max_blocks"):
            yield from self._profile()
        yield End(trial=self.task.trial, reason=reason, blocks_wanted=self._blocks_wanted())

    # -- stopping: looks at the width that was asked for and at the clock, never at the result ----

    def _why_stop(self) -> Any:
        """Return why no further block follows, or None."""
        done = len(self.data.blocks)
        if self.data.broken:
            return "guard"
        if self.experiment.baseline.name not in self.active or len(self.active) < 2:
            return "failed" if self.data.failures else "absent"
        if not self.experiment.timed:
            return "not timed"
        if done < self.plan.min_blocks:
            return None
        if done >= (self._blocks_wanted() or 0):
            return "precise"
        if done >= self.plan.max_blocks:
            return "max_blocks"
        return "budget" if self.gauges.now() - self.started > self.plan.budget_s else None

    def _blocks_wanted(self) -> int | None:
        """Return Stein's number of blocks for the noisiest arm, once the first stage is done."""
        stage = self.plan.min_blocks
        metric = self.data.metric(STEP_TIME.name)
        width = float(np.log1p(self.plan.precision))
        contrasts = [block_contrasts(self.data, metric, arm)[:stage] for arm in self.active[1:]]
        full = [values for values in contrasts if len(values) == stage]
        if not full:
            return None
        return max(blocks_needed(values, width, self.plan.confidence) for values in full)

    # -- processes --------------------------------------------------------------------------------

    def _started(
        self,
        stack: ExitStack,
        arms: Iterable[str],
        rng: random.Random | None = None,
        unfit: Callable[[ArmFailed], TrialLine] | None = None,
    ) -> Generator[TrialLine, None, dict[str, ArmProcess]]:
        """Start a process for each arm, its device open; they end with the stack.

        Devices are opened side by side: that is not timed, and takes a tenth of a second or more.
        Where a process is to be timed, `rng` draws its memory layout. Yields `unfit` of those that
        cannot be started, and drops them where that is not given.
        """
        rng, unfit = rng or random.Random(0), unfit or self._drop
        opening = {}
        for arm in list(arms):
            try:
                process = self._start(stack, arm)
                opening[arm] = process, process.opening(layout=rng.getrandbits(32))
            except ArmFailed as failed:
                yield unfit(failed)
        started = {}
        for arm, (process, opened) in opening.items():
            try:
                opened()
                started[arm] = process
            except ArmFailed as failed:
                yield unfit(failed)
        return started

    def _start(self, stack: ExitStack, arm: str) -> ArmProcess:
        try:
            worker = self._worker(stack, arm)
        except LabError as error:
            raise ArmFailed(self._not_started(arm, error)) from error
        return ArmProcess(worker, arm, self.task, self.experiment)

    def _warmed_up(self, process: ArmProcess) -> tuple[dict[str, float], float]:
        """Build an arm in its process, and take one sample that does not count.

        Returns the metrics of building, and how long the sample lasted in seconds.
        """
        built = process.build()
        return built, process.sample(self.steps, "warm-up")["duration_s"]

    def _worker(self, stack: ExitStack, arm: str) -> Worker:
        """Start a process for an arm; it ends with the stack."""
        worker = self._source(arm).start()
        stack.callback(worker.stop)
        return worker

    def _source(self, arm: str) -> Workers:
        """Return where processes of the arm's backend and environment come from."""
        declared = self.experiment.arm(arm)
        backend = declared.backend or self.task.backend
        if declared.environment or backend != self.task.backend:
            return self.workers.other(backend, declared.environment)
        return self.workers

    def _not_started(self, arm: str, error: LabError) -> Failure | Absent:
        if isinstance(error, NotMeasuredHere):
            return Absent(trial=self.task.trial, arm=arm, reason=str(error))
        return Failure(
            trial=self.task.trial, arm=arm, stage="start", what="raised", message=str(error)
        )

    def _drop(self, failed: ArmFailed) -> TrialLine:
        """Take a failed arm out of the trial; the control's failure is the baseline's."""
        record = failed.record
        if record.arm == CONTROL:
            record = record.model_copy(update={"arm": self.experiment.baseline.name})
        if record.arm in self.active:
            self.active.remove(record.arm)
        return record

    # -- rehearsal: do the arms run, do they do the same work, how many steps make a sample --------

    def _rehearse(self) -> Iterator[TrialLine]:
        observed: dict[str, dict[str, np.ndarray]] = {}
        baseline = self.experiment.baseline.name
        for arm in self.active:
            self._source(arm)  # what runs elsewhere is imported side by side
        for arms in groups(self.active, self.gauges.cores):
            with ExitStack() as stack:
                folder = Path(stack.enter_context(TemporaryDirectory()))
                processes = yield from self._started(stack, arms)
                under_way = {
                    arm: process.observing(folder / f"{number}.npz")
                    for number, (arm, process) in enumerate(processes.items())
                }
                for arm in reversed(under_way):  # the baseline last: it is calibrated alone
                    try:
                        observed[arm] = under_way[arm]()
                        if arm == baseline and self.experiment.timed:
                            self.steps = processes[arm].calibrate()
                    except ArmFailed as failed:
                        yield self._drop(failed)
        if baseline in observed:
            ordered = {arm: observed[arm] for arm in self.active if arm in observed}
            guards = self.experiment.guards
            yield from checks(guards, self.task.trial, ordered, observed[baseline])

    def _attempt(self) -> Iterator[TrialLine]:
        """Try what is to be tried, each in a process of its own, unless it has been."""
        made = {(line.arm, line.name) for line in self.data.attempts}
        left = [a for a in self.experiment.attempts if (a.arm, a.name) not in made]
        for attempts in groups(left, self.gauges.cores):
            with ExitStack() as stack:
                under_way = [self._attempting(stack, attempt) for attempt in attempts]
                for attempted in under_way:
                    yield attempted()

    def _attempting(self, stack: ExitStack, attempt: Attempt) -> Callable[[], Attempted]:
        arm = attempt.arm or self.experiment.baseline.name
        try:
            worker = self._worker(stack, arm)
        except LabError as error:
            return partial(not_attempted, attempt, self.task, error)
        backend = self.experiment.arm(arm).backend or self.task.backend
        return attempting(worker, attempt, replace(self.task, backend=backend))

    # -- blocks -----------------------------------------------------------------------------------

    def _block(self, number: int) -> Iterator[TrialLine]:
        rng = random.Random(f"{self.plan.seed}/{self.task.trial}/{number}")
        with ExitStack() as stack:
            bench: dict[str, ArmProcess] = {}
            values: dict[str, dict[str, float]] = {}
            warm_up_s = 0.0
            order = rng.sample([*self.active, CONTROL], len(self.active) + 1)
            processes = yield from self._started(stack, order, rng)
            for arm, process in processes.items():
                try:
                    values[arm], lasts_s = self._warmed_up(process)
                    warm_up_s += lasts_s
                    bench[arm] = process
                except ArmFailed as failed:
                    yield self._drop(failed)
            rounds = self._affordable(warm_up_s / max(len(bench), 1))
            yield from self._rounds(number, rounds, bench, rng)
            yield from self._finish(bench, values)
            if self.experiment.baseline.name in self.active:
                kept = {arm: values[arm] for arm in bench}
                notes = {arm: process.notes for arm, process in bench.items() if process.notes}
                yield Block(trial=self.task.trial, block=number, values=kept, notes=notes)

    def _affordable(self, sample_s: float) -> int:
        """Return how many rounds a block has, given how long a sample takes on the average.

        Where one step is far longer than a sample should be, fewer rounds are as telling: what a
        block is then short of is processes.
        """
        planned_s = 2 * self.plan.rounds * self.plan.sample_time_s
        few = min(FEWEST_ROUNDS, self.plan.rounds)
        return max(few, min(self.plan.rounds, int(planned_s / max(sample_s, 1e-9))))

    def _rounds(
        self, block: int, rounds: int, bench: dict[str, ArmProcess], rng: random.Random
    ) -> Iterator[TrialLine]:
        orders = balanced_orders(sorted(bench), rng)
        for number in range(rounds):
            if self.experiment.baseline.name not in self.active:
                return
            order = [arm for arm in next(orders) if arm in bench]
            yield from self._round(block, number, order, bench)

    def _round(
        self, block: int, number: int, order: list[str], bench: dict[str, ArmProcess]
    ) -> Iterator[TrialLine]:
        times: dict[str, float] = {}
        gpu_states: list[dict[str, Any]] = []
        own_cpu_s = 0.0
        self.gauges.load.begin()
        for arm in order:
            try:
                answer = bench[arm].sample(self.steps)
            except ArmFailed as failed:
                del bench[arm]
                yield self._drop(failed)
                continue
            times[arm] = answer["duration_s"] / self.steps
            own_cpu_s += answer["cpu_s"]
            gpu_states += self.gauges.gpu_states()
        if times:
            yield Round(
                trial=self.task.trial,
                block=block,
                round=number,
                order=list(times),
                steps=self.steps,
                step_time_s=times,
                others_cpu=self.gauges.load.others(own_cpu_s),
                gpu=worst_gpu_state(gpu_states),
            )

    def _finish(
        self, bench: dict[str, ArmProcess], values: dict[str, dict[str, float]]
    ) -> Iterator[TrialLine]:
        """Measure energy and memory in each process; make sure that its numbers are still finite.

        What a step has to do, and how memory comes and goes, is the same in every block: it is
        looked at in the first.
        """
        for arm, process in list(bench.items()):
            try:
                values[arm] |= self._energy(process)
                values[arm] |= process.memory()
                if arm != CONTROL and arm not in self.data.curves:
                    yield process.memory_curve()
                    yield from filter(None, [process.work()] if self.plan.ceilings else [])
                process.finish()
            except ArmFailed as failed:
                del bench[arm]
                yield self._drop(failed)

    def _energy(self, process: ArmProcess) -> dict[str, float]:
        """Return the joules of a step, counted while the GPU is warm; nothing without a counter."""
        if self.gauges.energy_j() is None:
            return {}
        steps = self.steps * math.ceil(ENERGY_S / self.plan.sample_time_s)
        process.sample(self.steps, "energy")
        before = self.gauges.energy_j()
        process.sample(steps, "energy")
        after = self.gauges.energy_j()
        if before is None or after is None or after <= before:  # the counter was reset
            return {}
        return {STEP_ENERGY.name: (after - before) / steps}

    def _profile(self) -> Iterator[TrialLine]:
        """Trace the arms in fresh processes.

        One that cannot be traced says why, and stays in the trial: its measurement is done.
        """
        rng = random.Random(f"{self.plan.seed}/{self.task.trial}/profile")
        folder = self.traces / re.sub(r"[^A-Za-z0-9.=_-]+", "_", self.task.trial)
        with ExitStack() as stack:
            arms = [arm for arm in self.active if arm not in self.data.profiles]
            bench = yield from self._started(stack, arms, rng, self._not_traced)
            for line in profiled(bench, self.steps, self.plan.profile_time_s, folder, rng):
                yield self._not_traced(line) if isinstance(line, ArmFailed) else line

    def _not_traced(self, failed: ArmFailed) -> Profile:
        record = failed.record
        reason = record.reason if isinstance(record, Absent) else record.message
        arm = str(record.arm)
        return Profile(trial=self.task.trial, arm=arm, files="", step=None, reason=reason)

    def _learn(self, quality: Quality) -> Iterator[TrialLine]:
        with ExitStack() as stack:
            pupils = yield from self._started(stack, self.active)
            for line in learn(quality, self.task.trial, pupils, self.gauges.cores):
                yield self._drop(line) if isinstance(line, ArmFailed) else line
