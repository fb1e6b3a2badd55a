"""A residual network for small images: convolutions, BatchNorm, three stages.

Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", 2015,
https://arxiv.org/abs/1512.03385, section 4.2.
"""

from __future__ import annotations

from typing import Any

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import image_sets
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload


def model(case: Params, recipe: Recipe) -> Any:
    """Return a residual network of 6n + 2 weighted layers; logits ``(batch, classes)``, float32.

    Args:
        case: ``blocks`` n in each of three stages, ``channels`` of the first stage (16 in the
            paper), doubled from stage to stage while the image is halved; ``data``.
        recipe: not consulted; precision comes from Keras' dtype policy.
    """
    import keras

    channels = int(case["channels"])
    inputs = keras.Input(image_sets.image_shape(case))
    x = _normalised_convolution(inputs, channels, 3)
    x = keras.layers.ReLU()(x)
    for stage in range(3):
        for block in range(int(case["blocks"])):
            x = _block(x, channels * 2**stage, 2 if stage and not block else 1)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(image_sets.classes(case), dtype="float32", name="head")(x)
    return keras.Model(inputs, outputs)


def _block(x: Any, channels: int, strides: int) -> Any:
    """Return relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))) with projection shortcuts."""
    import keras

    y = keras.layers.ReLU()(_normalised_convolution(x, channels, 3, strides))
    y = _normalised_convolution(y, channels, 3)
    if x.shape[-1] != channels or strides != 1:
        x = _normalised_convolution(x, channels, 1, strides)
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def _normalised_convolution(x: Any, channels: int, size: int, strides: int = 1) -> Any:
    import keras

    x = keras.layers.Conv2D(
        channels,
        size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return keras.layers.BatchNormalization()(x)


RESNET = Workload(model, image_sets.train_data, image_sets.classes)
