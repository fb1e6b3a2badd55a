"""One arm in its own process, as the measuring loop sees it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
from memory_profiler import memory_usage

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, begin
from keras_ab.bench.lab.loop.messages import kept
from keras_ab.bench.lab.record.records import Absent, Failure, MemoryCurve, Profile, Work
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.declare import Experiment
from keras_ab.bench.lab.words.metrics import (
    BUILD_TIME,
    FIRST_STEP_TIME,
    HOST_HIGH_WATER,
    PEAK_DEVICE_MEMORY,
    PEAK_HOST_MEMORY,
)
from keras_ab.bench.lab.words.steps import MemoryShare, Products
from keras_ab.bench.lab.worker import protocol
from keras_ab.bench.lab.worker.protocol import Answer, Request

MEMORY_INTERVAL_S = 0.005
"""How often memory-profiler looks at a worker's resident memory."""

BUILDING = 5
"""How many times an arm's limit it may take to build it and take its first step.

On a GPU that is where kernels are compiled and tried out, one after the other.
"""

TRAINING = 30
"""How many times an arm's limit one training may take: it is steps by the hundred or thousand."""

CURVE_STEPS = 2
"""Steps in which memory is watched: how it comes and goes, twice."""

PEAKS = 5
"""Steps of a process in which memory is counted; the peak of the last is what it tells.

The pool has been through all that a step asks by then.
"""


class ArmFailed(Exception):
    """An arm could not go on; carries the record that says why."""

    def __init__(self, record: Failure | Absent) -> None:
        super().__init__(record)
        self.record = record


def failed(trial: str, arm: str, stage: str, why: NoAnswer) -> ArmFailed:
    """Return the exception that takes an arm out of a trial, for want of an answer."""
    names: dict[str, Any] = {"trial": trial, "arm": arm, "refusal": why.refusal}
    if why.what == "not measured here":
        return ArmFailed(Absent(**names, reason=why.message))
    return ArmFailed(
        Failure(**names, stage=stage, what=why.what, message=why.message, traceback=why.traceback)
    )


