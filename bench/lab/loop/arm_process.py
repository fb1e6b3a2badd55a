"""One arm in its own process, as the measuring loop sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from memory_profiler import memory_usage

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.forkserver import WorkerLost, WorkerTimeout
from keras_ab.bench.lab.record.records import Absent, Failure, MemoryCurve, Profile, Work
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.declare import Experiment

MEMORY_INTERVAL_S = 0.005
"""How often memory-profiler looks at a worker's resident memory."""

CURVE_STEPS = 2
"""Steps in which memory is watched: how it comes and goes, twice."""


Outcomes = dict[str, float | None]
"""What a training came to, by name; None for NaN."""


class Worker(Protocol):
    """A fresh process that answers requests; see `WorkerProcess`."""

    pid: int

    def send(self, request: dict[str, Any]) -> None:
        """Hand over a request."""

    def answered(self, timeout_s: float) -> bool:
        """Wait for the answer to arrive."""

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the answer."""

    def output(self) -> str:
        """Return the end of what the process printed."""

    def stop(self) -> int:
        """End the process."""


class Workers(Protocol):
    """Where fresh processes come from; see `ForkServer`."""

    def start(self) -> Worker:
        """Start a fresh process."""

    def other(self, backend: str, environment: Mapping[str, str]) -> Workers:
        """Return where processes of another backend or environment come from."""


class ArmFailed(Exception):
    """An arm could not go on; carries the record that says why."""

    def __init__(self, record: Failure | Absent) -> None:
        super().__init__(record)
        self.record = record


class ArmProcess:
    """Asks a worker process about one arm; whatever goes wrong becomes `ArmFailed`."""

    def __init__(self, worker: Worker, arm: str, task: Task, experiment: Experiment) -> None:
        self.arm = arm
        self.notes: dict[str, str] = {}
        self._worker = worker
        self._task = task
        self._limit_s = experiment.arm(arm).time_limit_s
        self._names = {
            "file": task.file,
            "experiment": task.experiment,
            "arm": arm,
            "case": task.case,
            "backend": experiment.arm(arm).backend or task.backend,
        }

    def opening(self, layout: int) -> Callable[[], Any]:
        """Begin to open the device, in the memory layout of that seed; return what waits for it."""
        backend, seed = self._names["backend"], self._task.plan.seed
        self._worker.send({"do": "open", "backend": backend, "seed": seed, "layout": layout})
        return partial(self._reply, "start")

    def build(self) -> dict[str, float]:
        """Prepare the arm and keep its notes; return the metrics of building it."""
        built = self._ask("build", self._build_request())
        self.notes = built.pop("notes")
        return built.pop("sizes") | built

    def observing(self, path: Path) -> Callable[[], dict[str, np.ndarray]]:
        """Begin to prepare the arm; return what waits for what the guards compare.

        Args:
            path: a file (.npz) for it.
        """
        self._worker.send(self._build_request() | {"observe_to": str(path)})

        def observed() -> dict[str, np.ndarray]:
            self._reply("build")
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}

        return observed

    def _build_request(self) -> dict[str, Any]:
        return self._names | {"do": "build", "seed": self._task.plan.seed}

    def calibrate(self) -> int:
        """Return how many steps last as long as a sample should."""
        wanted = self._task.plan.sample_time_s
        return self._ask("calibration", {"do": "calibrate", "sample_time_s": wanted})["steps"]

    def sample(self, steps: int, stage: str = "sampling") -> dict[str, float]:
        """Time steps together; return ``duration_s`` and ``cpu_s``."""
        return self._ask(stage, {"do": "sample", "steps": steps})

    def memory(self) -> dict[str, float]:
        """Run a step and return the peaks of memory in it, in bytes."""
        self._worker.send({"do": "memory"})
        sampled = self._sampled_memory_bytes()
        peaks = self._reply("memory")
        return peaks | ({} if sampled is None else {"peak_host_memory_bytes": sampled})

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

    def memory_curve(self) -> MemoryCurve:
        """Run a few steps, watched; return what was in use all the while."""
        steps = CURVE_STEPS
        found = self._ask("watching memory", {"do": "memory_curve", "steps": steps})
        return MemoryCurve(trial=self._task.trial, arm=self.arm, steps=steps, **found)

    def work(self) -> Work | None:
        """Return what a step has to do, or why that is not known; None where the arm is silent."""
        names: dict[str, Any] = {"trial": self._task.trial, "arm": self.arm}
        self._worker.send({"do": "work"})
        answer = self._answer("counting the work of a step")
        if found := answer.get("result"):
            return Work(**names, **found)
        reason = answer.get("absent") or answer.get("error")
        return Work(**names, flop={}, least_moved_bytes=None, reason=reason) if reason else None

    def trace(self, folder: Path) -> None:
        """Begin a trace whose files go into a folder."""
        self._ask("tracing", {"do": "trace", "folder": str(folder)})

    def traced(self, steps: int, number: int) -> float:
        """Take some steps under the trace; return how many seconds they lasted together."""
        asked = {"do": "traced", "steps": steps, "number": number}
        return self._ask("tracing", asked)["duration_s"]

    def profile(self, steps: int, paces: list[float], files: str) -> Profile:
        """End the trace; return where the time of a step went, and what is alive at its peak."""
        asked = {"do": "profile", "steps": steps, "paces": paces}
        found = self._ask("reading the trace", asked)
        return Profile.model_validate(
            {"trial": self._task.trial, "arm": self.arm, "files": files, **found}
        )

    def finish(self) -> None:
        """Make sure that what was stepped is still finite."""
        if not self._ask("end of block", {"do": "finish"})["finite"]:
            message = "the last step returned NaN or infinity"
            raise self.failed("end of block", "not finite", message)

    def training(self, seed: int, learning_rate: float) -> Callable[[], Outcomes]:
        """Begin to train once for quality; return what waits for the outcomes."""
        request = {"do": "train", "seed": seed, "learning_rate": learning_rate}
        self._worker.send(self._names | request)
        return partial(self._reply, "quality")

    def _ask(self, stage: str, request: dict[str, Any]) -> dict[str, Any]:
        self._worker.send(request)
        return self._reply(stage)

    def _answer(self, stage: str) -> dict[str, Any]:
        try:
            return self._worker.receive(self._limit_s)
        except WorkerTimeout:
            message = f"no answer within the arm's time limit of {self._limit_s:g} s"
            raise self.failed(stage, "timed out", message, self._worker.output()) from None
        except WorkerLost as lost:
            raise self.failed(stage, "killed", str(lost), lost.output) from None

    def _reply(self, stage: str) -> dict[str, Any]:
        answer = self._answer(stage)
        if "absent" in answer:
            trial = self._task.trial
            raise ArmFailed(Absent(trial=trial, arm=self.arm, reason=answer["absent"]))
        if "error" in answer:
            raise self.failed(stage, "raised", answer["error"], answer["traceback"])
        return answer["result"]

    def failed(self, stage: str, what: Any, message: str, traceback: str = "") -> ArmFailed:
        """Return the exception that takes this arm out of the trial."""
        record = Failure(
            trial=self._task.trial,
            arm=self.arm,
            stage=stage,
            what=what,
            message=message,
            traceback=traceback,
        )
        return ArmFailed(record)
