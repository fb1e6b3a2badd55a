"""What is measured: each metric's unit, direction and scale, declared once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.steps import CHECKED

UNITS = ("s", "B", "FLOP", "J", "1", "lines")

Dimension = Literal["time", "memory", "quality", "energy"]
"""What an arm can gain in, or lose in."""
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Args:
        name: column name, ending in the unit where there is one (``step_time_s``).
        title: the name for people.
        unit: ``s``, ``B`` (bytes), ``FLOP``, ``J``, ``lines`` or ``1`` (dimensionless).
        better: which direction is better.
        scale: arms are compared by their ``ratio`` or by their ``difference``.
        margin: the largest difference that does not matter, on the metric's scale (0.02 is 2 % of
            a ratio, or 0.02 of a difference); None stands for the plan's margin.
        per: whether there is a value for every ``round``, ``block`` or judged ``seed``.
        moved_by_step: whether it is what a step moves, so that over the step time it is a
            bandwidth, which the report then tells.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    name: str
    title: str
    unit: str
    better: Literal["less", "more"] = "less"
    scale: Literal["ratio", "difference"] = "ratio"
    margin: float | None = None
    per: Literal["round", "block", "seed"] = "block"
    moved_by_step: bool = False

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise DeclarationError(
                f"a metric's unit is one of {', '.join(UNITS)}",
                f"{self.unit!r} for {self.name!r}",
                "record SI units (seconds, bytes) and let the report choose the prefix",
            )


STEP_TIME = Metric("step_time_s", "step time", "s", per="round")
BUILD_TIME = Metric("build_time_s", "build time", "s")
FIRST_STEP_TIME = Metric("first_step_time_s", "first step", "s")
PEAK_DEVICE_MEMORY = Metric("peak_device_memory_bytes", "peak device memory", "B")
PEAK_HOST_MEMORY = Metric("peak_host_memory_bytes", "peak host memory", "B")
HOST_HIGH_WATER = Metric("host_high_water_bytes", "host high-water mark", "B")
OPTIMIZER_STATE = Metric("optimizer_state_bytes", "optimizer state", "B")
WEIGHTS = Metric("weights_bytes", "weights", "B")
STEP_ENERGY = Metric("step_energy_j", "energy of a step", "J")
STEP_FLOP = Metric("step_flop", "products of a step", "FLOP")
LEAST_MOVED = Metric("least_moved_bytes", "least moved by a step", "B")
STEPS_TO_TARGET = "steps_to_target"
"""What an experiment calls the steps that training takes to a fixed quality, if it tells them."""
TARGET_REACHED = Metric("target_reached", "target reached", "1", "more", "difference", margin=0.02)
"""Whether it was reached, 1 or 0, if it tells that too; else the steps count as it says."""
TIME_TO_TARGET = Metric("time_to_target_s", "time to the target", "s", margin=0.05)
"""These steps times the step time: the judge's, from the two, wherever the steps are told."""
LABELS = Metric("label_bytes", "stored labels", "B")

MEASURED = (
    STEP_TIME,
    FIRST_STEP_TIME,
    BUILD_TIME,
    STEP_ENERGY,
    PEAK_DEVICE_MEMORY,
    PEAK_HOST_MEMORY,
    HOST_HIGH_WATER,
    WEIGHTS,
    OPTIMIZER_STATE,
    STEP_FLOP,
    LEAST_MOVED,
)
"""What the lab can measure of any arm, in the order of the report."""

GIVEN = (LABELS,)
"""What recipes tell of any arm, reported where an experiment declares it."""


def named(name: str, metrics: Iterable[Metric]) -> Metric:
    """Return the metric called `name`."""
    known = {metric.name: metric for metric in metrics}
    if name not in known:
        raise DeclarationError(
            "a claim or measurement names a declared metric",
            repr(name),
            f"use one of {', '.join(sorted(known))}, or declare it in the experiment's metrics",
        )
    return known[name]