class ArmProcess:
    """Asks a worker process about one arm; whatever goes wrong becomes `ArmFailed`.

    Args:
        worker: the process.
        arm: its name.
        task: the trial.
        experiment: as declared.
        rests: whether the process is stopped while nothing is asked of it. What an arm would do
            meanwhile, such as to load batches ahead, no sample of its own would count, and another
            arm's would be disturbed.
    """

    def __init__(
        self, worker: Worker, arm: str, task: Task, experiment: Experiment, rests: bool = False
    ) -> None:
        self.arm = arm
        self._rests = rests
        self.notes: dict[str, str] = {}
        self.on_gpu = False
        self._worker = worker
        self._task = task
        self._limit_s = experiment.arm(arm).time_limit_s
        backend = experiment.arm(arm).backend or task.backend
        self._names = protocol.ArmNames(task.file, task.experiment, arm, task.case, backend)

    def opening(
        self, layout: int, memory: MemoryShare | None, products: Products, counted: bool
    ) -> Callable[[], None]:
        """Begin to open the device; return what waits for it.

        Args:
            layout: seed of the memory layout.
            memory: the process's share of a GPU's memory.
            products: precision of float32 products on a GPU.
            counted: whether its memory is to be counted, whatever that costs in time.
        """
        seed, backend = self._task.plan.seed, self._names.backend
        asked = protocol.Open(backend, seed, layout, memory, products, counted)
        return self._begin("start", asked)

    def build(self) -> dict[str, float]:
        """Prepare the arm and keep its notes; return the metrics of building it."""
        built = self._begin("build", self._build(), BUILDING)()
        self.notes = {name: kept(note) for name, note in built.notes.items()}
        self.on_gpu = built.on_gpu
        times = {
            BUILD_TIME.name: built.build_time_s,
            FIRST_STEP_TIME.name: built.first_step_time_s,
        }
        return built.sizes | times

    def observing(self, path: Path) -> Callable[[], dict[str, np.ndarray]]:
        """Begin to prepare the arm; return what waits for what the guards compare.

        Args:
            path: a file (.npz) for it.
        """
        build = self._begin("build", self._build(str(path)), BUILDING)

        def observed() -> dict[str, np.ndarray]:
            build()
            try:
                return arrays_in(path)
            except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
                message = kept(f"what was observed cannot be read: {error}")
                raise self.failed("build", "raised", message) from error

        return observed

    def _build(self, observe_to: str | None = None) -> protocol.Build:
        return protocol.Build(self._names, self._task.plan.seed, observe_to)

    def calibrate(self) -> int:
        """Return how many steps last as long as a sample should."""
        return self._ask("calibration", protocol.Calibrate(self._task.plan.sample_time_s))

    def sample(self, steps: int, stage: str = "sampling", warm: bool = True) -> protocol.Sampled:
        """Time steps together, after some that are not timed where they are to be warm."""
        return self._ask(stage, protocol.Sample(steps, warm))

    def memory(self) -> dict[str, float]:
        """Run a step and return the peaks of memory in it, in bytes."""
        peaks = self._begin("memory", protocol.Memory())
        sampled = self._sampled_memory_bytes()
        found = peaks()
        told = {
            HOST_HIGH_WATER.name: found.host_high_water_bytes,
            PEAK_DEVICE_MEMORY.name: found.peak_device_memory_bytes,
            PEAK_HOST_MEMORY.name: sampled,
        }
        return {name: float(value) for name, value in told.items() if value is not None}

    def _sampled_memory_bytes(self) -> float | None:
        """Sample the worker's resident memory until it answers; return the largest seen."""
        peak, end = None, clock.now() + self._limit_s
        while clock.now() < end:
            try:
                mebibytes = memory_usage(
                    self._worker.pid, interval=MEMORY_INTERVAL_S, max_usage=True
                )
            except psutil.Error:
                break  # the process is gone: the answer that never comes says so
            peak = max(peak or 0.0, mebibytes * 2**20)
            if self._worker.answered(0):  # asked last: quick steps are looked at once all the same
                break
        return peak

    def watching(self) -> Callable[[], MemoryCurve]:
        """Begin to take a few steps, watched; return what waits for what was in use in them."""
        watched = self._begin("watching memory", protocol.WatchMemory(CURVE_STEPS))
        names: dict[str, Any] = {"trial": self._task.trial, "arm": self.arm}
        return lambda: MemoryCurve(**names, steps=CURVE_STEPS, **vars(watched()))

    def counting(self) -> Callable[[], int | None]:
        """Begin to prepare the arm; return what waits for the device's peak in a step."""
        build = self._begin("build", self._build(), BUILDING)

        def counted() -> int | None:
            build()
            looks = [self._ask("memory", protocol.Memory()) for _ in range(PEAKS)]
            return looks[-1].peak_device_memory_bytes

        return counted

    def work(self) -> Work | None:
        """Return what a step has to do, or why that is not known; None where the arm is silent."""
        names: dict[str, Any] = {"trial": self._task.trial, "arm": self.arm}
        try:
            found = self._woken(protocol.Work())()
        except NoAnswer as why:
            failed = self._failed("counting the work of a step", why)
            if why.what in ("timed out", "killed"):
                raise failed from why
            return Work(**names, flop={}, least_moved_bytes=None, reason=failed.record.said)
        return Work(**names, **vars(found)) if found else None

    def trace(self, folder: Path) -> None:
        """Begin a trace whose files go into a folder."""
        self._ask("tracing", protocol.Trace(str(folder)))

    def traced(self, steps: int, number: int, warm: bool) -> float:
        """Take some steps under the trace; return how many seconds they lasted together."""
        return self._ask("tracing", protocol.Traced(steps, number, warm))

    def profile(self, steps: int, paces: list[float], files: str) -> Profile:
        """End the trace; return where the time of a step went, and what is alive at its peak."""
        found = self._ask("reading the trace", protocol.EndTrace(steps, paces))
        return Profile(trial=self._task.trial, arm=self.arm, files=files, **vars(found))

    def imports(self) -> dict[str, str]:
        """Return the digest of each file of code that the arm's process has imported."""
        return self._ask("listing its code", protocol.Imports())

    def finish(self) -> None:
        """Make sure that what was stepped is still finite."""
        if not self._ask("end of block", protocol.Finish()):
            message = "NaN or infinity in what the last step returned, or in what was trained"
            raise self.failed("end of block", "not finite", message)

    def training(
        self, seed: int, learning_rate: float, *, tuning: bool
    ) -> Callable[[], dict[str, float | None]]:
        """Begin to train once for quality; return what waits for the outcomes by name.

        None stands for NaN.
        """
        asked = protocol.Train(self._names, seed, learning_rate, tuning)
        return self._begin("quality", asked, TRAINING)

    def _ask(self, stage: str, request: Request[Answer]) -> Answer:
        return self._begin(stage, request)()

    def _begin(self, stage: str, request: Request[Answer], limits: int = 1) -> Callable[[], Answer]:
        wait = self._woken(request, limits)

        def answer() -> Answer:
            try:
                return wait()
            except NoAnswer as why:
                raise self._failed(stage, why) from why

        return answer

    def _woken(self, request: Request[Answer], limits: int = 1) -> Callable[[], Answer]:
        """Hand a request to the process, woken where it rests; the answer lets it rest again."""
        if self._rests:
            self._worker.wake()
        wait = begin(self._worker, request, limits * self._limit_s)

        def answer() -> Answer:
            try:
                return wait()
            finally:
                if self._rests:
                    self._worker.rest()

        return answer

    def _failed(self, stage: str, why: NoAnswer) -> ArmFailed:
        return failed(self._task.trial, self.arm, stage, why)

    def failed(self, stage: str, what: Literal["raised", "not finite"], message: str) -> ArmFailed:
        """Return the exception that takes this arm out of the trial."""
        trial = self._task.trial
        return ArmFailed(
            Failure(trial=trial, arm=self.arm, stage=stage, what=what, message=message)
        )


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of numbers in a file (.npz) that an arm has written.

    Raises:
        OSError: it cannot be read.
        EOFError: it is empty.
        ValueError: one is of other things than numbers.
        BadZipFile: it is no such file.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise ValueError(f"{name} holds {array.dtype}, no numbers")
    return arrays
