"""The forms in which labels are stored."""

from __future__ import annotations

import numpy as np

LABELS = ("sparse_int32", "sparse_uint16", "one_hot_float32")


def store(labels: np.ndarray, form: str, classes: int) -> np.ndarray:
    """Return class indices ``(n,)`` in one of the forms of `LABELS`."""
    kind, _, dtype = form.rpartition("_")
    return np.eye(classes, dtype=dtype)[labels] if kind == "one_hot" else labels.astype(dtype)
