"""A small network with 2-D self-attention blocks, written in the ways that the sources show.

Source: H. Zhang, I. Goodfellow, D. Metaxas, A. Odena, "Self-Attention Generative Adversarial
Networks", 2018, https://arxiv.org/abs/1805.08318, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import image_sets

Block = Callable[[Any, int, str], Any]
"""Called with an image tensor, the filters and the block's name; returns what it attends to."""


def network(case: Params, block: Block) -> Any:
    """Return a strided stem, `blocks` attention blocks of `filters`, and a classifier."""
    import keras

    filters = int(case["filters"])
    inputs = keras.Input(image_sets.image_shape(case))
    x = keras.layers.Conv2D(filters, 4, int(case.get("stride", 4)), activation="relu")(inputs)
    for number in range(int(case["blocks"])):
        x = block(x, filters, f"block{number}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(image_sets.classes(case))(x))


def projections(x: Any, filters: int, name: str) -> tuple[Any, Any, Any]:
    """Return query, key and value: 1×1 convolutions to an eighth of the filters, and to all."""
    import keras

    sizes = {"query": filters // 8, "key": filters // 8, "value": filters}
    query, key, value = (
        keras.layers.Conv2D(size, 1, name=f"{name}_{part}")(x) for part, size in sizes.items()
    )
    return query, key, value


def with_layers(x: Any, filters: int, name: str) -> Any:
    """Attend with Reshape, Dot and Activation layers."""
    import keras

    positions, image = math.prod(x.shape[1:3]), x.shape[1:3]
    query, key, value = (
        keras.layers.Reshape((positions, y.shape[-1]))(y) for y in projections(x, filters, name)
    )
    scores = keras.layers.Dot(axes=(2, 2))([query, key])
    attended = keras.layers.Dot(axes=(2, 1))([keras.layers.Activation("softmax")(scores), value])
    return keras.layers.Reshape((*image, filters))(attended)


def with_operations(x: Any, filters: int, name: str) -> Any:
    """Attend with keras.ops."""
    from keras import ops

    positions, image = math.prod(x.shape[1:3]), x.shape[1:3]
    query, key, value = (
        ops.reshape(y, (-1, positions, y.shape[-1])) for y in projections(x, filters, name)
    )
    scores = ops.softmax(ops.matmul(query, ops.swapaxes(key, 1, 2)))
    return ops.reshape(ops.matmul(scores, value), (-1, *image, filters))


def with_attention_layer(x: Any, filters: int, name: str) -> Any:
    """Attend with keras.layers.Attention between reshapes."""
    import keras

    positions, image = math.prod(x.shape[1:3]), x.shape[1:3]
    query, key, value = (
        keras.layers.Reshape((positions, y.shape[-1]))(y) for y in projections(x, filters, name)
    )
    attended = keras.layers.Attention()([query, value, key])
    return keras.layers.Reshape((*image, filters))(attended)


def in_one_layer(x: Any, filters: int, name: str) -> Any:
    """Attend in one custom layer."""
    from keras_ab.kernels.attention_2d import Attention2D

    return Attention2D(filters, name=name)(x)


def in_nested_model(x: Any, filters: int, name: str) -> Any:
    """Attend with keras.ops in a model of its own, called like a layer."""
    import keras

    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, with_operations(inputs, filters, name), name=name)(x)
