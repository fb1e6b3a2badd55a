"""Adafactor against algorithms 4 to 6, its state, and the gradient that breaks Keras's own."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from keras_ab.kernels.adafactor import Adafactor, factor_shapes, reference_adafactor
from tests.examples import examples

SHAPES = [(), (1,), (5,), (1, 1), (1, 4), (4, 1), (3, 4), (2, 1, 3), (3, 3, 2, 4), (1, 1, 1, 5)]
OPTIONS = [
    {},
    {"beta_1": 0.9},
    {"relative_step": False, "scale_parameter": False, "learning_rate": 0.1},
    {"clip_threshold": None, "decay_rate": 0.5, "epsilon_2": 0.5},
    {"clip_threshold": 0.25, "learning_rate": 1.0},
]


def _problem(shape, seed=0, steps=4):
    rng = np.random.default_rng(seed)
    gradients = [rng.normal(size=shape).astype("float32") for _ in range(steps)]
    return rng.normal(size=shape).astype("float32"), gradients


def _train(x, gradients, dtype="float32", **options):
    variable = keras.Variable(x, dtype=dtype)
    optimizer = Adafactor(**options)
    optimizer.build([variable])
    for g in gradients:
        optimizer.apply([keras.ops.cast(g, dtype)])
    return keras.ops.convert_to_numpy(keras.ops.cast(variable, "float64"))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_papers_algorithm(shape, options):
    x, gradients = _problem(shape)
    expected = reference_adafactor(x, gradients, **options)
    np.testing.assert_allclose(_train(x, gradients, **options), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=examples(15), deadline=None)
@given(shape=array_shapes(min_dims=1, max_dims=4, max_side=5), seed=st.integers(0, 99))
def test_equals_the_algorithm_on_any_shape(shape, seed):
    x, gradients = _problem(shape, seed, steps=2)
    expected = reference_adafactor(x, gradients)
    np.testing.assert_allclose(_train(x, gradients), expected, rtol=1e-6, atol=1e-6)


def test_float64_weights_are_trained_in_float64():
    x, gradients = _problem((3, 4))
    options = {"learning_rate": 2.0**-7, "epsilon_2": 2.0**-10}
    result = _train(x, gradients, dtype="float64", **options)
    np.testing.assert_allclose(result, reference_adafactor(x, gradients, **options), rtol=1e-12)


@pytest.mark.parametrize(("dtype", "half_ulp"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_sixteen_bit_weights_lose_no_more_than_their_rounding(dtype, half_ulp):
    """Each step may round the stored weight once: half a unit in the last place, steps times."""
    x, gradients = _problem((6, 5))
    x, *gradients = [
        np.asarray(keras.ops.cast(keras.ops.cast(a, dtype), "float64")) for a in [x, *gradients]
    ]
    bound = half_ulp * np.abs(x).max() * 2 * len(gradients)
    result = _train(x, gradients, dtype=dtype)
    np.testing.assert_allclose(result, reference_adafactor(x, gradients), rtol=0, atol=bound)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e10])
def test_a_zero_row_and_column_leave_finite_weights(scale):
    x, (g, *_) = _problem((4, 5))
    g = g * np.float32(scale)
    g[1, :] = 0.0
    g[:, 2] = 0.0
    result = _train(x, [g, g])
    np.testing.assert_allclose(result, reference_adafactor(x, [g, g]), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(result[g == 0.0], x[g == 0.0])


def test_state_is_at_most_one_percent_on_wide_layers():
    layers = [keras.layers.Dense(1024) for _ in range(2)]
    model = keras.Sequential([keras.layers.Input((1024,)), *layers])
    optimizer = Adafactor()
    optimizer.build(model.trainable_variables)
    state = sum(int(np.prod(v.shape)) for v in optimizer.variables)
    assert state <= 0.01 * model.count_params()


@pytest.mark.parametrize(
    ("shape", "shapes"),
    [
        ((7,), ((7,),)),
        ((3, 4), ((3, 1), (1, 4))),
        ((3, 3, 8, 16), ((3, 3, 8, 1), (3, 3, 1, 16))),
        ((1024, 16, 64), ((1024, 16, 1), (1024, 1, 64))),
    ],
    ids=str,
)
def test_the_last_two_axes_are_factored(shape, shapes):
    assert factor_shapes(shape) == shapes


@pytest.mark.parametrize(
    "options",
    [
        {"beta_1": 1.0},
        {"decay_rate": 0.0},
        {"decay_rate": 1.5},
        {"epsilon_1": 0.0},
        {"epsilon_2": -1e-3},
        {"clip_threshold": 0.0},
        {"learning_rate": float("inf")},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_when_declared(options):
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        Adafactor(**options)
