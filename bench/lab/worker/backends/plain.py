"""No framework: arms are plain Python or NumPy. Used to study the lab itself."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.lab.words.steps import MemoryShare, Products
from keras_ab.bench.lab.worker.backends.plain_probes import probes as probes
from keras_ab.bench.lab.worker.tracing import Tracer as Tracing

PRELOAD: tuple[str, ...] = ("numpy",)
ENVIRONMENT: dict[str, str] = {}
INSTALL = "pip install keras-ab"
INSTALL_GPU = ""


def open_device(memory: MemoryShare | None, counted: bool = False) -> None:
    """Do nothing: what arms compute on is theirs to open."""


def device_kind() -> Literal["gpu", "cpu"]:
    """Return that Python runs on the CPU."""
    return "cpu"


def use_products(products: Products) -> None:
    """Do nothing: there is one precision."""


def products() -> Products:
    """Return that NumPy multiplies float32 as it is."""
    return "float32"


def seed(seed: int) -> None:
    """Seed Python's and NumPy's generators."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)


def synchronise() -> None:
    """Do nothing: plain Python has done its work when it returns."""


def reset_peak_memory() -> None:
    """Do nothing: there is no device."""


def peak_memory_bytes() -> int | None:
    """Return None: there is no device."""
    return None


def to_numpy(value: Any) -> Any:
    """Return an array."""
    import numpy as np

    return np.asarray(value)


def memory_bytes() -> int | None:
    """Return None: there is no device."""
    return None


def Tracer(_: Path) -> Tracing:  # noqa: N802 - a class in other backends
    """Refuse: there is no framework, hence no profiler of its own."""
    raise NotMeasuredHere(
        "a profile is recorded by the framework's own profiler",
        "arms without a framework",
        "run with --ab-backend tensorflow, jax or torch",
    )


def facts() -> dict[str, Any]:
    """Return the one device that there is."""
    return {"devices": [{"name": "CPU", "kind": "cpu"}]}
