"""WSConv2D against equation 1, and what Conv2D's own saving would lose."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.weight_standardization import WSConv2D, reference_standardized, standardized
from tests.examples import examples

SHAPES = [(1, 1, 2, 1), (3, 3, 1, 1), (1, 1, 5, 7), (3, 3, 4, 2), (5, 1, 3, 4)]


def _weights(shape, seed=0):
    rng = np.random.default_rng(seed)
    kernel, gain = rng.normal(0.3, 1.0, shape), rng.normal(1.0, 0.3, shape[-1])
    return kernel.astype("float32"), gain.astype("float32")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_equation_1(shape):
    kernel, gain = _weights(shape)
    expected = reference_standardized(kernel, gain, 1e-4)
    np.testing.assert_allclose(standardized(kernel, gain, 1e-4), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=examples(20), deadline=None)
@given(shape=st.tuples(*4 * [st.integers(1, 5)]), seed=st.integers(0, 99))
def test_equals_equation_1_on_any_shape(shape, seed):
    kernel, gain = _weights(shape, seed)
    expected = reference_standardized(kernel, gain, 1e-4)
    np.testing.assert_allclose(standardized(kernel, gain, 1e-4), expected, rtol=1e-5, atol=1e-6)


def test_gradients_equal_the_references():
    """By central differences of the float64 reference, in a random direction each."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(1)
    kernel, gain = (a.astype("float64") for a in _weights((3, 2, 2, 3)))
    upstream = rng.normal(size=kernel.shape)
    with tf.GradientTape() as tape:
        weights = [tf.Variable(kernel), tf.Variable(gain)]
        loss = tf.reduce_sum(standardized(*weights, 1e-4) * upstream)
    for k, gradient in enumerate(tape.gradient(loss, weights)):
        step = [np.zeros_like(kernel), np.zeros_like(gain)]
        step[k] = 1e-6 * rng.normal(size=step[k].shape)
        ahead = reference_standardized(kernel + step[0], gain + step[1], 1e-4)
        behind = reference_standardized(kernel - step[0], gain - step[1], 1e-4)
        rise = np.sum((ahead - behind) * upstream) / 2
        np.testing.assert_allclose(np.sum(gradient * step[k]), rise, rtol=1e-6)


def test_convolves_with_the_standardised_kernel():
    x = np.random.default_rng(2).normal(size=(2, 6, 5, 4)).astype("float32")
    layer = WSConv2D(6, 3, padding="same", strides=2, groups=2)
    plain = keras.layers.Conv2D(6, 3, padding="same", strides=2, groups=2)
    result = layer(x)
    plain.build(x.shape)
    kernel = reference_standardized(layer.kernel.numpy(), layer.gain.numpy(), layer.epsilon)
    plain.set_weights([kernel, np.zeros(6)])
    np.testing.assert_allclose(result, plain(x), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_standardises_in_float32(policy):
    """The kernel's mean is large against its spread: rounding it first would cost digits."""
    layer = WSConv2D(3, 3, dtype=policy)
    layer.build((None, 4, 4, 2))
    layer.kernel.assign(layer.kernel + 10.0)
    x = np.ones((1, 3, 3, 2))
    x[0, 0, 0, 0] = 2.0
    result = layer(x)
    assert keras.backend.standardize_dtype(result.dtype) == layer.compute_dtype
    kernel = reference_standardized(layer.kernel.numpy(), layer.gain.numpy(), layer.epsilon)
    rounded = np.asarray(keras.ops.cast(keras.ops.cast(kernel, layer.compute_dtype), "float64"))
    expected = np.einsum("bhwi,hwio->bo", x, rounded)
    half_ulp = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[layer.compute_dtype]
    atol = 2 * half_ulp * np.abs(rounded).sum(axis=(0, 1, 2)).max()
    result = np.asarray(keras.ops.cast(result, "float64"))
    np.testing.assert_allclose(result.reshape(1, 3), expected, atol=atol)


def test_a_constant_kernel_stays_finite():
    np.testing.assert_array_equal(standardized(np.ones((3, 3, 2, 2)), np.ones(2), 1e-4), 0.0)


def test_nan_is_not_swallowed():
    kernel, gain = _weights((3, 3, 2, 2))
    kernel[0, 0, 0, 1] = np.nan
    finite = np.isfinite(np.asarray(standardized(kernel, gain, 1e-4)))
    assert finite[..., 0].all()
    assert not finite[..., 1].any()


def test_the_gain_survives_saving(tmp_path):
    x = np.random.default_rng(3).normal(size=(2, 5, 5, 3)).astype("float32")
    inputs = keras.Input((5, 5, 3))
    model = keras.Model(inputs, WSConv2D(4, 3, epsilon=1e-3)(inputs))
    model.layers[1].gain.assign([1.0, 2.0, 3.0, 4.0])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.layers[1].gain, [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(restored.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_filter_of_one_weight_is_refused():
    with pytest.raises(ValueError, match=r"at least 2 inputs .* Received: \(1, 1, 1, 8\)\. Use "):
        WSConv2D(8, 1).build((None, 4, 4, 1))


def test_a_bad_epsilon_is_refused():
    with pytest.raises(ValueError, match=r"epsilon must .* Received: 0\. Pass "):
        WSConv2D(8, 3, epsilon=0)
