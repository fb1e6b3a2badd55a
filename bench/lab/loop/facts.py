"""What can change a number: the machine, the software, the settings, the load."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.gpu import Gpu
from keras_ab.bench.lab.words.anonymous import anonymous_facts
from keras_ab.bench.lab.words.backend_names import FRAMEWORKS

ROOT = Path(__file__).resolve().parents[3]
"""The checkout of this code; where it is installed, some folder."""

PACKAGES = (
    "keras-ab",
    *(name for framework in FRAMEWORKS.values() for name in framework.packages),
    *(name for framework in FRAMEWORKS.values() for name in framework.with_them),
    "keras",
    "numpy",
    "ml-dtypes",
    "optree",
    "nvidia-cudnn-cu12",
    "nvidia-cublas-cu12",
)

PREFIXES = (
    *(prefix for framework in FRAMEWORKS.values() for prefix in framework.variables),
    "CUDA_",
    "KERAS_",
    "KMP_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTHONHASHSEED",
)
"""Environment variables that change what is computed or how fast."""


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
    present = cpu_flags()
    return [flag for flag in wanted if flag in present]


@cache
def cpu_flags() -> frozenset[str]:
    """Return all instruction sets that the kernel tells of."""
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def governors() -> list[str]:
    """Return the clock governors in use, where the kernel shows them."""
    found = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({path.read_text().strip() for path in found})


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def machine(device: Device | None = None) -> dict[str, Any]:
    """Return what stays the same while the machine is the same: GPUs are what is measured on."""
    return {
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": usable_cores(),
        "cpu_flags": _cpu_flags(),
        "memory_bytes": psutil.virtual_memory().total,
        "architecture": platform.machine(),
        "gpus": [gpu.facts() for gpu in _measured_on(device)],
    }


def _measured_on(device: Device | None) -> list[Gpu]:
    return [device.gpu] if device and device.gpu else []


def environment(device: Device | None = None) -> dict[str, Any]:
    """Return software and settings; a run whose environment changes midway is invalid.

    Of the paths in them only what is nobody's own, see `anonymous`.
    """
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return anonymous_facts(
        {
            "python": platform.python_version(),
            "packages": installed,
            "kernel": f"{platform.system()} {platform.release()}",
            "variables": variables(os.environ),
            "governors": governors(),
            "gpu_settings": [gpu.settings() for gpu in _measured_on(device)],
        }
    )


def variables(given: Mapping[str, str]) -> dict[str, str]:
    """Return those of some environment variables that change what is computed or how fast."""
    return {name: value for name, value in sorted(given.items()) if name.startswith(PREFIXES)}


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


def git(root: Path = ROOT) -> dict[str, Any] | None:
    """Return the commit of this code and whether it was changed since; None outside a checkout.

    Installed, this code may lie inside somebody's own repository, whose commits say nothing of it.
    """
    try:
        if Path(_asked(root, "rev-parse", "--show-toplevel")).resolve() != root:
            return None
        commit = _asked(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_asked(root, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _asked(root: Path, *command: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(root), *command],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
