"""The inside of a worker process: prepare one arm, then sample it on request."""

from __future__ import annotations

import gc
import json
import math
import random
import resource
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import Prepared, Quality
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.lab.worker.allocations import at_peak
from keras_ab.bench.lab.worker.probes import Probes, host_probes
from keras_ab.bench.lab.worker.tracing import HAND_OVER, SAMPLE, step_profile
from keras_ab.bench.lab.worker.watch import Watch, thinned, watching

WARM_STEPS = 3


def step_repeatedly(step: Callable[[], Any], steps: int) -> Any:
    """Run `steps` steps and return what the last one returned."""
    value = None
    for _ in range(steps):
        value = step()
    return value


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


class Bench:
    """Holds one prepared arm and answers the lab's requests about it."""

    def __init__(self) -> None:
        self.backend: Any = None
        self.prepared: Prepared | None = None
        self.last: Any = None
        self.menu: Probes = {}
        self.tracer: Any = None

    def open(self, backend: str, seed: int = 0, layout: int | None = None) -> dict[str, Any]:
        """Open the device, where it is not open yet, and seed everything.

        `layout` seeds a shift of the heap: forked processes share one memory layout, and without
        it all blocks would share the luck of that one.
        """
        if layout is not None:
            self.padding = padding(random.Random(layout))
        self.backend = backends.load(backend)
        self.backend.open_device(seed)
        return {}

    def facts(self, backend: str) -> dict[str, Any]:
        """Open the device and return the framework's own facts."""
        self.open(backend)
        return self.backend.facts()

    def build(
        self,
        *,
        file: str,
        experiment: str,
        arm: str,
        case: str,
        backend: str,
        seed: int,
        observe_to: str | None = None,
    ) -> dict[str, Any]:
        """Prepare the arm, take the first step, and return what both cost.

        Where `observe_to` names a file (.npz), what the guards compare is written to it before the
        first step, from the untouched weights.
        """
        self.open(backend, seed)
        declared = load_experiment(file, experiment)
        params = declared.case(case).params
        start = clock.now()
        self.prepared = declared.arm(arm).build(params)
        self.backend.synchronise()
        built = clock.now()
        if observe_to is not None:
            observed = self.prepared.observe() if self.prepared.observe else {}
            arrays = {name: self.backend.to_numpy(value) for name, value in observed.items()}
            np.savez(observe_to, **arrays)
        self.last = self.prepared.step()
        self.backend.synchronise()
        first = clock.now()
        gc.freeze()  # what is built stays: the collector need not look at it before each sample
        return {
            "build_time_s": built - start,
            "first_step_time_s": first - built,
            "sizes": dict(self.prepared.sizes),
            "notes": dict(self.prepared.notes),
        }

    def probes(self, backend: str) -> dict[str, int]:
        """Open the device; return the names of what shows its limits, each with its sizes."""
        self.open(backend)
        self.menu = {**host_probes(), **self.backend.probes()}
        return {name: len(sizes) for name, sizes in self.menu.items()}

    def probe(self, name: str, size: int) -> dict[str, Any]:
        """Prepare one of the probes in one of its sizes, to be sampled like an arm."""
        self.prepared = self.last = None  # what the one before held is free again
        probe = self.menu[name][size]()
        self.prepared = Prepared(probe.step)
        return {"unit": probe.unit, "work": probe.work, "data_bytes": probe.data_bytes}

    def calibrate(self, sample_time_s: float) -> dict[str, Any]:
        """Return how many steps last `sample_time_s`."""
        steps = 1
        self.sample(WARM_STEPS)
        while (took := self.sample(steps)["duration_s"]) < sample_time_s / 2:
            steps *= 2
        return {"steps": max(1, round(steps * sample_time_s / took))}

    def sample(self, steps: int) -> dict[str, Any]:
        """Time `steps` steps together, the device synchronised at both ends."""
        step, synchronise = self._ready(steps), self.backend.synchronise
        cpu = clock.cpu_now()
        start = clock.now()
        self.last = step_repeatedly(step, steps)
        synchronise()
        duration = clock.now() - start
        cpu = clock.cpu_now() - cpu
        gc.enable()
        return {"duration_s": duration, "cpu_s": cpu}

    def _ready(self, steps: int) -> Callable[[], Any]:
        """Make ready for a sample and return the step; the garbage collector rests from here on.

        It would charge one arm for another's litter. Several short steps are preceded by one that
        is not timed: other arms had the caches since.
        """
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        gc.collect()
        gc.disable()
        if steps > 1:
            self.prepared.step()
        self.backend.synchronise()
        return self.prepared.step

    def memory(self) -> dict[str, Any]:
        """Run a step and return the peaks of device and host memory in it, in bytes."""
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        self.last = None  # what the step before returned is not of this one
        _reset_high_water()
        self.backend.reset_peak_memory()
        self.last = self.prepared.step()
        self.backend.synchronise()
        peak = self.backend.peak_memory_bytes()
        found = {"host_high_water_bytes": _high_water_bytes()}
        return found if peak is None else found | {"peak_device_memory_bytes": peak}

    def memory_curve(self, steps: int) -> dict[str, Any]:
        """Run steps and return what was in use all the while."""
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        with watching(Watch(self.backend.memory_bytes)) as looks:
            self.last = step_repeatedly(self.prepared.step, steps)
            self.backend.synchronise()
        kept = thinned(looks)
        device = [look.device_bytes for look in kept]
        return {
            "at_s": [look.at_s for look in kept],
            "host_bytes": [look.host_bytes for look in kept],
            "device_bytes": None if None in device else device,
        }

    def work(self) -> dict[str, Any]:
        """Return what a step has to do, as far as the arm tells."""
        if self.prepared is None or self.prepared.work is None:
            return {}
        found = self.prepared.work()
        return {"flop": found.flop, "least_moved_bytes": found.least_moved_bytes}

    def trace(self, folder: str) -> dict[str, Any]:
        """Begin a trace whose files go into a folder."""
        self.tracer = self.backend.Tracer(Path(folder))
        return {}

    def traced(self, steps: int, number: int) -> dict[str, Any]:
        """Take a sample under the trace, marked; return how long it lasted."""
        step = self._ready(steps)
        start = clock.now()
        with self.tracer.mark(SAMPLE, number):
            with self.tracer.mark(HAND_OVER, number):
                self.last = step_repeatedly(step, steps)
            self.backend.synchronise()
        duration = clock.now() - start
        gc.enable()
        return {"duration_s": duration}

    def profile(self, steps: int, paces: list[float]) -> dict[str, Any]:
        """End the trace; return where the time of a step went, and what is alive at its peak.

        See `step_profile` for the paces.
        """
        trace = self.tracer.stop()
        peak = at_peak(trace)
        step = step_profile(trace.events, steps, paces)
        return {"step": asdict(step), "peak": peak and asdict(peak)}

    def finish(self) -> dict[str, Any]:
        """Tell whether what the last step returned is finite."""
        if self.last is None:
            return {"finite": True}
        return {"finite": _finite(self.backend.to_numpy(self.last))}

    def attempt(
        self, *, file: str, experiment: str, attempt: str, backend: str, seed: int
    ) -> dict[str, Any]:
        """Try what a source says to write; return what happened, None where it works."""
        self.open(backend, seed)
        return {"happened": load_experiment(file, experiment).attempt(attempt).run()}

    def train(
        self,
        *,
        file: str,
        experiment: str,
        arm: str,
        case: str,
        backend: str,
        seed: int,
        learning_rate: float,
    ) -> dict[str, Any]:
        """Train once for quality and return the outcomes; None stands for NaN."""
        self.open(backend, seed)
        declared = load_experiment(file, experiment)
        assert declared.quality is not None  # noqa: S101 - the lab asks only then
        recipe, params = declared.arm(arm).recipe, declared.case(case).params
        found = declared.quality.train(recipe, params, seed, learning_rate)
        outcomes = _outcomes(declared.quality, found)
        return {name: value if math.isfinite(value) else None for name, value in outcomes.items()}


