"""A recipe's loss by name; some need to know how many examples each class has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_ab.bench.workloads.recipe import Params, Recipe, Workload


def loss(workload: Workload, recipe: Recipe, case: Params) -> Any:
    """Return the loss of logits that a recipe names."""
    import keras

    if recipe.loss == "cross_entropy":
        if recipe.labels.startswith("one_hot"):
            return keras.losses.CategoricalCrossentropy(from_logits=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    from keras_ab.kernels import long_tail_losses

    if recipe.loss == "focal":
        return long_tail_losses.FocalLoss()
    counted = {
        "class_balanced": long_tail_losses.ClassBalancedLoss,
        "logit_adjusted": long_tail_losses.LogitAdjustedLoss,
    }
    return counted[recipe.loss](class_counts(workload, case))


def class_counts(workload: Workload, case: Params) -> list[int]:
    """Return how many examples of each class a workload trains on."""
    labels = workload.data(case)[1]
    return np.bincount(labels, minlength=workload.classes(case)).tolist()
