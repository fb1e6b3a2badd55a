"""The arms of one trial: which are still in it, and fresh processes for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess, failed
from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, Workers
from keras_ab.bench.lab.loop.schedule import groups
from keras_ab.bench.lab.record.imported import abridged, changed
from keras_ab.bench.lab.record.records import Absent, Failure, TrialLine
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.declare import CONTROL, Experiment
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.steps import MemoryShare, Products

Returned = TypeVar("Returned")

Observing = dict[ArmProcess, Callable[[], dict[str, np.ndarray]]]
"""Processes in which arms are being prepared, each with what waits for what the guards compare."""


def returned(steps: Generator[Any, None, Returned]) -> Returned:
    """Carry out a generator for what it returns; what it yields is left out."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class Arms:
    """The arms of one trial; those that fail are taken out.

    Args:
        task: the trial.
        experiment: as declared.
        workers: where processes come from.
        share: of a GPU's memory, for one of so many processes that are alive together.
    """

    def __init__(
        self,
        task: Task,
        experiment: Experiment,
        workers: Workers,
        share: Callable[[int], MemoryShare | None] = lambda _: None,
    ) -> None:
        self.baseline = experiment.baseline.name
        self.active = [arm.name for arm in experiment.arms]
        self._task = task
        self._experiment = experiment
        self._workers = workers
        self._memory = share(len(experiment.arms) + 1)  # the baseline is there twice

    @property
    def folder(self) -> str | None:
        """Where the trial's temporary files go: they end with the workers."""
        return self._workers.folder

    @property
    def comparable(self) -> bool:
        """Whether the baseline is left, and something to hold against it."""
        return self.baseline in self.active and len(self.active) > 1

    def drop(self, failed: ArmFailed) -> TrialLine:
        """Take a failed arm out of the trial; the control's failure is the baseline's."""
        record = failed.record
        if record.arm == CONTROL:
            record = record.model_copy(update={"arm": self.baseline})
        self.recall(record)
        return record

    def recall(self, line: TrialLine) -> None:
        """Leave out an arm of which a record says that it failed."""
        if isinstance(line, Failure | Absent) and line.arm in self.active:
            self.active.remove(line.arm)

    def started(
        self,
        stack: ExitStack,
        arms: Iterable[str],
        rng: random.Random | None = None,
        unfit: Callable[[ArmFailed], TrialLine] | None = None,
        products: Products = "tf32",
        counted: bool = False,
    ) -> Generator[TrialLine, None, dict[str, ArmProcess]]:
        """Start a process for each arm, its device open; they end with the stack.

        Devices are opened side by side: that is not timed, and takes a tenth of a second or more.
        Where a process is to be timed, `rng` draws its memory layout, and it rests while others are
        asked. Yields `unfit` of those that cannot be started, and drops them where that is not
        given. `products` is the precision of float32 products on a GPU; what is timed has the
        frameworks' own choice, on each of them, and their own allocator: one that counts
        (`counted`) may have another price.
        """
        timed, rng, unfit = rng is not None, rng or random.Random(0), unfit or self.drop
        opening = {}
        for arm in list(arms):
            try:
                process = self._start(stack, arm, timed)
                layout = rng.getrandbits(32)
                opened = process.opening(layout, self._memory, products, counted)
                opening[arm] = process, opened
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

    def observing(
        self,
        stack: ExitStack,
        arms: Iterable[str],
        unfit: Callable[[ArmFailed], TrialLine] | None = None,
    ) -> Generator[TrialLine, None, Observing]:
        """Begin to prepare arms side by side, for their guards; see `started`."""
        folder = Path(stack.enter_context(TemporaryDirectory(dir=self.folder)))
        processes = yield from self.started(stack, arms, None, unfit, "float32", counted=True)
        return {
            process: process.observing(folder / f"{number}.npz")
            for number, process in enumerate(processes.values())
        }

    def code(self, cores: int) -> dict[str, dict[str, str]]:
        """Return the digests of what code each arm imports, by file, in fresh processes.

        An arm that cannot be prepared tells none, and stays in the trial.
        """
        found: dict[str, dict[str, str]] = {}
        self.import_side_by_side()
        for arms in groups(self.active, cores):
            with ExitStack() as stack:
                for process, seen in returned(self.observing(stack, arms, _record_of)).items():
                    with suppress(ArmFailed):
                        seen()
                        found[process.arm] = process.imports()
        return found

    def listed(
        self,
        processes: Iterable[ArmProcess],
        known: Mapping[str, Mapping[str, str]],
        stage: str,
    ) -> Generator[TrialLine, None, dict[str, dict[str, str]]]:
        """Return the digests of what code processes have imported, by arm and file.

        Where a file is not what it was when the arm was rehearsed, the whole trial fails: an editor
        that saves while blocks are measured would have some of the old code and some of the new.
        """
        found: dict[str, dict[str, str]] = {}
        for process in processes:
            try:
                found[process.arm] = process.imports()
            except ArmFailed as failed:
                yield self.drop(failed)
        if files := changed(known, found):
            yield Failure(
                trial=self._task.trial,
                arm=None,
                stage=stage,
                what="code changed",
                message=abridged(files),
            )
        return found

    def import_side_by_side(self) -> None:
        """Let what runs elsewhere begin to import; where it cannot, its arm's start says why."""
        for arm in self.active:
            with suppress(LabError):
                self.source(arm)

    def _start(self, stack: ExitStack, arm: str, timed: bool) -> ArmProcess:
        try:
            worker = self.worker(stack, arm)
        except LabError as error:
            why = NoAnswer.of(error)
            raise failed(self._task.trial, arm, "start", why) from error
        return ArmProcess(worker, arm, self._task, self._experiment, rests=timed)

    def worker(self, stack: ExitStack, arm: str) -> Worker:
        """Start a process in an arm's backend and environment; it ends with the stack."""
        worker = self.source(arm).start()
        stack.callback(worker.stop)
        return worker

    def source(self, arm: str) -> Workers:
        """Return where processes of the arm's backend and environment come from."""
        environment, backend = self._experiment.arm(arm).environment, self.backend(arm)
        if environment or backend != self._task.backend:
            return self._workers.other(backend, environment)
        return self._workers

    def backend(self, arm: str) -> str:
        """Return the backend of an arm's processes."""
        return self._experiment.arm(arm).backend or self._task.backend


def _record_of(failed: ArmFailed) -> TrialLine:
    return failed.record
