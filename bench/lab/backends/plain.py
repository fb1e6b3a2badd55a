"""No framework: arms are plain Python or NumPy. Used to study the lab itself."""

from __future__ import annotations

import random
from typing import Any

from bench.lab.backends.plain_probes import probes as probes

PRELOAD: tuple[str, ...] = ("numpy",)
ENVIRONMENT: dict[str, str] = {}
INSTALL = "pip install keras-ab"


def open_device(seed: int) -> None:
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


def facts() -> dict[str, Any]:
    """Return the one device that there is."""
    return {"devices": [{"name": "CPU", "kind": "cpu"}]}
