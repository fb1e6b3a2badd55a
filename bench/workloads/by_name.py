"""One workload that is the model a case names: a perceptron, a CNN, a transformer or a chain."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.workloads import (
    classifier,
    image_sets,
    residual_chain,
    resnet,
    vision_transformer,
)
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload

MODELS: dict[str, Workload] = {
    "mlp": classifier.DIGITS,
    "resnet": resnet.RESNET,
    "vit": vision_transformer.VISION_TRANSFORMER,
    "chain": residual_chain.RESIDUAL_CHAIN,
}
"""The models by the name that a case gives as ``model``; each reads further parameters."""


def named(case: Params) -> Workload:
    """Return the workload that a case names.

    Raises:
        DeclarationError: when it names none that there is.
    """
    name = str(case.get("model"))
    if name not in MODELS:
        raise DeclarationError(
            "a case names its model", f"model={name!r}", f"use one of {', '.join(MODELS)}"
        )
    return MODELS[name]


def model(case: Params, recipe: Recipe) -> Any:
    """Build the model that a case names."""
    return named(case).model(case, recipe)


def data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs and labels to learn from, in the shape that the model takes."""
    return named(case).data(case)


def test_data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs and labels to test on, in the shape that the model takes."""
    images, labels = image_sets.test_data(case)
    return images.reshape(len(images), *data(case)[0].shape[1:]), labels


def classes(case: Params) -> int:
    """Return the number of classes."""
    return named(case).classes(case)


BY_NAME = Workload(model, data, classes, test_data)
