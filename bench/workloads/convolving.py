"""A plain stack of 3×3 convolutions, each written in a way of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import image_sets

Convolution = Callable[[Any, int, int], Any]
"""Called with an image tensor, the filters and the stride; returns what ReLU is applied to."""


MOMENTUM = 0.9
"""Momentum of moving statistics, PyTorch's default: they follow the weights by some ten steps.

At Keras' 0.99 they are a hundred behind, and after a training of three hundred they say more about
the accuracy than what was learnt.
"""


def network(case: Params, convolution: Convolution) -> Any:
    """Return `depth` convolutions of `channels`, the first and the middle one of stride 2.

    Small images keep their detail for long; three in four positions are dropped twice.
    """
    import keras

    depth, channels = int(case["depth"]), int(case["channels"])
    inputs = keras.Input(image_sets.image_shape(case))
    x = inputs
    for number in range(depth):
        stride = 2 if number in (0, depth // 2) else 1
        x = keras.layers.ReLU()(convolution(x, channels, stride))
    x = keras.layers.GlobalAveragePooling2D()(x)
    first = keras.initializers.GlorotUniform(seed=_drawn())
    head = keras.layers.Dense(image_sets.classes(case), kernel_initializer=first, name="head")
    return keras.Model(inputs, head(x))


def he_normal() -> Any:
    """Return an initializer with a seed that does not depend on how many others were made."""
    import keras

    return keras.initializers.HeNormal(seed=_drawn())


def _drawn() -> int:
    return int(np.random.randint(2**31))


def plain(x: Any, filters: int, stride: int) -> Any:
    """Convolve."""
    import keras

    return keras.layers.Conv2D(filters, 3, stride, padding="same", kernel_initializer=he_normal())(
        x
    )


def normalised(x: Any, filters: int, stride: int, momentum: float = MOMENTUM) -> Any:
    """Convolve, then normalise over the batch, whose offset takes the bias' place."""
    import keras

    return keras.layers.BatchNormalization(momentum=momentum)(_without_bias(x, filters, stride))


def extended_normalised(x: Any, filters: int, stride: int, deviations: str = "tensor_mean") -> Any:
    """Convolve, then normalise with one standard deviation for all channels."""
    from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization

    normalise = ExtendedBatchNormalization(deviations=deviations)
    return normalise(_without_bias(x, filters, stride))


def _without_bias(x: Any, filters: int, stride: int) -> Any:
    import keras

    return keras.layers.Conv2D(
        filters, 3, stride, padding="same", use_bias=False, kernel_initializer=he_normal()
    )(x)


def standardised(x: Any, filters: int, stride: int) -> Any:
    """Convolve with a standardised kernel."""
    from keras_ab.kernels.weight_standardization import WSConv2D

    return WSConv2D(filters, 3, stride, padding="same", kernel_initializer=he_normal())(x)


def asymmetric(x: Any, filters: int, stride: int) -> Any:
    """Add a 3×3, a 1×3 and a 3×1 convolution, each with its batch normalisation.

    The 3×3 kernel begins as the plain convolution's does.
    """
    from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D

    initializer = he_normal()
    block = AsymmetricConvolution2D(
        filters, 3, stride, kernel_initializer="he_normal", momentum=MOMENTUM
    )
    outputs = block(x)
    square = block.convolutions[0].kernel
    square.assign(initializer(square.shape))
    return outputs


def kernels(model: Any) -> Mapping[str, np.ndarray]:
    """Return the kernels of square convolutions and of the head as drawn, in the model's order."""
    found = [
        v
        for v in model.trainable_variables
        if len(v.shape) == 2 or (len(v.shape) == 4 and v.shape[0] == v.shape[1])
    ]
    return {"kernels": np.concatenate([np.ravel(np.asarray(v)) for v in found])}
