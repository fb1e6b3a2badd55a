"""What a worker does when it is asked: prepare one arm, then sample it."""

from __future__ import annotations

import gc
import math
import os
import random
import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import singledispatchmethod
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import Experiment, Prepared, Quality
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import GIVEN, named
from keras_ab.bench.lab.words.steps import StepWork
from keras_ab.bench.lab.worker import backends, protocol
from keras_ab.bench.lab.worker.allocations import at_peak
from keras_ab.bench.lab.worker.imported import code_files
from keras_ab.bench.lab.worker.probes import Probes, host_probes
from keras_ab.bench.lab.worker.tracing import HAND_OVER, SAMPLE, step_profile
from keras_ab.bench.lab.worker.watch import Watch, thinned, watching

WARM_STEPS = 3
CALIBRATION_TRIES = 3


def step_repeatedly(step: Callable[[], Any], steps: int) -> Any:
    """Run `steps` steps and return what the last one returned."""
    value = None
    for _ in range(steps):
        value = step()
    return value


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


class Handler:
    """Holds one prepared arm and answers the lab's requests about it."""

    def __init__(self) -> None:
        self.backend: Any = None
        self.prepared: Prepared | None = None
        self.last: Any = None
        self.probes: Probes = {}
        self.tracer: Any = None
        self.cpu_told = 0.0

    @singledispatchmethod
    def answer(self, asked: Any) -> Any:
        """Answer a request; there is a method for each kind."""
        raise TypeError(f"nobody answers {asked!r}")

    @answer.register
    def open(self, asked: protocol.Open) -> None:
        """Open the device, where it is not open yet, and seed everything.

        `layout` seeds a shift of the heap: forked processes share one memory layout, and without
        it all blocks would share the luck of that one.
        """
        if asked.layout is not None:
            self.padding = padding(random.Random(asked.layout))
        if self.backend is None:
            self.backend = backends.load(asked.backend)
            self.backend.open_device(asked.memory, asked.counted)
            backends.refuse_fallback(self.backend)
        if asked.products:
            self.backend.use_products(asked.products)
        self.backend.seed(asked.seed)

    @answer.register
    def facts(self, asked: protocol.Facts) -> dict[str, Any]:
        """Open the device and return the framework's own facts."""
        self.open(protocol.Open(asked.backend, products=asked.products))
        return self.backend.facts()

    @answer.register
    def build(self, asked: protocol.Build) -> protocol.Built:
        """Prepare the arm, take the first step, and return what both cost."""
        self.open(protocol.Open(asked.arm.backend, asked.seed))
        experiment = load_experiment(asked.arm.file, asked.arm.experiment)
        case, arm = experiment.case(asked.arm.case), experiment.arm(asked.arm.arm)
        start = clock.now()
        self.prepared = arm.build(case.params)
        self.backend.synchronise()
        built = clock.now()
        if asked.observe_to is not None:
            self._observe(self.prepared, asked.observe_to)
        self.last = self.prepared.step()
        self.backend.synchronise()
        first = clock.now()
        gc.freeze()  # what is built stays: the collector need not look at it before each sample
        return protocol.Built(
            build_time_s=built - start,
            first_step_time_s=first - built,
            sizes=sizes(self.prepared, experiment),
            notes=dict(self.prepared.notes),
            on_gpu=self.backend.device_kind() == "gpu",
        )

    def _on_host(self, value: Any) -> np.ndarray:
        """Return an array in a type of NumPy's own: bfloat16 it takes for two bytes of anything."""
        array = np.asarray(self.backend.to_numpy(value))
        foreign = array.dtype.kind == "V" and array.dtype.names is None
        return array.astype(np.float32) if foreign else array

    def _observe(self, prepared: Prepared, path: str) -> None:
        observed = prepared.observe() if prepared.observe else {}
        arrays: dict[str, Any] = {name: self._on_host(value) for name, value in observed.items()}
        own = Path(f"{path}.{os.getpid()}.npz")  # an arm that forks is here twice
        np.savez(own, **arrays)
        own.replace(path)

    @answer.register
    def list_probes(self, asked: protocol.ListProbes) -> dict[str, int]:
        """Open the device; return the names of the probes, each with the number of its sizes."""
        self.open(protocol.Open(asked.backend))
        self.probes = {**host_probes(), **self.backend.probes()}
        return {name: len(sizes) for name, sizes in self.probes.items()}

    @answer.register
    def prepare_probe(self, asked: protocol.PrepareProbe) -> protocol.ProbeReady:
        """Prepare one of the probes in one of its sizes, to be sampled like an arm."""
        self.prepared = self.last = None  # what the one before held is free again
        probe = self.probes[asked.name][asked.size]()
        self.prepared = Prepared(probe.step)
        return protocol.ProbeReady(probe.unit, probe.work, probe.data_bytes)

    @answer.register
    def calibrate(self, asked: protocol.Calibrate) -> int:
        """Return how many steps last as long as they should."""
        steps = 1
        self.sample(protocol.Sample(WARM_STEPS, warm=False))
        while (took := self._fastest_s(steps)) < asked.sample_time_s / 2:
            steps *= 2
        return max(1, round(steps * asked.sample_time_s / took))

    def _fastest_s(self, steps: int) -> float:
        """Return the least of a few samples' durations: one that was held up must not decide."""
        asked = protocol.Sample(steps, warm=steps > 1)
        return min(self.sample(asked).duration_s for _ in range(CALIBRATION_TRIES))

    @answer.register
    def sample(self, asked: protocol.Sample) -> protocol.Sampled:
        """Time some steps together, the device synchronised at both ends."""
        step, synchronise = self._ready(asked.steps, asked.warm), self.backend.synchronise
        start = clock.now()
        self.last = step_repeatedly(step, asked.steps)
        handed_over = clock.now()
        synchronise()
        duration = clock.now() - start
        gc.enable()
        told, self.cpu_told = self.cpu_told, clock.cpu_now()
        return protocol.Sampled(duration, self.cpu_told - told, handed_over - start)

    def _ready(self, steps: int, warm: bool) -> Callable[[], Any]:
        """Make ready for a sample and return the step; the garbage collector rests from here on.

        It would charge one arm for another's litter. Steps that are not timed come first where
        they are to be `warm`: other arms had the caches since, and what cold steps take longer,
        each arm's alike, would hide a part of what they differ by.
        """
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        gc.collect()
        gc.disable()
        if warm:
            step_repeatedly(self.prepared.step, protocol.untimed(steps))
        self.backend.synchronise()
        return self.prepared.step

    @answer.register
    def memory(self, _: protocol.Memory) -> protocol.Peaks:
        """Run a step and return the peaks of device and host memory in it, in bytes."""
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        self.last = None  # what the step before returned is not of this one
        _reset_high_water()
        self.backend.reset_peak_memory()
        self.last = self.prepared.step()
        self.backend.synchronise()
        return protocol.Peaks(_high_water_bytes(), self.backend.peak_memory_bytes())

    @answer.register
    def watch_memory(self, asked: protocol.WatchMemory) -> protocol.Curve:
        """Run steps and return what was in use all the while."""
        assert self.prepared is not None  # noqa: S101 - the lab builds first
        with watching(Watch(self.backend.memory_bytes)) as looks:
            self.last = step_repeatedly(self.prepared.step, asked.steps)
            self.backend.synchronise()
        kept = thinned(looks)
        device = [look.device_bytes for look in kept if look.device_bytes is not None]
        return protocol.Curve(
            at_s=[look.at_s for look in kept],
            host_bytes=[look.host_bytes for look in kept],
            device_bytes=device if len(device) == len(kept) else None,
        )

    @answer.register
    def work(self, _: protocol.Work) -> StepWork | None:
        """Return what a step has to do, as far as the arm tells; products by the type used."""
        found = self.prepared.work() if self.prepared and self.prepared.work else None
        used = self.backend.products() if found else "float32"
        return found and replace(
            found, flop={used if k == "float32" else k: n for k, n in found.flop.items()}
        )

    @answer.register
    def trace(self, asked: protocol.Trace) -> None:
        """Begin a trace whose files go into a folder."""
        self.tracer = self.backend.Tracer(Path(asked.folder))

    @answer.register
    def traced(self, asked: protocol.Traced) -> float:
        """Take a sample under the trace, marked; return how long it lasted."""
        step = self._ready(asked.steps, asked.warm)
        start = clock.now()
        with self.tracer.mark(SAMPLE, asked.number):
            with self.tracer.mark(HAND_OVER, asked.number):
                self.last = step_repeatedly(step, asked.steps)
            self.backend.synchronise()
        duration = clock.now() - start
        gc.enable()
        return duration

    @answer.register
    def end_trace(self, asked: protocol.EndTrace) -> protocol.Profiled:
        """End the trace; return where the time of a step went, and what is alive at its peak.

        See `step_profile` for the paces.
        """
        trace = self.tracer.stop()
        return protocol.Profiled(
            step_profile(trace.events, asked.steps, asked.paces), at_peak(trace)
        )

    @answer.register
    def imports(self, _: protocol.Imports) -> dict[str, str]:
        """Return the digest of each file of code that was imported, the reader's and ours."""
        return code_files()

    @answer.register
    def finish(self, _: protocol.Finish) -> bool:
        """Tell whether what the last step returned, and what was trained, is finite."""
        trained = self.prepared.finite if self.prepared else None
        returned = self.last is None or _finite(self._on_host(self.last))
        return returned and (trained is None or trained())

    @answer.register
    def attempt(self, asked: protocol.Try) -> str | None:
        """protocol.Try what a source says to write; return what happened, None where it works."""
        self.open(protocol.Open(asked.backend, asked.seed))
        return load_experiment(asked.file, asked.experiment).attempt(asked.attempt).tries()

    @answer.register
    def train(self, asked: protocol.Train) -> dict[str, float | None]:
        """protocol.Train once for quality and return the outcomes; None stands for NaN."""
        self.open(protocol.Open(asked.arm.backend, asked.seed))
        declared = load_experiment(asked.arm.file, asked.arm.experiment)
        quality = declared.quality
        assert quality is not None  # noqa: S101 - the lab asks only then
        recipe, params = declared.arm(asked.arm.arm).recipe, declared.case(asked.arm.case).params
        found: float | Mapping[str, float]
        if asked.tuning and quality.tune:
            found = quality.tune(recipe, params, asked.seed, asked.learning_rate)
            quality = replace(quality, also=())
        else:
            found = quality.train(recipe, params, asked.seed, asked.learning_rate)
        learnt = outcomes(quality, found)
        return {name: value if math.isfinite(value) else None for name, value in learnt.items()}


def sizes(prepared: Prepared, experiment: Experiment) -> dict[str, float]:
    """Return the sizes that an arm gives: finite numbers by the names of known metrics."""
    for name, value in prepared.sizes.items():
        named(name, (*experiment.all_metrics, *GIVEN))
        if not (isinstance(value, Real) and math.isfinite(value)):
            raise DeclarationError(
                "the sizes of an arm are finite numbers", f"{name}={value!r}", "count it again"
            )
    return {name: float(value) for name, value in prepared.sizes.items()}


def outcomes(quality: Quality, found: float | Mapping[str, float]) -> dict[str, float]:
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
