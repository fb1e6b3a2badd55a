"""The one measuring loop: carries out a trial and yields its records as they come."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab.judge.contrasts import block_contrasts
from keras_ab.bench.lab.judge.estimate import blocks_needed
from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess
from keras_ab.bench.lab.loop.arms import Arms, returned
from keras_ab.bench.lab.loop.asking import NoAnswer, Workers
from keras_ab.bench.lab.loop.attempts import attempting, not_attempted
from keras_ab.bench.lab.loop.blocks import Blocks
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.guards import checks
from keras_ab.bench.lab.loop.profiling import profiled
from keras_ab.bench.lab.loop.quality import learn
from keras_ab.bench.lab.loop.schedule import groups
from keras_ab.bench.lab.record.imported import abridged, changed, imported
from keras_ab.bench.lab.record.records import (
    Absent,
    Attempted,
    End,
    Failure,
    MemoryCurve,
    Profile,
    Round,
    TrialLine,
)
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import Attempt, Case, Experiment, Quality
from keras_ab.bench.lab.words.errors import DeclarationError, LabError, RecordError
from keras_ab.bench.lab.words.metrics import STEP_TIME

PROCESSES = 5
"""In which memory is counted, where those that are timed do not count: what a verdict needs."""


def measure_trial(
    task: Task,
    workers: Workers,
    previous: Iterable[TrialLine] = (),
    gauges: Gauges | None = None,
    traces: Path = Path("traces"),
    device: Device | None = None,
) -> Iterator[TrialLine]:
    """Carry out one trial and yield its records.

    Args:
        task: which trial.
        workers: where fresh processes come from.
        previous: records of the same trial from a run that was cut off; the trial goes on after
            its last finished block.
        gauges: clock, load and GPU state; the machine's own where none are given.
        traces: folder for the traces of arms, where the plan asks for them.
        device: what the workers compute on; whatever they find where it is not given.

    Yields:
        Records, as they come; a record that was yielded is measured.
    """
    experiment = load_experiment(task.file, task.experiment)
    case = experiment.case(task.case)
    device = device or Device(untouched=True)
    arms = Arms(task, experiment, workers, device.share)
    loop = _Loop(task, experiment, case, arms, gauges or Gauges.of(device), traces)
    yield from loop.lines(list(previous))


class _Loop:
    """The state of one trial under way."""

    def __init__(
        self,
        task: Task,
        experiment: Experiment,
        case: Case,
        arms: Arms,
        gauges: Gauges,
        traces: Path,
    ) -> None:
        self.task = task
        self.plan = task.plan
        self.experiment = experiment
        self.quality = experiment.quality_of(case)
        self.gauges = gauges
        self.traces = traces
        self.data = TrialData(declaration(task, experiment, case))
        self.arms = arms
        self.blocks = Blocks(self.data, task.plan, self.arms, gauges)
        self.started = gauges.now()

    def lines(self, previous: list[TrialLine]) -> Iterator[TrialLine]:
        """Yield what is measured after what has been."""
        for line in previous:
            self.data.add(line)
            self.arms.recall(line)
            if isinstance(line, Round):
                self.blocks.steps = line.steps
        if self.data.end:
            return
        if not previous:
            yield self.data.declared
        for line in self._measure():
            self.data.add(line)
            yield line

    def _measure(self) -> Iterator[TrialLine]:
        if self.task.backend not in self.experiment.backends:
            supported = ", ".join(self.experiment.backends)
            reason = f"runs on {supported}; this run uses {self.task.backend}"
            yield Absent(trial=self.task.trial, arm=None, reason=reason)
            yield End(trial=self.task.trial, reason="absent")
            return
        if any(self.data.imported.values()) and (self.data.rounds or self.data.attempts):
            self._check_code()
        if not self.data.rounds:
            yield from self._rehearse()
            yield from self._attempt()
        reason = self._why_stop()
        while not reason:
            yield from self.blocks.measure(1 + max(self.data.rounds, default=-1))
            reason = self._why_stop()
        if reason in ("precise", "budget", "max_blocks"):
            yield from self._after(self.quality)
        yield End(trial=self.task.trial, reason=reason, blocks_wanted=self._blocks_wanted())

    # -- stopping: looks at the width that was asked for and at the clock, never at the result ----

    def _why_stop(self) -> Any:
        """Return why no further block follows, or None."""
        done = len(self.data.blocks)
        if self.data.broken:
            return "guard"
        if not self.arms.comparable:
            return "failed" if self.data.failures else "absent"
        if any(failure.arm is None for failure in self.data.failures):
            return "failed"
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
        active = self.arms.active[1:]
        contrasts = [block_contrasts(self.data, metric, arm)[:stage] for arm in active]
        full = [values for values in contrasts if len(values) == stage]
        if not full:
            return None
        return max(blocks_needed(values, width, self.plan.confidence) for values in full)

    # -- rehearsal: do the arms run, and do they do the same work ---------------------------------

    def _rehearse(self) -> Iterator[TrialLine]:
        """Hold the arms against each other, in processes that multiply float32 as it is.

        In TensorFloat-32 the same model gives losses and gradients that differ by the kernels that
        each process happened to choose: by more than guards of 1e-5 and 1e-4 allow. Nothing is
        timed here, so it is here that how memory comes and goes is watched, by an allocator that
        counts.
        """
        observed: dict[str, dict[str, np.ndarray]] = {}
        code: dict[str, dict[str, str]] = {}
        self.arms.import_side_by_side()
        for arms in groups(self.arms.active, self.gauges.cores):
            with ExitStack() as stack:
                under_way = yield from self.arms.observing(stack, arms)
                watched: dict[ArmProcess, Callable[[], MemoryCurve]] = {}
                for process, seen in under_way.items():
                    try:
                        observed[process.arm] = seen()
                        code[process.arm] = process.imports()
                        if self.experiment.timed:
                            watched[process] = process.watching()
                    except ArmFailed as failed:
                        yield self.arms.drop(failed)
                for process, curve in watched.items():
                    try:
                        yield curve()
                        process.finish()
                    except ArmFailed as failed:
                        yield self.arms.drop(failed)
        yield from imported(self.task.trial, code)
        if self.arms.baseline in observed:
            ordered = {arm: observed[arm] for arm in self.arms.active if arm in observed}
            reference = observed[self.arms.baseline]
            try:
                yield from checks(self.experiment.guards, self.task.trial, ordered, reference)
            except DeclarationError as error:
                yield self._misdeclared(error)

    def _check_code(self) -> None:
        """Refuse to go on with other code than that of what has been measured."""
        files = changed(self.data.imported, self.arms.code(self.gauges.cores))
        if files:
            raise RecordError(
                "what is measured of a trial is of the same code",
                f"{self.task.trial}: {abridged(files)} changed since it began",
                "restore what it was, or start a new run without --ab-resume",
            )

    def _misdeclared(self, error: DeclarationError) -> Failure:
        """Return that no arm is to blame: what is declared does not fit what they show."""
        return Failure(
            trial=self.task.trial,
            arm=None,
            stage="guards",
            what="raised",
            message=str(error),
            refusal=error.refusal,
        )

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
        arm = attempt.arm or self.arms.baseline
        task = replace(self.task, backend=self.arms.backend(arm))
        try:
            worker = self.arms.worker(stack, arm)
        except LabError as error:
            return partial(not_attempted, attempt, task, NoAnswer.of(error))
        return attempting(worker, attempt, task)

    # -- after the blocks -------------------------------------------------------------------------

    def _after(self, quality: Quality | None) -> Iterator[TrialLine]:
        """Do what is left where the blocks are done, each unless it has been."""
        yield from self._count()
        if quality:
            yield from self._learn(quality)
        if self.plan.profile:
            yield from self._profile()

    def _count(self) -> Iterator[TrialLine]:
        """Count peaks in as many processes as a verdict needs, where the timed ones do not.

        An arm of which that fails stays in the trial: its measurement is done.
        """
        uncounted = [arm for arm in self.arms.active if self.data.uncounted(arm)]
        for arms in groups(uncounted, self.gauges.cores):
            peaks: dict[str, list[int]] = {arm: [] for arm in arms}
            for _ in range(PROCESSES):
                found = self._peaks(list(peaks))
                peaks = {arm: [*peaks[arm], peak] for arm, peak in found.items()}
            for arm, counted in peaks.items():
                more = {"peak_device_bytes_elsewhere": counted}
                yield self.data.curves[arm].model_copy(update=more)

    def _peaks(self, arms: list[str]) -> dict[str, int]:
        """Return the peak of a step in a fresh process of each arm that can be counted."""
        found: dict[str, int] = {}
        with ExitStack() as stack:
            starting = self.arms.started(stack, arms, unfit=lambda f: f.record, counted=True)
            under_way = {arm: process.counting() for arm, process in returned(starting).items()}
            for arm, counted in under_way.items():
                with suppress(ArmFailed):
                    if (peak := counted()) is not None:
                        found[arm] = peak
        return found

    def _profile(self) -> Iterator[TrialLine]:
        """Trace the arms in fresh processes.

        One that cannot be traced says why, and stays in the trial: its measurement is done.
        """
        rng = random.Random(f"{self.plan.seed}/{self.task.trial}/profile")
        folder = self.traces / re.sub(r"[^A-Za-z0-9.=_-]+", "_", self.task.trial)
        with ExitStack() as stack:
            arms = [arm for arm in self.arms.active if arm not in self.data.profiles]
            processes = yield from self.arms.started(
                stack, arms, rng, self._not_traced, counted=True
            )
            time_s = self.plan.profile_time_s
            for line in profiled(
                processes, self.blocks.steps, self.blocks.warm, time_s, folder, rng
            ):
                yield self._not_traced(line) if isinstance(line, ArmFailed) else line

    def _not_traced(self, failed: ArmFailed) -> Profile:
        arm, reason = str(failed.record.arm), failed.record.said
        return Profile(trial=self.task.trial, arm=arm, files="", step=None, reason=reason)

    def _learn(self, quality: Quality) -> Iterator[TrialLine]:
        """Train the arms, unless they have been; what was cut off in the middle is done anew."""
        judged = {line.seed for line in self.data.learned if line.purpose == "judged"}
        if judged >= set(quality.seeds):
            return
        with ExitStack() as stack:
            trained = [a for a in self.arms.active if a in (quality.arms or self.arms.active)]
            pupils = yield from self.arms.started(stack, trained)
            for line in learn(quality, self.task.trial, pupils, self.gauges.cores):
                yield self.arms.drop(line) if isinstance(line, ArmFailed) else line
            yield from self._imported_since(pupils.values())

    def _imported_since(self, processes: Iterable[ArmProcess]) -> Iterator[TrialLine]:
        """Yield what code some arms have imported beside that of their rehearsal."""
        known = self.data.imported
        code = yield from self.arms.listed(processes, known, "training")
        more = {arm: files for arm, files in code.items() if files != known.get(arm)}
        yield from imported(self.task.trial, more)
