"""Outcomes of the published run beside independent arithmetic: bytes of labels, state, activations.

``python -m tests.studies.arithmetic`` writes docs/arithmetic.md; a test repeats it. Nothing here is
taken from the suite but a trial's case: shapes and formulas stand below, and in the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from keras_ab.reports.loading import load

ROOT = Path(__file__).parents[2]
RUN = ROOT / "examples" / "quick-cpu-xeon-2-cores.jsonl"
TABLE = ROOT / "docs" / "arithmetic.md"
FLOAT = 4
"""Bytes of a float32."""
COUNTERS = 12
"""Bytes that every optimizer of Keras keeps besides: the step's number and the learning rate."""

HEAD = """# Outcomes beside arithmetic

What a run says of bytes can be worked out with pencil and paper from the shapes of a case. Here is
what was measured in `examples/{run}` beside what it must be, and how far they lie apart.

This page is made by `python -m tests.studies.arithmetic`; no number in it was typed.

| experiment | arm | what | reckoned | measured | apart |
|---|---|---|---|---|---|
"""

Case = Mapping[str, Any]


def perceptron(case: Case) -> list[tuple[int, ...]]:
    """Return the shapes of a perceptron's weights: 784 pixels, `depth` × `width` units, 10."""
    sizes = [784, *[int(case["width"])] * int(case["depth"]), 10]
    return [shape for a, b in pairwise(sizes) for shape in ((a, b), (b,))]


def numbers(case: Case) -> int:
    """Return how many weights a perceptron has."""
    return sum(math.prod(shape) for shape in perceptron(case))


def covered(case: Case) -> int:
    """Return how many numbers rows and columns take in the place of a matrix (SM3, Adafactor)."""
    return sum(sum(shape) for shape in perceptron(case))


def feature_map(case: Case) -> int:
    """Return the bytes of one activation of the residual chain, ``(batch, 28, 28, channels)``."""
    return FLOAT * int(case["batch"]) * 28 * 28 * int(case["channels"])


def fused_convolutions(case: Case) -> int:
    """Return the bytes of `depth` 3×3 convolutions with a bias on one channel, and of a head."""
    channels, depth = int(case["channels"]), int(case["depth"])
    kernels = 9 * channels * (1 + (depth - 1) * channels)
    return FLOAT * (kernels + depth * channels + 10 * (channels + 1))


@dataclass(frozen=True)
class Reckoned:
    """One outcome, and what arithmetic makes of it.

    Args:
        experiment: its name.
        arm: the arm.
        metric: in bytes.
        formula: in words.
        of: the bytes of a case.
        within: how far apart they may lie, as a share.
    """

    experiment: str
    arm: str
    metric: str
    formula: str
    of: Callable[[Case], float]
    within: float = 1e-6


STATE, PEAK = "optimizer_state_bytes", "peak_device_memory_bytes"
RECKONED = (
    Reckoned(
        "labels",
        "sparse_uint16",
        "label_bytes",
        "2 bytes for each of the whole batches of 5000 digits",
        lambda case: 2 * (5000 - 5000 % int(case["batch"])),
    ),
    Reckoned(
        "integer_dtypes",
        "uint8",
        "feature_bytes",
        "a byte for each of 784 pixels",
        lambda case: 784 * int(case["images"]),
    ),
    Reckoned(
        "float_dtypes",
        "float32",
        "feature_bytes",
        "4 bytes for each of 784 pixels",
        lambda case: FLOAT * 784 * int(case["images"]),
    ),
    Reckoned(
        "optimizers",
        "lion",
        STATE,
        "a float for each weight",
        lambda case: FLOAT * numbers(case) + COUNTERS,
    ),
    Reckoned(
        "optimizers",
        "sm3",
        STATE,
        "a float for each row and column (Anil et al., section 3)",
        lambda case: FLOAT * covered(case) + COUNTERS,
    ),
    Reckoned(
        "optimizers",
        "sm3_momentum",
        STATE,
        "the same, and a float for each weight",
        lambda case: FLOAT * (covered(case) + numbers(case)) + COUNTERS,
    ),
    Reckoned(
        "acnet_inference",
        "fused",
        "weights_bytes",
        "depth 3×3 kernels with a bias, and a head",
        fused_convolutions,
    ),
    Reckoned(
        "recompute",
        "each_block",
        PEAK,
        "what enters each block; of one, three activations and a gradient",
        lambda case: feature_map(case) * (int(case["depth"]) + 4),
        0.1,
    ),
)


def measured(rows: Any, wanted: Reckoned) -> tuple[Case, float]:
    """Return the case of an outcome, and its value."""
    of_arm = rows[(rows.experiment == wanted.experiment) & (rows.arm == wanted.arm)]
    row = of_arm[of_arm.metric == wanted.metric].iloc[0]
    return dict(pair.split("=") for pair in row["case"].split(", ")), float(row["arm_value"])


def outcomes() -> list[tuple[Reckoned, float, float]]:
    """Return each outcome with what was reckoned and what was measured."""
    rows = load([RUN]).trials
    found = []
    for wanted in RECKONED:
        case, value = measured(rows, wanted)
        found.append((wanted, float(wanted.of(case)), value))
    return found


def apart(reckoned: float, value: float) -> float:
    """Return how far two numbers lie apart, as a share of the first."""
    return abs(value - reckoned) / reckoned


def table() -> str:
    """Return the page."""
    lines = [
        f"| {r.experiment} | `{r.arm}` | {r.metric}: {r.formula} | {reckoned:,.0f} | {value:,.0f} "
        f"| {100 * apart(reckoned, value):.2g} % |"
        for r, reckoned, value in outcomes()
    ]
    return HEAD.format(run=RUN.name) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
