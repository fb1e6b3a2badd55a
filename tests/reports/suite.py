"""A simulated trial of every experiment that is declared: real words, numbers that are drawn.

As a script it writes them to a folder: ``python -m tests.reports.suite FOLDER``.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random

from keras_ab import bench
from keras_ab.bench.catalogue import experiments
from keras_ab.bench.lab.record.records import Absent, Attempted, Ceiling, MemoryCurve, Work
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.words.declare import Arm, Case, Experiment
from keras_ab.bench.lab.words.metrics import MEASURED
from keras_ab.bench.lab.words.plan import Plan
from tests.reports.simulated import GPU, MACHINE, Scene, header, write

TRUTHS = (1.0, 0.93, 1.31, 1.004, 0.52, 2.3)
RAISED = (
    "ValueError: Exception encountered when calling Layer.call().\n\nCould not automatically infer "
    "the output shape of 'layer' (of type Layer). Either `Layer.call()` is incorrect, or you need "
    "to implement `compute_output_spec()`.\n\nArguments received: • args=('<KerasTensor>',)"
)
HAPPENED = (
    ("works", "", ""),
    ("raised", RAISED, "Traceback (most recent call last):\n  File 'a.py', line 1, in <module>"),
    ("ran", "the callback is not called: 0 calls in 3 epochs", ""),
    ("not measured here", "needs two GPUs, and this machine has none", ""),
    ("timed out", "no answer within its time limit of 120 s", ""),
)


def declared() -> list[Experiment]:
    """Return every experiment of the suite."""
    return experiments(Path(bench.__file__).parent, [])


def scene(experiment: Experiment, case: Case, seed: int, rounds: int = 6) -> Scene:
    """Return a simulated trial of one case."""
    task = Task("", experiment.name, case.id, "tensorflow", Plan())
    trial, rng = declaration(task, experiment, case), Random(seed)
    known = {metric.name for metric in MEASURED}
    own = [m for m in trial.metrics if m.name not in known and m.per != "seed"]
    arms = [arm.name for arm in experiment.arms]
    made = Scene(
        experiment.name,
        experiment.question,
        dict(case.params),
        dict.fromkeys(arms, 1.0) | {arm: rng.choice(TRUTHS) for arm in arms[1:]},
        blocks=5 if experiment.timed else 0,
        rounds=rounds,
        noise=rng.choice((0.004, 0.02)),
        sizes={arm: {m.name: 1e6 * rng.choice(TRUTHS) for m in own} for arm in arms},
        peak={arm: rng.choice(TRUTHS) for arm in arms[1:]},
        quality={arm: 0.95 + 0.02 * rng.random() for arm in arms} if trial.quality else {},
        end="precise" if experiment.timed else "not timed",
        declared_as=trial,
    )
    made.extra += _attempts(experiment, trial.trial)
    if experiment.timed:
        made.extra += [line for arm in arms for line in _watched(trial.trial, arm, rng)]
    made.extra += [absent for arm in experiment.arms for absent in _absent(made, arm)]
    return made


def _attempts(experiment: Experiment, trial: str) -> list[Attempted]:
    return [
        Attempted(trial=trial, arm=a.arm, name=a.name, says=a.says, what=what, message=message,
                  traceback=traceback)
        for a, (what, message, traceback) in zip(experiment.attempts, cycle(HAPPENED), strict=False)
    ]  # fmt: skip


def _watched(trial: str, arm: str, rng: Random) -> list[Work | MemoryCurve]:
    """Return an arm's work and its memory over a step, as often as the lab looks at most."""
    flop, moved = 10 ** rng.uniform(6, 9), 10 ** rng.uniform(5, 8)
    used = [int(2e7 * (1 + n % 200 / 100) * rng.uniform(0.9, 1.1)) for n in range(400)]
    at_s = [n / 10_000 for n in range(400)]
    curve = MemoryCurve(
        trial=trial, arm=arm, steps=2, at_s=at_s, host_bytes=used, device_bytes=used
    )
    return [Work(trial=trial, arm=arm, flop={"float32": flop}, least_moved_bytes=moved), curve]


def ceilings() -> list[Ceiling]:
    """Return what a simulated machine does at best."""
    found = (
        ("host_copy", "B/s", 1e10),
        ("cached_copy", "B/s", 5e10),
        ("matmul_float32", "FLOP/s", 2e11),
        ("matmul_bfloat16", "FLOP/s", 1e12),
    )
    return [
        Ceiling(name=name, unit=unit, work=work, data_bytes=2**20, steps=1, samples_s=[1.0] * 11)
        for name, unit, work in found
    ]


def _absent(scene: Scene, arm: Arm) -> list[Absent]:
    """Return that an arm cannot be measured, where it wants what a simulated CPU would lack."""
    missing = partial(Absent, trial=scene.name)
    if arm.backend == "torch":
        scene.lost = (*scene.lost, arm.name)
        return [missing(arm=arm.name, reason="PyTorch is not installed: pip install torch")]
    if scene.experiment == "tf32" and arm.name == next(iter(scene.step)):
        scene.blocks, scene.quality = 0, {}
        return [missing(arm=None, reason="TensorFloat-32 needs a GPU of the Ampere generation")]
    return []


def scenes(seed: int = 0, rounds: int = 6) -> list[Scene]:
    """Return a simulated trial of the first case of every experiment, and of all of `labels`."""
    made = [
        scene(experiment, case, 1000 * seed + number, rounds)
        for number, experiment in enumerate(declared())
        for case in experiment.cases[: 3 if experiment.name == "labels" else 1]
    ]
    made[0].extra += ceilings()
    return made


def runs(folder: Path) -> None:
    """Write a run of the whole suite for a simulated CPU, and one for a simulated GPU."""
    write(folder / "cpu.jsonl", header("2026-01-02T0304-cpu000"), scenes(rounds=50))
    head = header("2026-01-03T0304-gpu000", MACHINE | {"gpus": [GPU]})
    write(folder / "gpu.jsonl", head, scenes(seed=1))


if __name__ == "__main__":
    runs(Path(sys.argv[1]))
