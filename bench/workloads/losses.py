"""Losses by name; some need to know how many examples each class has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

COUNTED = {"class_balanced": "ClassBalancedLoss", "logit_adjusted": "LogitAdjustedLoss"}
"""Those of `long_tail_losses` that weigh classes by their number of examples."""

LOSSES = ("cross_entropy", "focal", *COUNTED)


def loss(name: str, *, one_hot: bool, counts: Callable[[], list[int]]) -> Any:
    """Return a loss of logits.

    Args:
        name: one of `LOSSES`.
        one_hot: whether labels are rows, not class indices; for the cross-entropy alone.
        counts: return how many examples of each class there are.
    """
    import keras

    if name == "cross_entropy":
        if one_hot:
            return keras.losses.CategoricalCrossentropy(from_logits=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    from keras_ab.kernels import long_tail_losses

    if name == "focal":
        return long_tail_losses.FocalLoss()
    return getattr(long_tail_losses, COUNTED[name])(counts())
