"""NVIDIA GPUs through NVML: facts, settings, clocks, power, energy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Gpu:
    """One NVIDIA GPU, by its index or UUID, through NVML.

    Source: NVIDIA, NVML API Reference, https://docs.nvidia.com/deploy/nvml-api/.
    """

    def __init__(self, which: int | str) -> None:
        import pynvml

        self._nvml = pynvml
        by = "Index" if isinstance(which, int) else "UUID"
        self._handle = getattr(pynvml, f"nvmlDeviceGetHandleBy{by}")(which)

    def _ask(self, function: str, *args: Any) -> Any:
        """Ask NVML; None where this GPU or driver does not tell."""
        try:
            return getattr(self._nvml, function)(*args)
        except self._nvml.NVMLError:
            return None

    def facts(self) -> dict[str, Any]:
        """Return name, memory, driver and limits."""
        memory = self._ask("nvmlDeviceGetMemoryInfo", self._handle)
        name = self._ask("nvmlDeviceGetName", self._handle)
        return {
            "name": name,
            "memory_bytes": memory.total if memory else None,
            "driver": self._ask("nvmlSystemGetDriverVersion"),
            "max_sm_clock_hz": _hertz(self._ask("nvmlDeviceGetMaxClockInfo", self._handle, 1)),
            "max_memory_clock_hz": _hertz(self._ask("nvmlDeviceGetMaxClockInfo", self._handle, 2)),
        }

    def settings(self) -> dict[str, Any]:
        """Return what an administrator can change."""
        return {
            "power_limit_w": _thousandth(
                self._ask("nvmlDeviceGetEnforcedPowerLimit", self._handle)
            ),
            "persistence": self._ask("nvmlDeviceGetPersistenceMode", self._handle),
            "mig": self._ask("nvmlDeviceGetMigMode", self._handle),
        }

    def state(self) -> dict[str, Any]:
        """Return clocks, power, temperature and reasons for throttling, now."""
        mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", self._handle) or 0
        return {
            "sm_clock_hz": _hertz(self._ask("nvmlDeviceGetClockInfo", self._handle, 1)),
            "memory_clock_hz": _hertz(self._ask("nvmlDeviceGetClockInfo", self._handle, 2)),
            "power_w": _thousandth(self._ask("nvmlDeviceGetPowerUsage", self._handle)),
            "temperature_c": self._ask("nvmlDeviceGetTemperature", self._handle, 0),
            "throttled": [name for bit, name in THROTTLE_REASONS.items() if mask & bit],
        }

    def energy_j(self) -> float | None:
        """Return the joules used since the driver was loaded; None where nobody counts them."""
        return _thousandth(self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle))


THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""NVML's clock event bits that slow a GPU down; idling and application clocks are none of them."""


def _hertz(mhz: int | None) -> float | None:
    return None if mhz is None else mhz * 1e6


def _thousandth(milli: int | None) -> float | None:
    return None if milli is None else milli / 1e3


def gpus(choose: Callable[[int], Iterable[int | str]] = range) -> list[Gpu]:
    """Return the NVIDIA GPUs, or those that `choose` picks of so many; none without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return [Gpu(which) for which in choose(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def visible(count: int) -> Iterator[int | str]:
    """Yield which of so many GPUs this process may use, as CUDA reads CUDA_VISIBLE_DEVICES.

    Source: NVIDIA, CUDA C++ Programming Guide, CUDA environment variables,
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/: what follows an index that does not
    exist is not seen.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    for name in map(str, range(count)) if chosen is None else chosen.split(","):
        if name.strip().startswith(("GPU-", "MIG-")):
            yield name.strip()
        elif name.strip().isdigit() and int(name) < count:
            yield int(name)
        else:
            return


def worst_gpu_state(states: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return lowest clocks, highest power and temperature and all throttle reasons of a round."""
    if not states:
        return None

    def told(name: str) -> list[float]:
        return [state[name] for state in states if state.get(name) is not None]

    return {
        "lowest_sm_clock_hz": min(told("sm_clock_hz"), default=None),
        "lowest_memory_clock_hz": min(told("memory_clock_hz"), default=None),
        "highest_power_w": max(told("power_w"), default=None),
        "temperature_c": max(told("temperature_c"), default=None),
        "throttled": sorted({reason for s in states for reason in s["throttled"]}),
    }
