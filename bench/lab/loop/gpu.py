"""NVIDIA GPUs through NVML: facts, settings, clocks, power, energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""NVML's clock event bits that slow a GPU down; idling and application clocks are none of them."""

SLOWED_BY = {0: "power cap", 1: "thermal", 3: "board limit", 5: "reliability"}
"""NVML's performance policies whose counters tell for how long they held the clocks down."""

EXCLUSIVE = {2: "prohibited", 3: "exclusive process"}
"""NVML's compute modes in which the arms of a block cannot live side by side."""


class Gpu:
    """One NVIDIA GPU, or an instance of one that MIG has parted, through NVML.

    Clocks and temperature of an instance are those of its GPU; power and energy are not its own.

    Source: NVIDIA, NVML API Reference, https://docs.nvidia.com/deploy/nvml-api/.
    """

    def __init__(self, handle: Any) -> None:
        import pynvml

        self._nvml = pynvml
        self._handle = handle
        self._whole = self._ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)
        self.is_part = self._whole is not None
        self._whole = self._whole if self.is_part else handle
        self.uuid = str(self._ask("nvmlDeviceGetUUID", handle))
        self.name = str(self._ask("nvmlDeviceGetName", handle))

    def _ask(self, function: str, *args: Any) -> Any:
        """Ask NVML; None where this GPU or driver does not tell."""
        try:
            return getattr(self._nvml, function)(*args)
        except self._nvml.NVMLError:
            return None

    def parts(self) -> list[Gpu]:
        """Return the instances that MIG has parted this GPU into; none where it has not."""
        if 1 not in (self._ask("nvmlDeviceGetMigMode", self._handle) or ())[:1]:
            return []
        most = self._ask("nvmlDeviceGetMaxMigDeviceCount", self._handle) or 0
        ask = self._ask
        found = (ask("nvmlDeviceGetMigDeviceHandleByIndex", self._handle, n) for n in range(most))
        return [Gpu(handle) for handle in found if handle is not None]

    @property
    def memory_bytes(self) -> int | None:
        """The size of its memory."""
        memory = self._ask("nvmlDeviceGetMemoryInfo", self._handle)
        return memory.total if memory else None

    def facts(self) -> dict[str, Any]:
        """Return name, identity, memory, driver and limits."""
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", self._whole)
        return {
            "name": self.name,
            "uuid": self.uuid,
            "memory_bytes": self.memory_bytes,
            "compute_capability": list(capability) if capability else None,
            "driver": self._ask("nvmlSystemGetDriverVersion"),
            "max_sm_clock_hz": _hertz(self._ask("nvmlDeviceGetMaxClockInfo", self._whole, 1)),
            "max_memory_clock_hz": _hertz(self._ask("nvmlDeviceGetMaxClockInfo", self._whole, 2)),
        }

    def settings(self) -> dict[str, Any]:
        """Return what an administrator can change."""
        return {
            "power_limit_w": _thousandth(self._ask("nvmlDeviceGetEnforcedPowerLimit", self._whole)),
            "persistence": self._ask("nvmlDeviceGetPersistenceMode", self._whole),
            "mig": self._ask("nvmlDeviceGetMigMode", self._whole),
        }

    def state(self) -> dict[str, Any]:
        """Return clocks, power, temperature and reasons for throttling, now.

        ``slowed_s`` are seconds since the driver was loaded in which the clocks were held down.
        """
        mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", self._whole) or 0
        power = None if self.is_part else self._ask("nvmlDeviceGetPowerUsage", self._whole)
        return {
            "sm_clock_hz": _hertz(self._ask("nvmlDeviceGetClockInfo", self._whole, 1)),
            "memory_clock_hz": _hertz(self._ask("nvmlDeviceGetClockInfo", self._whole, 2)),
            "power_w": _thousandth(power),
            "temperature_c": self._ask("nvmlDeviceGetTemperature", self._whole, 0),
            "throttled": [name for bit, name in THROTTLE_REASONS.items() if mask & bit],
            "slowed_s": dict(self._slowed()),
        }

    def _slowed(self) -> Iterator[tuple[str, float]]:
        for policy, reason in SLOWED_BY.items():
            held = self._ask("nvmlDeviceGetViolationStatus", self._whole, policy)
            if held is not None:
                yield reason, held.violationTime / 1e9

    def energy_j(self) -> float | None:
        """Return the joules used since the driver was loaded; None where nobody counts them."""
        if self.is_part:
            return None  # its neighbours' are among them
        return _thousandth(self._ask("nvmlDeviceGetTotalEnergyConsumption", self._whole))

    def exclusive(self) -> str:
        """Return the compute mode where only one process may use this GPU, else nothing."""
        return EXCLUSIVE.get(self._ask("nvmlDeviceGetComputeMode", self._whole), "")

    def processes(self) -> list[int]:
        """Return the ids of processes that compute on it."""
        found = self._ask("nvmlDeviceGetComputeRunningProcesses", self._handle)
        return [process.pid for process in found or ()]


def _hertz(mhz: int | None) -> float | None:
    return None if mhz is None else mhz * 1e6


def _thousandth(milli: int | None) -> float | None:
    return None if milli is None else milli / 1e3


def gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs in the order of their places on the bus; none without a driver.

    In the place of one that MIG has parted stand its instances.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        whole = [Gpu(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    except pynvml.NVMLError:
        return []
    return [part for gpu in whole for part in gpu.parts() or [gpu]]


def worst_gpu_state(
    states: list[dict[str, Any]], before: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return lowest clocks, highest power and temperature and all throttle reasons of a round.

    Args:
        states: after each sample, when the GPU may have gone idle already.
        before: as the round began: what a counter has gained since slowed the round down.
    """
    if not states:
        return None

    def told(name: str) -> list[float]:
        return [state[name] for state in states if state.get(name) is not None]

    seen = {reason for state in states for reason in state["throttled"]}
    return {
        "lowest_sm_clock_hz": min(told("sm_clock_hz"), default=None),
        "lowest_memory_clock_hz": min(told("memory_clock_hz"), default=None),
        "highest_power_w": max(told("power_w"), default=None),
        "temperature_c": max(told("temperature_c"), default=None),
        "throttled": sorted(seen | set(_gained(before or {}, states[-1]))),
    }


def _gained(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the reasons whose counters have grown; one that fell was reset."""
    then, now = (state.get("slowed_s", {}) for state in (before, after))
    return [reason for reason, held_s in now.items() if held_s > then.get(reason, held_s)]
