"""Does standardising the kernels of convolutions speed up convergence, and what does it cost?"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Attempt,
    Built,
    Claim,
    Experiment,
    Guard,
    Params,
    Quality,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads import convolving

TRAINED_STEPS = 200
"""Few enough that none of the arms has converged: the claim is about how fast they do."""


def plain(case: Params) -> Any:
    return convolving.network(case, convolving.plain)


def standardised(case: Params) -> Any:
    return convolving.network(case, convolving.standardised)


def normalised(case: Params) -> Any:
    return convolving.network(case, convolving.normalised)


def observed(model: Any) -> Mapping[str, Any]:
    """Return the first kernels, and how far standardised ones lie from the formula."""
    import numpy as np
    from keras.ops import convert_to_numpy

    from keras_ab.kernels.weight_standardization import WSConv2D, reference_standardized

    errors = [
        np.abs(
            convert_to_numpy(layer.standardized_kernel)
            - reference_standardized(
                convert_to_numpy(layer.kernel), convert_to_numpy(layer.gain), layer.epsilon
            )
        ).max()
        for layer in model.layers
        if isinstance(layer, WSConv2D)
    ]
    return {**convolving.kernels(model), "formula_error": max(errors, default=0.0)}


def own_gain_class(*, settles_options: bool) -> Any:
    """Return the source's class: a gain that is added in the constructor.

    Args:
        settles_options: whether the constructor settles three of Conv2D's options, as the source's
            does, so that they cannot be given to it.
    """
    import keras
    import tensorflow as tf

    class WSConv2D(keras.layers.Conv2D):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if settles_options:
                super().__init__(
                    *arguments,
                    kernel_initializer=keras.initializers.VarianceScaling(
                        scale=1.0, mode="fan_in", distribution="untruncated_normal"
                    ),
                    use_bias=False,
                    kernel_regularizer=keras.regularizers.L2(1e-4),
                    **options,
                )
            else:
                super().__init__(*arguments, **options)
            self.gain = self.add_weight(name="gain", shape=(self.filters,), initializer="ones")

        def call(self, inputs: Any) -> Any:
            mean, variance = tf.nn.moments(self.kernel, axes=[0, 1, 2], keepdims=True)
            fan_in = self.kernel.shape[0] * self.kernel.shape[1] * self.kernel.shape[2]
            scale = tf.math.rsqrt(tf.maximum(variance * fan_in, 1e-4)) * self.gain
            kernel = (self.kernel - mean) * scale
            return tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper())

    return WSConv2D


def round_trip(layer_class: Any) -> str | None:
    """Save and load a model with one such layer whose gain is not the one that it began with."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((8, 8, 2)), layer_class(4, 3)])
    layer = model.layers[0]
    layer.gain.assign(np.array([0.5, 1.5, 2.5, 3.5], np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        known = {layer_class.__name__: layer_class}
        loaded = keras.models.load_model(path, custom_objects=known).layers[0]
    if np.array_equal(layer.gain, loaded.gain):
        return None
    return f"the gain was {np.asarray(layer.gain)}, and is {np.asarray(loaded.gain)} once loaded"


def source_round_trip() -> str | None:
    """Save and load the source's class."""
    return round_trip(own_gain_class(settles_options=True))


def gain_round_trip() -> str | None:
    """Save and load the source's class without the options that its constructor settles."""
    return round_trip(own_gain_class(settles_options=False))


def kernels_round_trip() -> str | None:
    """Save and load the class that is measured here."""
    from keras_ab.kernels.weight_standardization import WSConv2D

    return round_trip(WSConv2D)


STEP = Built(observe=observed)

EXPERIMENT = Experiment(
    name="weight_standardization",
    question="Does standardising kernels speed up convergence, and what does it cost?",
    purpose="quality",
    method=(
        "A plain stack of convolutions learns digits: as it is, with every kernel standardised "
        "and scaled by a learnt gain, and with BatchNorm after every convolution. The cost is the "
        f"time of a step; convergence is the accuracy after {TRAINED_STEPS} steps."
    ),
    held_fixed="first kernels and head, images, batches and their order, optimizer, precision",
    does_not_show=(
        "Networks so deep that they do not train without normalisation, for which the paper "
        "standardises; its scaled activations and residual branches. BatchNorm with another "
        f"momentum of its moving statistics than {convolving.MOMENTUM}: at Keras' 0.99 they are "
        f"too far behind after {TRAINED_STEPS} steps."
    ),
    sources=(sources.TEN, sources.BROCK),
    arms=(
        arm("convolution", STEP, plain, "Conv2D"),
        arm(
            "standardised",
            STEP,
            standardised,
            "keras_ab.kernels.weight_standardization.WSConv2D",
        ),
        arm(
            "batch_norm",
            STEP,
            normalised,
            "Conv2D and BatchNormalization",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(2,), channels=(16,), batch=(32,), optimizer=("sgd",)),
        *sweep("channels", (4, 8, 32, 64), depth=2, batch=32, optimizer="sgd"),
        *grid(quick=False, gpu=False, depth=(4,), channels=(32,), batch=(64,)),
        *grid(quick=False, depth=(8,), channels=(64,), batch=(64,)),
    ),
    guards=(
        Guard("kernels", 1e-6, "same first kernels and head"),
        Guard("formula_error", 1e-5, "standardised kernels are those of the paper's formula"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(STEP.train_and_score, TRAINED_STEPS),
        seeds=(11, 12, 13, 14, 15),
        learning_rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        tuning_seeds=(1, 2, 3),
        tune=partial(STEP.choosing().train_and_score, TRAINED_STEPS),
        quick=False,
    ),
    attempts=(
        Attempt(
            "source_round_trip",
            "the source's class, its gain added in the constructor, saved and loaded",
            source_round_trip,
        ),
        Attempt(
            "gain_round_trip",
            "the same, its constructor passing on all of Conv2D's options",
            gain_round_trip,
        ),
        Attempt(
            "kernels_round_trip",
            "the class that is measured here, saved and loaded",
            kernels_round_trip,
            "standardised",
        ),
    ),
    claims=(
        Claim(
            id="converges-faster",
            statement="Standardised kernels speed up convergence: after the same few steps the "
            "accuracy is at least one point higher than with plain ones.",
            arm="standardised",
            metric="test_accuracy",
            at_least=0.01,
        ),
    ),
)
