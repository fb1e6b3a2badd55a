"""Simulated runs for the tests of the reports: no number here was ever measured."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.record.orders import orders
from keras_ab.bench.lab.record.records import (
    ArmRecord,
    Block,
    ClaimRecord,
    End,
    GuardCheck,
    GuardRecord,
    Header,
    Learned,
    Round,
    Trial,
)
from keras_ab.bench.lab.record.run_file import RunWriter
from keras_ab.bench.lab.words.metrics import MEASURED, STEP_TIME, Metric
from keras_ab.bench.lab.words.plan import Plan

MIB = 2.0**20
SOURCE = "A. Simulated (2020), A technique that was never published, https://example.org/technique"
ACCURACY = Metric("test_accuracy", "test accuracy", "1", "more", "difference", 0.01, per="seed")
LABELS = Metric("label_bytes", "stored labels", "B")
MOVED = Metric("work_bytes", "bytes that the work must move", "B", moved_by_step=True)


@dataclass
class Scene:
    """One simulated trial: what is true of each arm, and what goes wrong."""

    experiment: str
    question: str
    case: dict[str, Any]
    step: dict[str, float]
    """True step time of each arm, relative to the first."""
    noise: float = 0.01
    blocks: int = 8
    rounds: int = 10
    first_step: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    host: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    claims: list[ClaimRecord] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)
    guard_error: float = 1e-7
    others_cpu: float = 0.02
    gpu: dict[str, Any] | None = None
    end: Any = "precise"
    unfinished_rounds: int = 0
    lost: tuple[str, ...] = ()
    """Arms that failed before their first sample."""
    declared_as: Trial | None = None
    """The declaration, where it is a real experiment's."""

    @property
    def name(self) -> str:
        """The trial's name."""
        if self.declared_as:
            return self.declared_as.trial
        case = ",".join(f"{key}={value}" for key, value in self.case.items())
        return f"{self.experiment}[{case}]"


def recipe(**changed: Any) -> str:
    """Return a recipe as the workloads print it."""
    fields = {"labels": "sparse_int32", "optimizer": "adam", "recompute": "none", "jit": False}
    shown = ", ".join(f"{key}={value!r}" for key, value in (fields | changed).items())
    return f"Recipe({shown})"


def declared(scene: Scene) -> Trial:
    """Return the declaration of a scene."""
    if scene.declared_as:
        return scene.declared_as
    own = [ACCURACY] if scene.quality else []
    sizes = next(iter(scene.sizes.values()), {})
    more = [metric for metric in (LABELS, MOVED) if metric.name in sizes]
    return Trial(
        trial=scene.name,
        experiment=scene.experiment,
        question=scene.question,
        method="Simulated: times are drawn from a log-normal distribution; nothing was trained.",
        held_fixed="model, first weights, batches and their order, precision",
        does_not_show="Anything about a real machine.",
        sources=[SOURCE],
        case=scene.case,
        arms=[
            ArmRecord(name=arm, says=f"the {arm} arm", code=recipe(optimizer=arm))
            for arm in scene.step
        ],
        metrics=[STEP_TIME, *own, *more, *MEASURED[1:]],
        claims=scene.claims,
        guards=[
            GuardRecord(observed="loss", tolerance=1e-5, says="same loss", arms=[]),
            GuardRecord(observed="weights", tolerance=None, says="finite weights", arms=[]),
        ],
        quality=ACCURACY.name if scene.quality else None,
    )


def records(scene: Scene, seed: int) -> list[Any]:
    """Return all records of a scene."""
    rng = random.Random(seed)
    lines: list[Any] = [declared(scene)]
    for arm in scene.step:
        off = 0.0 if arm == next(iter(scene.step)) else scene.guard_error / 1e-5
        for guard in lines[0].guards:
            error = None if guard.tolerance is None else off * guard.tolerance
            check = {"observed": guard.observed, "finite": True, "relative_error": error}
            if arm in (guard.arms or scene.step):
                lines.append(GuardCheck(trial=scene.name, arm=arm, **check))
    for block in range(scene.blocks):
        lines += _block(scene, block, scene.rounds, rng)
        lines.append(Block(trial=scene.name, block=block, values=_values(scene, rng)))
    if scene.unfinished_rounds:
        lines += _block(scene, scene.blocks, scene.unfinished_rounds, rng)
    lines += _lessons(scene, rng) + scene.extra
    if scene.end:
        lines.append(End(trial=scene.name, reason=scene.end, blocks_wanted=scene.blocks))
    return lines


def _copies(scene: Scene) -> dict[str, str]:
    """Return each process' arm; the control is the baseline once more."""
    arms = {arm: arm for arm in scene.step if arm not in scene.lost}
    return arms | {"control": next(iter(scene.step))}


