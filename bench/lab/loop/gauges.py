"""What the loop reads beside the workers: the clock, other load, the state of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.facts import usable_cores
from keras_ab.bench.lab.loop.load import Load


def _no_gpu() -> None:
    """Return nothing: there is no GPU to look at."""


@dataclass
class Gauges:
    """The gauges of a machine; tests put fakes here.

    The GPU's are those of the one that workers compute on; None without.
    """

    now: Callable[[], float] = clock.now
    load: Load = field(default_factory=Load)
    gpu_state: Callable[[], dict[str, Any] | None] = _no_gpu
    energy_j: Callable[[], float | None] = _no_gpu
    cores: int = field(default_factory=usable_cores)
    """Processes that work side by side where nothing is timed."""

    @classmethod
    def of(cls, device: Device) -> Gauges:
        """Return the gauges of a machine and of the device that is measured on."""
        if device.gpu is None:
            return cls()
        return cls(gpu_state=device.gpu.state, energy_j=device.gpu.energy_j)
