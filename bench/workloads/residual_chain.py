"""A chain of residual convolution blocks: a workload in which activations dominate memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.workloads import image_sets
from keras_ab.bench.workloads.on_tensorflow import needs_tensorflow
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload

BLOCKS = ("plain", "stateful")
REMAT_SCOPE = ("full", "activations", "larger_than", "list_of_layers")
"""Modes of `keras.RematScope`."""


def blocks(count: int, channels: int, kind: str = "plain", inside: str | None = None) -> list[Any]:
    """Return residual layers on images ``(batch, height, width, channels)``.

    A plain block is ``x + conv(relu(conv(x)))``. A stateful one has BatchNorm and Dropout before
    the second convolution, and so takes ``training``. `inside` is the mode of `keras.RematScope`
    for the layers in a block: one that holds for the block would have them recomputed twice.
    """
    import keras

    class Plain(keras.layers.Layer):
        def __init__(self, name: str) -> None:
            super().__init__(name=name)
            with keras.RematScope(mode=inside):
                self.first, self.second = (
                    keras.layers.Conv2D(channels, 3, padding="same", activation="relu")
                    for _ in range(2)
                )

        def build(self, shape: Any) -> None:
            self.first.build(shape)
            self.second.build(shape)
            self.built = True

        def call(self, x: Any) -> Any:
            return x + self.second(self.first(x))

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    class Stateful(Plain):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            with keras.RematScope(mode=inside):
                self.norm = keras.layers.BatchNormalization()
                self.dropout = keras.layers.Dropout(0.2)

        def build(self, shape: Any) -> None:
            self.norm.build(shape)
            super().build(shape)

        def call(self, x: Any, training: bool | None = None) -> Any:
            y = self.norm(self.first(x), training=training)
            return x + self.second(self.dropout(y, training=training))

    block = {"plain": Plain, "stateful": Stateful}[kind]
    return [block(f"block_{i}") for i in range(count)]


def recomputed(segment: list[Any], kind: str = "plain") -> Any:
    """Return a layer that runs a segment and keeps only its input for the backward pass."""
    import keras

    needs_tensorflow(
        "tf.recompute_grad works on TensorFlow's tensors",
        "keras.RematScope works on every backend",
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

        def call(self, x: Any, training: bool | None = None) -> Any:
            mode = {"training": training} if kind == "stateful" else {}

            def run(y: Any) -> Any:
                for block in self.blocks:
                    y = block(y, **mode)
                return y

            return tf.recompute_grad(run)(x)

    return Segment()


def _chain(x: Any, case: Params, recompute: str) -> Any:
    """Run the chain on images, recomputing as the recipe says."""
    import keras

    depth, channels, kind = int(case["depth"]), int(case["channels"]), _kind(case)
    if recompute in REMAT_SCOPE:
        names = [f"block_{i}" for i in range(depth)]
        with keras.RematScope(mode=recompute, layer_names=names):
            inside = recompute if recompute == "activations" else None
            return _through(blocks(depth, channels, kind, inside), x)
    layers = blocks(depth, channels, kind)
    if recompute == "chain":
        from keras_ab.kernels.rematerialisation import RematerialisedChain

        layers = [RematerialisedChain(layers)]
    elif recompute != "none":
        length = 1 if recompute == "each" else round(math.sqrt(depth))
        layers = [recomputed(layers[i : i + length], kind) for i in range(0, depth, length)]
    return _through(layers, x)


def _kind(case: Params) -> str:
    kind = str(case.get("blocks", "plain"))
    if kind not in BLOCKS:
        raise DeclarationError(
            "a chain is of blocks that it knows", f"blocks={kind!r}", f"use {' or '.join(BLOCKS)}"
        )
    return kind


def _through(layers: list[Any], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def model(case: Params, recipe: Recipe) -> Any:
    """Return a stem, `depth` residual blocks of `channels`, and a classifier."""
    import keras

    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(int(case["channels"]), 3, padding="same")(inputs)
    x = _chain(x, case, recipe.recompute)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, dtype="float32", name="head")(x))


def data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return real digits to learn from, in whole batches, as images with one channel."""
    images, labels = image_sets.train_data(case)
    keep = len(images) - len(images) % int(case["batch"])
    return images[:keep], labels[:keep]


RESIDUAL_CHAIN = Workload(model, data, lambda _case: 10)