def _block(scene: Scene, block: int, rounds: int, rng: random.Random) -> list[Round]:
    luck = {arm: rng.gauss(0, scene.noise / 2) for arm in _copies(scene)}
    lines = []
    told = orders(Plan.seed, scene.name, block, [arm for arm in luck if arm != "control"])
    for number in range(rounds):
        order = next(told)
        drift = rng.gauss(0, 0.02)
        times = {
            arm: 0.0065
            * scene.step[_copies(scene)[arm]]
            * (1 + max(-0.5, drift + luck[arm] + rng.gauss(0, scene.noise)))
            * (1.6 if rng.random() < 0.01 else 1.0)
            for arm in order
        }
        lines.append(
            Round(
                trial=scene.name,
                block=block,
                round=number,
                order=order,
                steps=8,
                step_time_s=times,
                others_cpu_cores=abs(rng.gauss(scene.others_cpu, scene.others_cpu / 10)),
                gpu=scene.gpu
                if number % 3 == 0 or scene.gpu is None
                else scene.gpu | {"throttled": []},
                hand_over_s=scene.gpu and {arm: 0.8 * time for arm, time in times.items()},
            )
        )
    return lines


def _values(scene: Scene, rng: random.Random) -> dict[str, dict[str, float]]:
    return {
        process: {
            "build_time_s": 0.15 * rng.lognormvariate(0, 0.1),
            "first_step_time_s": 0.4 * scene.first_step.get(arm, 1) * rng.lognormvariate(0, 0.05),
            "peak_device_memory_bytes": 26 * MIB * scene.peak.get(arm, 1),
            "peak_host_memory_bytes": 410
            * MIB
            * scene.host.get(arm, 1)
            * rng.lognormvariate(0, 0.005),
            "weights_bytes": 3659680.0,
            **scene.sizes.get(arm, {}),
        }
        for process, arm in _copies(scene).items()
    }


def _lessons(scene: Scene, rng: random.Random) -> list[Learned]:
    rates = dict.fromkeys(scene.quality, 0.01)
    tuning = [
        Learned(
            trial=scene.name,
            purpose="tuning",
            seed=100,
            learning_rate=dict.fromkeys(scene.quality, rate),
            values={arm: truth - abs(rate - 0.01) for arm, truth in scene.quality.items()},
        )
        for rate in (0.001, 0.01, 0.1)
        if scene.quality
    ]
    judged = [
        Learned(
            trial=scene.name,
            purpose="judged",
            seed=seed,
            learning_rate=rates,
            values=_outcome(scene, rng),
            also={metric: _outcome(scene, rng) for metric in declared(scene).also},
        )
        for seed in range(5 if scene.quality else 0)
    ]
    return tuning + judged


def _outcome(scene: Scene, rng: random.Random) -> dict[str, float]:
    return {arm: truth + rng.gauss(0, 0.004) for arm, truth in scene.quality.items()}


def claim(name: str, arm: str, metric: str, **bounds: Any) -> ClaimRecord:
    """Return a claim of the simulated source."""
    return ClaimRecord(
        id=name,
        statement=f"The source says so of {name.partition('.')[2].replace('-', ' ')}.",
        source=SOURCE,
        arm=arm,
        metric=metric,
        at_most=bounds.get("at_most"),
        at_least=bounds.get("at_least"),
    )


MACHINE = {
    "simulated": True,
    "cpu": "Simulated 8-core processor",
    "cores_usable": 8,
    "memory_bytes": 2**35,
    "architecture": "x86_64",
    "gpus": [],
}
GPU = {"name": "Simulated GPU", "memory_bytes": 80 * 2**30, "max_sm_clock_hz": 1.98e9}


def machine(number: int) -> dict[str, Any]:
    """Return one of many simulated machines."""
    return MACHINE | {"cpu": f"Simulated processor {chr(ord('A') + number)}"}


def header(run: str, machine: dict[str, Any] = MACHINE, **plan: Any) -> Header:
    """Return a header."""
    return Header(
        run=run,
        started="2026-01-02T03:04:05+00:00",
        backend="tensorflow",
        machine=machine,
        environment={
            "python": "3.11.7",
            "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"},
            "kernel": "Linux 6.0",
            "variables": {},
        },
        conditions={"load_average": [0.1, 0.2, 0.3], "git": {"commit": "0" * 40, "dirty": False}},
        plan=Plan(**{"min_blocks": 5, "rounds": 10} | plan),
    )


def write(
    path: Path, head: Header, trials: list[Scene], *, seal: bool = True, first_seed: int = 0
) -> Path:
    """Write a run file of simulated trials."""
    writer = RunWriter.create(path, head)
    for seed, scene in enumerate(trials, first_seed):
        for line in records(scene, seed):
            writer.write(line)
    if seal:
        writer.seal()
    else:
        writer.close()
    return path
