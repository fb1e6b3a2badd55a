"""A multi-layer perceptron that classifies images into any number of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import digits
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload


def model(case: Params, recipe: Recipe) -> Any:
    """Return `depth` hidden layers of `width` units between 784 pixels and the classes.

    GELU, not ReLU: units that are silent for a whole batch give gradients with rows and columns of
    zeros, with which Keras 3.15's Adafactor gives NaN (a test shows it).
    """
    import keras

    inputs = keras.Input((784,))
    x = inputs
    for _ in range(int(case.get("depth", 1))):
        x = keras.layers.Dense(int(case["width"]), activation="gelu")(x)
    return keras.Model(inputs, keras.layers.Dense(classes(case), dtype="float32", name="head")(x))


def classes(case: Params) -> int:
    """Return the number of classes."""
    return int(case.get("classes", 10))


def data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return real digits; with other than 10 classes, the same images under drawn labels.

    The cost of a step does not depend on what the labels say, only on how many classes there are.
    """
    images, labels = digits.mnist()
    if classes(case) != 10:
        labels = np.random.default_rng(0).integers(classes(case), size=len(images), dtype=np.int32)
    keep = len(images) - len(images) % int(case["batch"])
    return images[:keep].reshape(keep, 784), labels[:keep]


MANY_CLASSES = Workload(model, data, classes)


def train_data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits kept for training."""
    part = digits.split(*digits.mnist())
    return part.train_images.reshape(-1, 784), part.train_labels


def test_data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits kept for testing."""
    part = digits.split(*digits.mnist())
    return part.test_images.reshape(-1, 784), part.test_labels


DIGITS = Workload(model, train_data, classes, test_data)
