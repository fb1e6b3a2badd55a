"""What can change a number: the machine, the software, the settings, the load."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.lab import clock

PACKAGES = (
    "keras-ab",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "jax",
    "jaxlib",
    "torch",
    "numpy",
    "ml-dtypes",
    "optree",
    "nvidia-cudnn-cu12",
    "nvidia-cublas-cu12",
)

PREFIXES = (
    "CUDA_",
    "JAX_",
    "KERAS_",
    "KMP_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTHONHASHSEED",
    "TF_CPP_",
    "TF_CPU_",
    "TF_CUDNN_",
    "TF_DETERMINISTIC_",
    "TF_DISABLE_",
    "TF_ENABLE_",
    "TF_FORCE_",
    "TF_GPU_",
    "TF_NUM_",
    "TF_ONEDNN_",
    "TF_USE_",
    "TF_XLA_",
    "TORCH_",
    "XLA_",
)
"""Environment variables that change what is computed or how fast.

TensorFlow's are listed one by one: Terraform's begin with ``TF_`` as well, and hold secrets.
"""


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _cpu_model() -> str:
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    """Return the instruction sets that frameworks choose their kernels by."""
    wanted = (
        "avx2",
        "avx512f",
        "avx512_bf16",
        "avx512_fp16",
        "amx_bf16",
        "amx_tile",
        "asimd",
        "sve",
    )
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("flags", "Features")):
            present = set(line.partition(":")[2].split())
            return [flag for flag in wanted if flag in present]
    return []


def governors() -> list[str]:
    """Return the clock governors in use, where the kernel shows them."""
    found = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({path.read_text().strip() for path in found})


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def machine() -> dict[str, Any]:
    """Return what stays the same while the machine is the same."""
    return {
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": usable_cores(),
        "cpu_flags": _cpu_flags(),
        "memory_bytes": psutil.virtual_memory().total,
        "architecture": platform.machine(),
        "gpus": [gpu.facts() for gpu in gpus()],
    }


def environment() -> dict[str, Any]:
    """Return software and settings; a run whose environment changes midway is invalid."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "packages": installed,
        "kernel": f"{platform.system()} {platform.release()}",
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(PREFIXES)},
        "governors": governors(),
        "gpu_settings": [gpu.settings() for gpu in gpus()],
    }


def conditions() -> dict[str, Any]:
    """Return what varies from minute to minute, as the run starts."""
    return {
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "memory_available_bytes": psutil.virtual_memory().available,
        "temperatures_c": _temperatures(),
        "git": git(),
    }


def _temperatures() -> dict[str, float]:
    read: Callable[[], dict[str, Any]] = getattr(psutil, "sensors_temperatures", dict)
    return {name: sensors[0].current for name, sensors in read().items() if sensors}


def git() -> dict[str, Any] | None:
    """Return the commit of this code and whether it was changed since; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain"])
    try:
        commit, changed = (
            subprocess.run(  # noqa: S603
                ["git", "-C", str(root), *command],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def differences(before: dict[str, Any], after: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each leaf in which two nested facts differ."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{path}{key}.")
        elif old != new:
            lines.append(f"{path}{key}: {old!r} → {new!r}")
    return lines


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


class Load:
    """How much of the machine others use while a round is under way."""

    def begin(self) -> None:
        """Look at the machine as the round begins."""
        self._busy, self._wall = _busy_s(), clock.now()

    def others(self, own_cpu_s: float) -> float:
        """Return the cores that other processes kept busy since `begin`."""
        used, wall = _busy_s() - self._busy, clock.now() - self._wall
        return round(max(0.0, used - own_cpu_s) / wall, 3) if wall > 0 else 0.0


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
