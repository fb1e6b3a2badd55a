"""SM3 against the paper's pseudocode, and its state."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from keras_ab.kernels.sm3 import SM3, reference_sm3
from tests.examples import examples

SHAPES = [(), (1,), (5,), (1, 1), (1, 4), (3, 4), (2, 1, 3), (3, 3, 2, 4), (1, 1, 1, 5)]
SIXTEEN_BITS = ["float16", "bfloat16"]


def _problem(shape, seed=0, steps=4):
    rng = np.random.default_rng(seed)
    gradients = [rng.normal(size=shape) * (rng.random(shape) > 0.3) for _ in range(steps)]
    return rng.normal(size=shape).astype("float32"), [g.astype("float32") for g in gradients]


def _train(w, gradients, dtype="float32", **options):
    variable = keras.Variable(w, dtype=dtype)
    optimizer = SM3(**options)
    optimizer.build([variable])
    for g in gradients:
        optimizer.apply([keras.ops.cast(g, dtype)])
    return keras.ops.convert_to_numpy(keras.ops.cast(variable, "float64"))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("variant", ["I", "II"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_papers_pseudocode(shape, variant, momentum):
    w, gradients = _problem(shape)
    options = {"learning_rate": 0.1, "momentum": momentum, "variant": variant}
    expected = reference_sm3(w, gradients, **options)
    np.testing.assert_allclose(_train(w, gradients, **options), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=examples(15), deadline=None)
@given(shape=array_shapes(min_dims=1, max_dims=4, max_side=4), seed=st.integers(0, 99))
def test_equals_the_pseudocode_on_any_shape(shape, seed):
    w, gradients = _problem(shape, seed, steps=2)
    expected = reference_sm3(w, gradients, 0.1)
    np.testing.assert_allclose(_train(w, gradients), expected, rtol=1e-6, atol=1e-6)


def test_float64_weights_are_trained_in_float64():
    w, gradients = _problem((3, 4))
    result = _train(w, gradients, dtype="float64", learning_rate=0.125)
    np.testing.assert_allclose(result, reference_sm3(w, gradients, 0.125), rtol=1e-13)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_sixteen_bit_weights_lose_no_more_than_their_rounding(dtype):
    """Each step may round the stored weight once: half a unit in the last place, steps times."""
    w, gradients = _problem((6, 5))
    half_ulp = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    result = _train(w, gradients, dtype=dtype)
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(w, dtype), "float64"))
    gradients = [np.asarray(keras.ops.cast(keras.ops.cast(g, dtype), "float64")) for g in gradients]
    bound = half_ulp * np.abs(rounded).max() * 2 * len(gradients)
    np.testing.assert_allclose(result, reference_sm3(rounded, gradients, 0.1), rtol=0, atol=bound)


def test_sixteen_bit_weights_keep_float32_accumulators():
    optimizer = SM3()
    optimizer.build([keras.Variable(np.zeros((3, 2)), dtype="float16")])
    assert {v.dtype for v in optimizer.variables if "accumulator" in v.name} == {"float32"}


@pytest.mark.parametrize("variant", ["I", "II"])
def test_state_is_at_most_half_a_percent_on_wide_layers(variant):
    layers = [keras.layers.Dense(1024) for _ in range(2)]
    model = keras.Sequential([keras.layers.Input((1024,)), *layers])
    optimizer = SM3(variant=variant)
    optimizer.build(model.trainable_variables)
    state = sum(int(np.prod(v.shape)) for v in optimizer.variables)
    assert state <= 0.005 * model.count_params()


def test_a_coordinate_without_gradient_stays():
    w, _ = _problem((3, 4))
    np.testing.assert_array_equal(_train(w, [np.zeros((3, 4), "float32")]), w)


def test_an_embedding_trains_from_its_sparse_gradient():
    layers = [keras.layers.Embedding(7, 5), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.layers.Input((3,)), *layers])
    model.compile(SM3(0.1), "mse")
    before = model.layers[0].get_weights()[0]
    model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
    changed = np.any(before != model.layers[0].get_weights()[0], axis=1)
    np.testing.assert_array_equal(changed, np.arange(7) == 1)


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": float("nan")},
        {"variant": "III"},
        {"epsilon": -1.0},
        {"learning_rate": -0.1},
        {"learning_rate": "fast"},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_declared(options):
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        SM3(**options)
