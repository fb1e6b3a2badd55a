"""The first run on a GPU: all that only a GPU can show, the most telling first, in 25 minutes.

Run with ``python -m tests.studies.first_gpu FOLDER``, or ``tox run -e first-gpu``. Each step has a
time limit and a log of its own; one that fails, or is cut off, holds up no other. The folder then
holds the logs, the run files and ``summary.md``: that is what to send back. Exits 1 where a step
failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from keras_ab.bench.lab import clock

ROOT = Path(__file__).parents[2]
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
FEW = ("--ab-min-blocks", "5", "--ab-rounds", "40", "--ab-budget", "5")
SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
LEAST_S = 20.0
"""Less time than this is not worth beginning a step in."""

ENDING_S = 30.0
"""How long a step that is cut off may take to end."""


@dataclass(frozen=True)
class Step:
    """One thing to find out.

    Args:
        name: of its log.
        asks: what it finds out.
        minutes: it may take.
        arguments: of Python.
        environment: variables beside those of this process.
    """

    name: str
    asks: str
    minutes: float
    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)


def benchmark(folder: Path, *arguments: str) -> tuple[str, ...]:
    """Return the arguments of a run of some experiments, whose file goes into a folder."""
    return (*PYTEST, "--benchmark", "--ab-runs", str(folder / "runs"), *FEW, *arguments)


def steps(folder: Path) -> Iterator[Step]:
    """Yield what to find out, the most telling first."""
    native = "tests/kernels/native"
    doctor = "from keras_ab.command_line import main; raise SystemExit(main(['doctor']))"
    yield Step("doctor", "Is the GPU seen, free and counted?", 2, ("-c", doctor))
    yield Step(
        "kernels-jax",
        "Do the CUDA kernels compute their references, through JAX?",
        2,
        (*PYTEST, f"{native}/test_jax.py"),
        SHARED | {"KERAS_AB_KERNELS": "require"},
    )
    yield Step(
        "kernels-tensorflow",
        "And through TensorFlow, eagerly, in graphs and under XLA, whatever the layout?",
        3,
        (*PYTEST, *(f"{native}/test_{name}.py" for name in ("layouts", "tensorflow_ops"))),
        SHARED | {"KERAS_AB_KERNELS": "require"},
    )
    found = str(folder / "gpu_kernels.jsonl")
    yield Step(
        "bandwidth-jax",
        "How much of a device copy's bandwidth does each kernel reach, through JAX?",
        4,
        ("-m", "tests.studies.gpu_kernels", found),
        SHARED | {"KERAS_BACKEND": "jax"},
    )
    yield Step(
        "bandwidth",
        "And through TensorFlow?",
        6,
        benchmark(folder, "-k", "kernel_", "--ab-ceilings"),
    )
    yield Step(
        "labels", "Does one trial run to its end, with energy and a trace?", 2,
        benchmark(folder, "-k", "labels and classes:1000-batch:1024", "--ab-profile"),
    )  # fmt: skip
    yield Step(
        "guards",
        "Do the guards of all experiments hold, and break for a spoilt arm?",
        6,
        (*PYTEST, "tests/bench/test_guards.py"),
    )
    yield Step(
        "optimizers",
        "Do the fused optimizers train as their references do?",
        3,
        (*PYTEST, f"{native}/test_tensorflow_optimizers.py"),
        SHARED | {"KERAS_AB_KERNELS": "require"},
    )
    for backend in filter(find_spec, ("jax", "torch")):
        chosen = ("--ab-backend", backend, "-k", "labels or optimizers")
        yield Step(backend, f"And on {backend}?", 5, benchmark(folder, *chosen))
    yield Step("all", "What do all experiments find?", 25, benchmark(folder))


def carry_out(step: Step, folder: Path, seconds: float) -> str:
    """Carry out a step, its output in a log; return how it ended."""
    with (folder / f"{step.name}.log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, *step.arguments],
            cwd=ROOT,
            env=os.environ | step.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = running.wait(seconds)
        except subprocess.TimeoutExpired:
            return _cut_off(running)
    return {0: "well", 5: "nothing to run"}.get(status, f"exit status {status}")


def _cut_off(running: subprocess.Popen[bytes]) -> str:
    """End a step as Ctrl-C does: its run file then ends with the round under way."""
    running.send_signal(signal.SIGINT)
    try:
        running.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
    return "cut off"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("first-gpu"))
    parser.add_argument("--minutes", type=float, default=25.0, help="all together")
    parser.add_argument("--only", nargs="*", help="steps by name")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    end, failed = clock.now() + 60 * asked.minutes, False
    summary = (folder / "summary.md").open("a")
    for step in steps(folder):
        left = end - clock.now()
        if left < LEAST_S or (asked.only and step.name not in asked.only):
            continue
        begun = clock.now()
        how = carry_out(step, folder, min(left, 60 * step.minutes))
        line = f"- {step.name}: {how}, {clock.now() - begun:.0f} s. {step.asks}"
        print(line, flush=True)
        print(line, file=summary, flush=True)
        failed = failed or how.startswith("exit")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
