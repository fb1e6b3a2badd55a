"""Is this machine fit to measure on? Each finding says what to do."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keras_ab import bench
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.ceilings import TITLES, rate
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.loop import ceilings, facts
from keras_ab.bench.lab.loop.asking import NoAnswer
from keras_ab.bench.lab.loop.device import AUTO, Device, choose
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.loop.session import framework
from keras_ab.bench.lab.record.records import Ceiling
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.backend_names import KERAS
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan

IDENTICAL = Path(bench.__file__).parent / "workloads" / "identical.py"
"""A bench file of experiments whose two arms are identical."""


@dataclass(frozen=True)
class Checkup:
    """One finding about the machine, or that one is begun which takes its time."""

    state: Literal["good", "note", "bad", "begun"]
    subject: str
    found: str
    do: str = ""

    def __str__(self) -> str:
        mark = {"good": "✓", "note": "!", "bad": "✗", "begun": "…"}[self.state]
        advice = f"\n    → {self.do}" if self.do else ""
        return f"{mark} {self.subject}: {self.found}{advice}"


def examine(backend: str, *, with_ceilings: bool = False, device: str = AUTO) -> Iterator[Checkup]:
    """Yield findings, the quick ones first; the noise floor takes about a minute.

    With `with_ceilings`, the machine's ceilings follow, which take about a minute more.
    """
    yield processor()
    yield load(os.getloadavg()[0], os.cpu_count() or 1)
    yield governor(facts.governors())
    yield timer_resolution()
    chosen = choose(device)
    yield from company(chosen)
    server = ForkServer(backend, device=chosen.environment)
    try:
        try:
            found = framework(server, backend)
        except NoAnswer as why:
            yield unfit(why)
            return
        yield gpu(found, chosen)
        yield memory_statistics(found)
        yield Checkup("begun", "noise floor", "two identical arms are timed, for about a minute")
        yield noise_floor(backend, server, chosen)
        if with_ceilings:
            yield Checkup("begun", "ceilings", "measured for about a minute")
            yield from map(at_best, ceilings.measure(server, backend))
    finally:
        server.close()


def processor() -> Checkup:
    """Say which processor is measured on."""
    machine = facts.machine()
    memory = text.size(machine["memory_bytes"])
    found = f"{machine['cpu']}, {machine['cores_usable']} usable cores, {memory}"
    if machine["cores_usable"] < 2:
        return Checkup(
            "note", "processor", found, "with one core, the lab and the arm share it: expect noise"
        )
    return Checkup("good", "processor", found)


def load(load_average: float, cores: int) -> Checkup:
    """Say whether others use the machine."""
    found = f"load average {load_average:.2f} on {cores} cores"
    if load_average > 0.5 * cores:
        return Checkup("note", "other load", found, "stop other work, or expect wider intervals")
    return Checkup("good", "other load", found)


def governor(found: list[str]) -> Checkup:
    """Say whether the processor keeps its clock."""
    if not found:
        return Checkup("note", "clock governor", "not visible (a virtual machine, most often)")
    if found == ["performance"]:
        return Checkup("good", "clock governor", "performance")
    advice = "cpupower frequency-set -g performance, for the time of the measurement"
    return Checkup("note", "clock governor", ", ".join(found), advice)


def timer_resolution() -> Checkup:
    """Measure the cost of a look at the clock and the smallest step that it shows."""
    steps = ceilings.clock_steps()
    smallest, typical = min(steps), statistics.median(steps)
    found = f"resolves {text.seconds(smallest)}, a look costs about {text.seconds(typical)}"
    if typical > 1e-6:
        advice = "use the TSC clock source: the lab's samples must be longer than usual"
        return Checkup("note", "timer", found, advice)
    return Checkup("good", "timer", found)


def at_best(record: Ceiling) -> Checkup:
    """Say how fast the machine is at best at one kind of work."""
    found = text.between(rate(record), record.unit)
    return Checkup("good", TITLES.get(record.name, record.name), found)


def unfit(why: NoAnswer) -> Checkup:
    """Say why the framework does not open the device, and what to do."""
    if why.refusal:
        return Checkup("bad", "framework", why.refusal.received, why.refusal.do)
    return Checkup("bad", "framework", why.message, "reinstall the framework")


def company(device: Device) -> Iterator[Checkup]:
    """Say what else would be on the GPU, or that it lets nobody share it."""
    if device.gpu and (mode := device.gpu.exclusive()):
        advice = "nvidia-smi --compute-mode=DEFAULT: the arms of a block live side by side"
        yield Checkup("bad", "GPU", f"its compute mode is {mode}", advice)
    if device.gpu and (others := device.gpu.processes()):
        found = f"other processes compute on it: {', '.join(map(str, others))}"
        advice = "end them, or choose another with --device: they take memory, clocks and energy"
        yield Checkup("note", "GPU", found, advice)


def gpu(told: dict[str, Any], device: Device) -> Checkup:
    """Say which GPU is measured on, or why none is."""
    if device.gpu:
        return Checkup("good", "GPU", f"{device.gpu.name} ({device.gpu.uuid})")
    if any(found["kind"] == "gpu" for found in told["devices"]):
        return Checkup("note", "GPU", "one in use that NVML does not know: no clocks, no energy")
    if device.untouched:
        return Checkup("note", "GPU", "none: no NVIDIA driver answers; measuring on the CPU")
    return Checkup("note", "GPU", "hidden, as asked; measuring on the CPU")


def memory_statistics(told: dict[str, Any]) -> Checkup:
    """Say whether peak device memory can be measured."""
    if told.get("memory_statistics"):
        return Checkup("good", "memory statistics", "the framework's allocator counts its peak")
    if "cpu_pool" in told:
        return Checkup(
            "good",
            "memory statistics",
            "counted beside the timing: the allocator that is timed does not count its peak",
        )
    return Checkup("note", "memory statistics", "not available on this device")


def noise_floor(backend: str, server: ForkServer, device: Device) -> Checkup:
    """Run a short A/A trial of a training step and say how far identical arms lie apart."""
    experiment = "identical_training" if backend in KERAS else "identical_sums"
    task = Task(str(IDENTICAL), experiment, "only", backend, Plan(min_blocks=5, max_blocks=5))
    records = list(measure_trial(task, server, device=device))
    data = group(records)[task.trial]
    if data.failures:
        return Checkup("bad", "noise floor", data.failures[0].message, "see the failure above")
    return _judged_floor(data, task.plan)


def _judged_floor(data: TrialData, plan: Plan) -> Checkup:
    finding = assess(data, data.metric(STEP_TIME.name), CONTROL, plan)
    if finding is None:
        return Checkup("bad", "noise floor", "nothing was measured", "run with a longer time limit")
    estimate: Estimate = finding.estimate
    (says, *_) = (arm.says for arm in data.declared.arms)
    found = f"two identical arms ({says}): {text.compared(finding)}, 5 blocks"
    if estimate.half_width > plan.precision:
        advice = "quiet the machine, or give trials a larger --ab-budget: small effects need it"
        return Checkup("note", "noise floor", found, advice)
    return Checkup("good", "noise floor", found)
