"""Check every backend-agnostic technique on the backend that KERAS_BACKEND names, and say so.

A program of its own: a process has one Keras backend. ``test_other_backends.py`` runs it.
"""

import keras
import numpy as np

from keras_ab import kernels
from keras_ab.kernels.adafactor import Adafactor, reference_adafactor
from keras_ab.kernels.adaptive_gradient_clipping import (
    AdaptiveGradientClipping,
    reference_clipped,
    unit_axes,
)
from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D
from keras_ab.kernels.attention_2d import Attention2D
from keras_ab.kernels.chunked_cross_entropy import chunked_cross_entropy, reference_losses
from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate
from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization, reference_moments
from keras_ab.kernels.long_tail_losses import LDAMLoss
from keras_ab.kernels.native import cross_entropy
from keras_ab.kernels.rematerialisation import RematerialisedChain
from keras_ab.kernels.sm3 import SM3, reference_sm3
from keras_ab.kernels.weight_standardization import WSConv2D

RNG = np.random.default_rng(0)


def _array(*shape):
    return RNG.normal(size=shape).astype("float32")


def _apply(optimizer, weight, gradients):
    variable = keras.Variable(weight)
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
    return keras.ops.convert_to_numpy(variable.value)


def check_optimizers():
    w, gradients = _array(3, 4), [_array(3, 4) for _ in range(3)]
    for variant in ("I", "II"):
        expected = reference_sm3(w, gradients, 0.1, 0.9, variant)
        result = _apply(SM3(0.1, 0.9, variant), w, gradients)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    result = _apply(Adafactor(0.1), w, gradients)
    np.testing.assert_allclose(result, reference_adafactor(w, gradients, 0.1), rtol=1e-5, atol=1e-6)
    clipping = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), ())
    result = _apply(clipping, w, gradients[:1])
    np.testing.assert_allclose(w - result, reference_clipped(gradients[0], w), rtol=1e-3, atol=1e-6)


def check_chunked_cross_entropy():
    h, w, b, labels = _array(5, 3), _array(3, 10), _array(10), RNG.integers(0, 10, 5)
    losses = keras.ops.convert_to_numpy(chunked_cross_entropy(h, w, labels, b, chunk=4))
    np.testing.assert_allclose(losses, reference_losses(h, w, b, labels), rtol=1e-5)


def check_cross_entropy():
    logits = _array(4, 7)
    logits[3, 2:] = -np.inf
    labels = np.array([3, -1, 7, 1])
    with kernels.use("reference"):
        losses = keras.ops.convert_to_numpy(cross_entropy.sparse_cross_entropy(labels, logits))
    assert np.isnan(losses[1:3]).all(), losses
    known = [0, 3]
    expected = cross_entropy.reference(labels[known], logits[known])
    np.testing.assert_allclose(losses[known], expected, rtol=1e-5)


def check_extended_batch_norm():
    x = _array(4, 3, 5)
    result = keras.ops.convert_to_numpy(ExtendedBatchNormalization()(x, training=True))
    moments = reference_moments(x)
    expected = (x - moments.mean) / np.sqrt(moments.variance + 1e-3)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def _trained(make):
    layers = [
        WSConv2D(8, 3, padding="same"),
        ExtendedBatchNormalization(),
        AsymmetricConvolution2D(8),
        Attention2D(8, residual=True),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((6, 6, 2)), *layers])
    model.compile(make(model), LDAMLoss([9, 3, 1]))
    x = np.random.default_rng(1).normal(size=(16, 6, 6, 2))
    return model.fit(x, np.arange(16) % 3, epochs=3, verbose=0).history["loss"]


def check_training():
    for make in (
        lambda _: SM3(CyclicalLearningRate(0.01, 0.05, 2)),
        lambda model: AdaptiveGradientClipping(
            keras.optimizers.Adam(0.01),
            ["dense"],
            axes=unit_axes(model),
            gradient_accumulation_steps=2,
        ),
    ):
        losses = _trained(make)
        assert np.isfinite(losses).all(), losses
        assert losses[-1] < losses[0], losses


def _chain_losses(rematerialised):
    keras.utils.set_random_seed(0)
    layers = [
        layer
        for i in range(2)
        for layer in (
            keras.layers.Dense(6, "tanh", kernel_initializer=keras.initializers.GlorotUniform(i)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=i),
        )
    ]
    chain = [RematerialisedChain(layers)] if rematerialised else layers
    model = keras.Sequential([keras.layers.Input((6,)), *chain])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(2).normal(size=(8, 6))
    losses = model.fit(x, x, epochs=3, shuffle=False, verbose=0).history["loss"]
    return losses, keras.ops.convert_to_numpy(layers[1].moving_mean.value)


def check_rematerialisation():
    for ours, plain in zip(_chain_losses(True), _chain_losses(False), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    check_optimizers()
    check_chunked_cross_entropy()
    check_cross_entropy()
    check_extended_batch_norm()
    check_training()
    check_rematerialisation()
    print(f"all equal their references on {keras.backend.backend()}")