def _outcomes(quality: Quality, found: float | Mapping[str, float]) -> dict[str, float]:
    """Return what a training returned as numbers by name: all that were declared, and no other."""
    if not isinstance(found, Mapping):
        found = {quality.metric.name: found}
    declared = [metric.name for metric in (quality.metric, *quality.also)]
    if sorted(found) != sorted(declared):
        raise DeclarationError(
            "a training returns the outcomes that its experiment declares",
            ", ".join(found),
            f"return {', '.join(declared)}",
        )
    return {name: float(value) for name, value in found.items()}


def padding(rng: random.Random) -> list[bytearray]:
    """Return blocks of random sizes, up to 1 MiB in all, that move what is allocated after them."""
    small = [bytearray(rng.randrange(1, 4096)) for _ in range(rng.randrange(128))]
    return [*small, bytearray(rng.randrange(2**18, 2**19))]


def _reset_high_water() -> None:
    """Set the kernel's high-water mark of this process to what it holds now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the mark then covers the whole process


def _high_water_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def serve(connection: Connection) -> None:
    """Answer requests until the other side hangs up."""
    bench = Bench()
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return
        connection.send_bytes(json.dumps(_answer(bench, request)).encode())


def _answer(bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
    operation = request.pop("do")
    try:
        return {"result": getattr(bench, operation)(**request)}
    except NotMeasuredHere as error:
        return {"absent": str(error)}
    except BaseException as error:  # noqa: BLE001 - an arm may raise anything; it is recorded
        return {
            "error": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(error)),
        }
