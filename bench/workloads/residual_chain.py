"""A chain of residual convolution blocks: a workload in which activations dominate memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.lab.errors import NotMeasuredHere
from bench.workloads import digits
from bench.workloads.recipe import Params, Recipe, Workload


def blocks(count: int, channels: int) -> list[Any]:
    """Return layers ``x + conv(relu(conv(x)))`` on images ``(batch, height, width, channels)``."""
    import keras

    class Residual(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")
            self.second = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")

        def build(self, shape: Any) -> None:
            self.first.build(shape)
            self.second.build(shape)
            self.built = True

        def call(self, x: Any) -> Any:
            return x + self.second(self.first(x))

    return [Residual() for _ in range(count)]


def recomputed(segment: list[Any]) -> Any:
    """Return a layer that runs a segment and keeps only its input for the backward pass."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise NotMeasuredHere(
            "tf.recompute_grad works on TensorFlow's tensors",
            f"Keras runs on {keras.backend.backend()}",
            "run with --ab-backend tensorflow; keras.RematScope works on every backend",
        )
    import tensorflow as tf

    class Segment(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = segment

        def build(self, shape: Any) -> None:
            for block in self.blocks:
                block.build(shape)
            self.built = True

        def call(self, x: Any) -> Any:
            def run(y: Any) -> Any:
                for block in self.blocks:
                    y = block(y)
                return y

            return tf.recompute_grad(run)(x)

    return Segment()


def _chain(x: Any, depth: int, channels: int, recompute: str) -> Any:
    import keras

    if recompute == "remat_scope":
        with keras.RematScope(mode="full"):
            layers = blocks(depth, channels)
            for layer in layers:
                x = layer(x)
        return x
    layers = blocks(depth, channels)
    if recompute != "none":
        length = 1 if recompute == "each" else round(math.sqrt(depth))
        layers = [recomputed(layers[i : i + length]) for i in range(0, depth, length)]
    for layer in layers:
        x = layer(x)
    return x


def model(case: Params, recipe: Recipe) -> Any:
    """Return a stem, `depth` residual blocks of `channels`, and a classifier."""
    import keras

    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(int(case["channels"]), 3, padding="same")(inputs)
    x = _chain(x, int(case["depth"]), int(case["channels"]), recipe.recompute)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return real digits as images with one channel."""
    images, labels = digits.mnist()
    keep = len(images) - len(images) % int(case["batch"])
    return images[:keep, :, :, None], labels[:keep]


RESIDUAL_CHAIN = Workload(model, data, lambda _case: 10)
