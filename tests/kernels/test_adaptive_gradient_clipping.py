"""Adaptive gradient clipping against equation 3, what it leaves alone, and how it composes."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from keras_ab.kernels.adaptive_gradient_clipping import (
    AdaptiveGradientClipping,
    reference_clipped,
    unit_axes,
)
from tests.examples import examples

SHAPES = [(), (1,), (5,), (3, 4), (1, 4), (5, 2, 3), (3, 3, 2, 4), (1, 1, 1, 6), (2, 2, 2, 3, 4)]


def _problem(shape, seed=0):
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-4, 0, size=shape)
    return (rng.normal(size=shape) * spread).astype("float32"), rng.normal(size=shape).astype(
        "float32"
    )


def _last_is_out(shape):
    return tuple(range(max(len(shape) - 1, min(len(shape), 1))))


def _clip(g, w, dtype="float32", exclude=(), **options):
    axes = {"kernel": _last_is_out(g.shape)} if np.ndim(g) > 2 else None
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), exclude, axes=axes, **options)
    variable = keras.Variable(w, dtype=dtype, name="kernel")
    clipped = optimizer.clipped(keras.ops.cast(g, dtype), variable)
    assert keras.backend.standardize_dtype(clipped.dtype) == dtype
    return keras.ops.convert_to_numpy(keras.ops.cast(clipped, "float64"))


@pytest.mark.parametrize("clipping", [0.01, 0.5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_equation_3(shape, clipping):
    g, w = _problem(shape)
    expected = reference_clipped(g, w, clipping, axes=_last_is_out(shape))
    np.testing.assert_allclose(_clip(g, w, clipping=clipping), expected, rtol=1e-6)


@settings(max_examples=examples(20), deadline=None)
@given(shape=array_shapes(min_dims=1, max_dims=5, max_side=4), seed=st.integers(0, 99))
def test_equals_equation_3_on_any_shape(shape, seed):
    g, w = _problem(shape, seed)
    expected = reference_clipped(g, w, axes=_last_is_out(shape))
    np.testing.assert_allclose(_clip(g, w), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float64", 1e-14), ("float16", 2.0**-10), ("bfloat16", 2.0**-7)]
)
def test_only_the_result_is_rounded_to_the_dtype(dtype, rtol):
    g, w = _problem((6, 5))
    g, w = (np.asarray(keras.ops.cast(keras.ops.cast(a, dtype), "float64")) for a in (g, w))
    options = {"clipping": 0.25, "epsilon": 2.0**-10}
    expected = reference_clipped(g, w, **options)
    np.testing.assert_allclose(_clip(g, w, dtype, **options), expected, rtol=rtol, atol=1e-7)


def test_a_pointwise_kernel_of_one_input_is_clipped_by_channel():
    w = np.ones((1, 1, 1, 3), "float32")
    g = np.array([1.0, 0.001, -4.0], "float32").reshape(w.shape)
    np.testing.assert_allclose(_clip(g, w).ravel(), [0.01, 0.001, -0.01], rtol=1e-6)


def _paths(axes):
    """By the last two parts of the path: a weight and its layer."""
    return {"/".join(path.split("/")[-2:]): own for path, own in axes.items()}


def test_axes_are_a_layers_inputs():
    layers = keras.layers
    inputs = keras.Input((8, 8, 6))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, name="depth")(x)
    x = layers.SeparableConv2D(4, 3, name="separable", padding="same")(x)
    x = layers.Conv2DTranspose(5, 2, name="transposed")(x)
    x = layers.Reshape((25, 5))(x)
    x = layers.Conv1D(6, 3, padding="same", name="conv1d")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.LSTM(3, name="lstm")(x)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(x))
    assert _paths(unit_axes(model)) == {
        "conv/kernel": (0, 1, 2),
        "depth/kernel": (0, 1),
        "separable/depthwise_kernel": (0, 1),
        "separable/pointwise_kernel": (0, 1, 2),
        "transposed/kernel": (0, 1, 3),
        "conv1d/kernel": (0, 1),
        "query/kernel": (0,),
        "query/bias": (0, 1),
        "key/kernel": (0,),
        "key/bias": (0, 1),
        "value/kernel": (0,),
        "value/bias": (0, 1),
        "attention_output/kernel": (0, 1),
        "lstm_cell/kernel": (0,),
        "lstm_cell/recurrent_kernel": (0,),
        "dense/kernel": (0,),
    }


class Block(keras.layers.Layer):
    """Convolutions in a row, all of one name."""

    def __init__(self, *convolutions, **options):
        super().__init__(**options)
        self.inner = [kind(2, 3, name="conv") for kind in convolutions]

    def build(self, shape):
        for layer in self.inner:
            layer.build(shape)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x


def _with_block(*convolutions):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    return keras.Model(inputs, Block(*convolutions, name="block")(x))


def test_a_path_that_another_one_ends_with_has_axes_of_its_own():
    model = _with_block(keras.layers.Conv2DTranspose)
    axes = unit_axes(model)
    assert axes == {"conv/kernel": (0, 1, 2), "block/conv/kernel": (0, 1, 3)}
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), (), axes=axes)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    assert [optimizer._axes_of(v) for v in kernels] == [axes[v.path] for v in kernels]


def test_one_path_for_kernels_with_other_axes_is_refused():
    model = _with_block(keras.layers.Conv2DTranspose, keras.layers.Conv2D)
    with pytest.raises(ValueError, match=r"different paths\. Received: .*block/conv/kernel.* Name"):
        unit_axes(model)


def test_every_layers_units_are_clipped_as_equation_3_reads():
    inputs = keras.Input((5, 6))
    x = keras.layers.MultiHeadAttention(2, 3)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Conv1DTranspose(4, 3)(x))
    axes = unit_axes(model)
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), (), axes=axes)
    optimizer.build(model.trainable_variables)
    for i, variable in enumerate(model.trainable_variables):
        g, _ = _problem(tuple(variable.shape), i)
        expected = reference_clipped(g, variable, axes=axes.get(variable.path))
        np.testing.assert_allclose(optimizer.clipped(g, variable), expected, rtol=1e-6)


def test_the_axes_of_a_kernel_of_rank_3_are_never_guessed():
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), ())
    with pytest.raises(ValueError, match=r"Received: \(3, 4, 5\)\. Pass axes=unit_axes\(model\)"):
        optimizer.build([keras.Variable(np.ones((3, 4, 5)))])


@pytest.mark.parametrize("axes", [(0, 1, 2), (-4, -3, -2), (2, 0, -3)])
def test_axes_may_be_counted_from_the_end(axes):
    rng = np.random.default_rng(0)
    w, g = (rng.normal(size=(3, 2, 4, 5)).astype("float32") for _ in range(2))
    variable = keras.Variable(w, name="kernel")
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(0.1), (), axes={"kernel": axes})
    found = optimizer.clipped(keras.ops.convert_to_tensor(g), variable)
    np.testing.assert_allclose(found, reference_clipped(g, w, axes=(0, 1, 2)), rtol=1e-5)


def test_an_axis_that_a_weight_lacks_is_refused():
    variable = keras.Variable(np.ones((2, 3)), name="kernel")
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(0.1), (), axes={"kernel": (0, 2)})
    with pytest.raises(ValueError, match=r"axes of kernel must .* Received: \(0, 2\)\. Pass "):
        optimizer.build([variable])


def test_large_gradients_are_clipped_and_not_lost_to_overflow():
    w = np.ones((2, 2), "float32")
    clipped = _clip(np.full((2, 2), 1e30, "float32"), w)
    np.testing.assert_allclose(clipped, np.full((2, 2), 0.01), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    g = np.array([[1.0, 1.0], [bad, 1.0]], "float32")
    clipped = _clip(g, np.ones((2, 2), "float32"))
    np.testing.assert_array_equal(clipped, reference_clipped(g, np.ones((2, 2))).astype("float32"))
    assert np.isnan(clipped[1, 0])


def _model():
    layers = [keras.layers.Dense(4, name="body"), keras.layers.Dense(2, name="head")]
    return keras.Sequential([keras.layers.Input((3,)), *layers])


@pytest.mark.parametrize("exclude", [["head"], lambda v: "head" in v.path], ids=["name", "rule"])
def test_the_head_is_left_alone(exclude):
    model = _model()
    gradients = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    before = model.get_weights()
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), exclude)
    optimizer.apply(gradients, model.trainable_variables)
    moved = [b - a for b, a in zip(before, model.get_weights(), strict=True)]
    for step, weight, variable in zip(moved, before, model.trainable_variables, strict=True):
        ones = np.ones_like(weight)
        head = "head" in variable.path
        expected = ones if head else reference_clipped(ones, weight)
        np.testing.assert_allclose(step, expected, atol=1e-6)


def test_accumulated_gradients_are_clipped_as_one():
    w, (g1, g2) = np.ones((2, 2), "float32"), (np.zeros((2, 2)), np.full((2, 2), 0.012))
    variable = keras.Variable(w)
    options = {"gradient_accumulation_steps": 2, "loss_scale_factor": 4.0}
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), (), **options)
    for g in (g1, g2):
        optimizer.apply([keras.ops.convert_to_tensor(4.0 * g, "float32")], [variable])
    np.testing.assert_allclose(w - variable.numpy(), (g1 + g2) / 2, rtol=1e-4)
    assert int(optimizer.iterations) == 1


def test_the_learning_rate_is_the_inner_optimizers():
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(0.5), ())
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize(
    "arguments",
    [
        {"clipping": 0.0},
        {"epsilon": 0.0},
        {"exclude": "head"},
        {"inner_optimizer": "adam"},
        {"inner_optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())},
        {"inner_optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)},
        {"inner_optimizer": keras.optimizers.SGD(loss_scale_factor=2.0)},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_bad_arguments_are_refused_when_declared(arguments):
    complete = {"inner_optimizer": keras.optimizers.SGD(), "exclude": (), **arguments}
    with pytest.raises(ValueError, match=r"must .* Received: .* Pass "):
        AdaptiveGradientClipping(**complete)


def test_an_excluded_name_that_no_weight_has_is_refused():
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(), ["haed"])
    with pytest.raises(ValueError, match=r"'haed' does not. Received: .*head/kernel"):
        optimizer.build(_model().trainable_variables)


def test_several_replicas_are_refused():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's")
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(), ())
    variable = keras.Variable(np.ones((2, 2), "float32"))
    optimizer.build([variable])

    class TwoReplicas:
        num_replicas_in_sync = 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.distribute, "get_strategy", TwoReplicas)
        with pytest.raises(NotImplementedError, match=r"2 replicas\. Train on one replica"):
            optimizer.apply([keras.ops.ones((2, 2))])
