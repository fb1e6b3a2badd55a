"""What the loop reads beside the workers: the clock, other load, the state of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.facts import usable_cores
from keras_ab.bench.lab.loop.gpu import gpus, visible
from keras_ab.bench.lab.loop.load import Load


def _gpu_gauge() -> Callable[[], list[dict[str, Any]]]:
    found = gpus(visible)
    return lambda: [gpu.state() for gpu in found]


def _energy_gauge() -> Callable[[], float | None]:
    found = gpus(visible)[:1]  # where a framework puts what is not told to go elsewhere
    return lambda: found[0].energy_j() if found else None


@dataclass
class Gauges:
    """The gauges of a machine; tests put fakes here."""

    now: Callable[[], float] = clock.now
    load: Load = field(default_factory=Load)
    gpu_states: Callable[[], list[dict[str, Any]]] = field(default_factory=_gpu_gauge)
    energy_j: Callable[[], float | None] = field(default_factory=_energy_gauge)
    cores: int = field(default_factory=usable_cores)
    """Processes that work side by side where nothing is timed."""
