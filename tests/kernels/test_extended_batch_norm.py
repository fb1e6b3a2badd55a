"""Extended batch normalisation against its formula, alone and over two replicas."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from keras_ab.kernels.extended_batch_norm import (
    DEVIATIONS,
    ExtendedBatchNormalization,
    reference_moments,
)
from tests.examples import examples

SHAPES = [(2, 3), (1, 4), (5, 2, 3), (2, 3, 4, 5), (1, 1, 1, 2), (2, 2, 3, 2, 4)]


def _batch(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + rng.normal(0, 3, shape[-1])).astype("float32")


def _reference(x, deviations="tensor_mean", epsilon=1e-3):
    moments = reference_moments(x, deviations)
    return (np.asarray(x, np.float64) - moments.mean) / np.sqrt(moments.variance + epsilon)


@pytest.mark.parametrize("deviations", DEVIATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_equals_the_formula(shape, deviations):
    x = _batch(shape)
    layer = ExtendedBatchNormalization(deviations=deviations, momentum=0.75)
    result = layer(x, training=True)
    np.testing.assert_allclose(result, _reference(x, deviations), atol=3e-6)
    expected = reference_moments(x, deviations)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * expected.mean, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * expected.variance, rtol=1e-6)


@settings(max_examples=examples(15), deadline=None)
@given(shape=array_shapes(min_dims=2, max_dims=4, max_side=5), seed=st.integers(0, 99))
def test_training_equals_the_formula_on_any_shape(shape, seed):
    x = _batch(shape, seed)
    result = ExtendedBatchNormalization()(x, training=True)
    np.testing.assert_allclose(result, _reference(x), atol=5e-5)


def test_inference_uses_the_moving_statistics():
    layer = ExtendedBatchNormalization()
    layer.build((None, 2))
    layer.moving_mean.assign([1.0, 2.0])
    layer.moving_variance.assign(4.0)
    layer.gamma.assign([2.0, 4.0])
    layer.beta.assign([0.5, 0.25])
    expected = np.array([[2.5, 4.25]]) + np.array([[2.0, 4.0]]) * (2.0 / np.sqrt(4.001) - 1.0)
    np.testing.assert_allclose(layer(np.array([[3.0, 4.0]])), expected, rtol=1e-6)


def test_another_axis_is_the_same_up_to_a_transpose():
    x = _batch((3, 4, 5))
    layer = ExtendedBatchNormalization(axis=1)
    result = layer(np.moveaxis(x, -1, 1), training=True)
    np.testing.assert_allclose(np.moveaxis(np.asarray(result), 1, -1), _reference(x), atol=3e-6)


@pytest.mark.parametrize(("policy", "ulp"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 1.6e-2)])
def test_mixed_precision_keeps_float32_statistics(policy, ulp):
    x = keras.ops.cast(_batch((4, 3, 3, 8)) * 100.0, policy.removeprefix("mixed_"))
    layer = ExtendedBatchNormalization(dtype=policy)
    result = layer(x, training=True)
    assert keras.backend.standardize_dtype(result.dtype) == layer.compute_dtype
    assert layer.moving_variance.dtype == "float32"
    expected = _reference(np.asarray(keras.ops.cast(x, "float64")))
    np.testing.assert_allclose(keras.ops.cast(result, "float64"), expected, rtol=ulp, atol=1e-5)


def test_gradients_equal_central_differences_of_the_formula():
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(4)
    x = _batch((3, 2, 4)).astype("float64")
    upstream, step = rng.normal(size=x.shape), 1e-6 * rng.normal(size=x.shape)
    layer = ExtendedBatchNormalization(dtype="float64", epsilon=2.0**-10)
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        loss = tf.reduce_sum(layer(tensor, training=True) * upstream)
    rise = (_reference(x + step, epsilon=2.0**-10) - _reference(x - step, epsilon=2.0**-10)) / 2
    slope = np.sum(np.asarray(tape.gradient(loss, tensor)) * step)
    np.testing.assert_allclose(slope, np.sum(rise * upstream), rtol=1e-6)


def test_nan_is_not_swallowed():
    x = _batch((3, 4))
    x[1, 2] = np.nan
    assert np.isnan(np.asarray(ExtendedBatchNormalization()(x, training=True))).all()


def test_a_frozen_layer_keeps_its_statistics():
    layer = ExtendedBatchNormalization(trainable=False)
    layer(_batch((3, 4)), training=True)
    np.testing.assert_array_equal(layer.moving_mean, 0.0)


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False, "axis": 1}], ids=str)
def test_saves_and_loads(tmp_path, options):
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, ExtendedBatchNormalization(**options)(inputs))
    model(_batch((5, 3, 4)), training=True)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    x = _batch((2, 3, 4), seed=1)
    np.testing.assert_array_equal(restored(x), model(x))
    assert restored.layers[1].get_config() == model.layers[1].get_config()


@pytest.mark.parametrize(
    "options", [{"momentum": 2.0}, {"epsilon": 0.0}, {"deviations": "median"}], ids=str
)
def test_bad_arguments_are_refused_when_declared(options):
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        ExtendedBatchNormalization(**options)


TWO_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kernels.extended_batch_norm import ExtendedBatchNormalization, reference_moments
x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32") * [1.0, 2.0, 3.0]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for synchronized in (True, False):
    with strategy.scope():
        layer = ExtendedBatchNormalization(synchronized=synchronized, momentum=0.0)
        layer.build((None, 3))
    batch = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[2 * context.replica_id_in_sync_group :][:2], tf.float32)
    )
    outputs = strategy.run(tf.function(lambda b: layer(b, training=True)), args=(batch,))
    outputs = np.concatenate([o.numpy() for o in strategy.experimental_local_results(outputs)])
    groups = [x] if synchronized else [x[:2], x[2:]]
    moments = [reference_moments(g) for g in groups]
    expected = [(g - m.mean) / np.sqrt(m.variance + 1e-3) for g, m in zip(groups, moments)]
    np.testing.assert_allclose(outputs, np.concatenate(expected), atol=1e-5)
    variance = np.mean([m.variance for m in moments])
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)
print("both replicas agree")
"""


def test_two_replicas_pool_their_statistics_only_when_synchronized():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    command = [sys.executable, "-c", TWO_REPLICAS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "both replicas agree" in done.stdout, done.stderr[-2000:]
