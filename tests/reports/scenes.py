"""One simulated trial for each thing that a report has to show.

As a script it writes them to a folder: ``python -m tests.reports.scenes FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from keras_ab.bench.lab.record.records import Absent, Failure
from tests.reports.simulated import GPU, MACHINE, Scene, claim, header, write


def scenes() -> list[Scene]:
    """Return one scene for each thing that a report has to show."""
    sizes = {
        "one_hot": {"label_bytes": 1.9e7},
        "sparse_int32": {"label_bytes": 1.9e4},
        "sparse_uint16": {"label_bytes": 0.95e4},
    }
    labels = "Do sparse labels save memory or time against one-hot labels?"
    return [
        Scene(
            "labels",
            labels,
            {"classes": 10, "batch": 256},
            {"one_hot": 1.0, "sparse_int32": 1.0, "sparse_uint16": 1.004},
            noise=0.006,
            sizes={arm: {"label_bytes": v["label_bytes"] / 100} for arm, v in sizes.items()},
            claims=[
                claim(
                    "labels.saves-memory", "sparse_int32", "peak_device_memory_bytes", at_most=0.99
                )
            ],
        ),
        Scene(
            "labels",
            labels,
            {"classes": 1000, "batch": 256},
            {"one_hot": 1.0, "sparse_int32": 0.93, "sparse_uint16": 0.94},
            sizes=sizes,
            peak={"sparse_int32": 0.91, "sparse_uint16": 0.91},
            claims=[
                claim("labels.compact", "sparse_uint16", "label_bytes", at_most=0.01),
                claim(
                    "labels.saves-memory", "sparse_int32", "peak_device_memory_bytes", at_most=0.99
                ),
            ],
        ),
        Scene(
            "optimizers",
            "Do Adafactor and SM3 save memory against Adam, and do they speed up training?",
            {"width": 512, "depth": 2},
            {"adam": 1.0, "adafactor": 1.31, "sm3": 1.03, "sm3_momentum": 1.05},
            sizes={
                "adam": {"optimizer_state_bytes": 7.3e6},
                "adafactor": {"optimizer_state_bytes": 2.1e4},
                "sm3": {"optimizer_state_bytes": 2.0e4},
                "sm3_momentum": {"optimizer_state_bytes": 3.7e6},
            },
            peak={"adafactor": 0.8},
            quality={"adam": 0.953, "adafactor": 0.951, "sm3": 0.931, "sm3_momentum": 0.955},
            claims=[
                claim("optimizers.adafactor-faster", "adafactor", "step_time_s", at_most=1.0),
                claim("optimizers.sublinear", "adafactor", "optimizer_state_bytes", at_most=0.1),
            ],
        ),
        Scene(
            "jit",
            "Does XLA make a step faster, and when has it paid for its compile time?",
            {"batch": 64},
            {"plain": 1.0, "jit": 0.8, "jit_and_pad": 1.01},
            noise=0.06,
            blocks=5,
            first_step={"jit": 6.0, "jit_and_pad": 6.5},
            others_cpu=0.9,
            end="budget",
            claims=[claim("jit.at-least-free", "jit_and_pad", "step_time_s", at_most=1.0)],
        ),
        Scene(
            "recompute",
            "Does recomputing activations trade time for memory?",
            {"blocks": 16},
            {"none": 1.0, "each": 1.3},
            blocks=0,
            guard_error=0.02,
            end="guard",
            claims=[
                claim("recompute.saves-memory", "each", "peak_device_memory_bytes", at_most=0.5)
            ],
        ),
        _failing(),
        Scene(
            "mixed_precision",
            "Does float16 make a step faster?",
            {"batch": 64},
            {"float32": 1.0, "float16": 0.5},
            blocks=0,
            end="absent",
            extra=[
                Absent(
                    trial="mixed_precision[batch=64]",
                    arm="float16",
                    reason="float16 matrix units need a GPU of compute capability 7.0 or more",
                )
            ],
            claims=[claim("mixed_precision.twice", "float16", "step_time_s", at_most=0.5)],
        ),
    ]


def _failing() -> Scene:
    scene = Scene(
        "accumulation",
        "Does accumulating gradients cost time?",
        {"batch": 32},
        {"plain": 1.0, "accumulate": 1.02, "accumulate_fused": 1.0},
        blocks=3,
        end="failed",
        lost=("accumulate_fused",),
    )
    trace = 'Traceback (most recent call last):\n  File "worker.py", line 7, in step\nMemoryError'
    scene.extra.append(
        Failure(
            trial=scene.name,
            arm="accumulate_fused",
            stage="sampling",
            what="raised",
            message="MemoryError: could not allocate 8 GiB",
            traceback=trace,
        )
    )
    return scene


def rich(folder: Path) -> list[Path]:
    """Write two runs on two machines: everything that can happen, and one that was cut off."""
    slow = {"lowest_sm_clock_hz": 1.2e9, "temperature_c": 84, "throttled": ["power cap"]}
    gpu = [
        Scene(
            scene.experiment,
            scene.question,
            scene.case,
            {arm: 2 - true for arm, true in scene.step.items()},
            sizes=scene.sizes,
            gpu=slow,
            blocks=6,
            claims=scene.claims,
        )
        for scene in scenes()[:2]
    ]
    gpu[-1].blocks, gpu[-1].unfinished_rounds, gpu[-1].end = 3, 4, None
    return [
        write(folder / "cpu.jsonl", header("2026-01-02T0304-cpu000"), scenes()),
        write(
            folder / "gpu.jsonl",
            header("2026-01-02T0304-gpu000", MACHINE | {"gpus": [GPU]}),
            gpu,
            seal=False,
            first_seed=100,
        ),
    ]


if __name__ == "__main__":
    rich(Path(sys.argv[1]))
