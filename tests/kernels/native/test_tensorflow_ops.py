"""The per-tensor kernels in TensorFlow: eager, graph and jit, with gradients."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ab import kernels
from keras_ab.kernels.extended_batch_norm import reference_moments
from keras_ab.kernels.native import batch_statistics as bs
from keras_ab.kernels.native import cross_entropy as ce
from keras_ab.kernels.native import register, stablehlo
from keras_ab.kernels.native import standardize as ws
from keras_ab.kernels.native.call import Request, call
from keras_ab.kernels.weight_standardization import reference_standardized
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases
from tests.kernels.native.tensorflow_forms import forms

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("library")

dtypes = pytest.mark.parametrize("dtype", c.DTYPES)


def tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
    return tf.constant(cases.random(rng, shape, c.DTYPES[dtype]))


def value_and_gradient(function: Any, *inputs: Any, upstream: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
    return outputs, tape.gradient(outputs, inputs, output_gradients=upstream)


def test_tensorflow_has_what_is_not_documented():
    """The smoke test of the pin: XlaCallModule and GetXlaFfiApi."""
    register.with_tensorflow()


@forms
@dtypes
def test_cross_entropy(rng, form, dtype):
    x, up = tensor(rng, (5, 33), dtype), tensor(rng, (5,), "float32")
    labels = np.array([0, 32, 7, 7, 1], np.uint16)
    run = form(
        lambda x: value_and_gradient(lambda x: ce.sparse_cross_entropy(labels, x), x, upstream=up)
    )
    loss, (d,) = run(x)
    cases.near(loss.numpy(), ce.reference(labels, x.numpy()))
    cases.near(d.numpy(), ce.reference_gradient(labels, x.numpy(), up.numpy()))


@forms
@dtypes
def test_standardize(rng, form, dtype):
    w, gain = tensor(rng, (3, 3, 4, 6), dtype), tensor(rng, (6,), "float32")
    up = tensor(rng, (3, 3, 4, 6), dtype)
    y, (d, d_gain) = form(lambda *a: value_and_gradient(ws.standardize, *a, upstream=up))(w, gain)
    arrays = w.numpy(), gain.numpy(), up.numpy()
    cases.near(y.numpy(), reference_standardized(*arrays[:2], ws.EPSILON))
    expected = ws.reference_gradient(*arrays)
    cases.near(d.numpy(), expected[0])
    cases.near(d_gain.numpy(), expected[1])


@forms
@dtypes
def test_batch_statistics(rng, form, dtype):
    x, up = tensor(rng, (4, 3, 3, 5), dtype), [tensor(rng, (5,), "float32"), tf.constant(0.3)]
    run = form(lambda x: value_and_gradient(bs.batch_statistics, x, upstream=up))
    (mean, variance), (d,) = run(x)
    expected = reference_moments(x.numpy(), "channel_means")
    cases.near(mean.numpy(), expected[0])
    cases.near(variance.numpy(), expected[1])
    cases.near(d.numpy(), bs.reference_gradient(x.numpy(), up[0].numpy(), 0.3))


@pytest.mark.parametrize("jit", [False, True])
def test_a_batch_of_any_size(rng, jit):
    """One trace serves the last, smaller batch."""
    traces = []

    def both(labels: Any, x: Any) -> Any:
        traces.append(1)
        d = value_and_gradient(lambda x: ce.sparse_cross_entropy(labels, x), x, upstream=None)
        return d, value_and_gradient(bs.batch_statistics, x, upstream=None)

    signature = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 9), tf.float32)]
    function = tf.function(both, jit_compile=jit, input_signature=signature)
    for size in (8, 3):
        x, labels = tensor(rng, (size, 9), "float32"), np.arange(size, dtype=np.int32)
        (loss, (d,)), ((mean, _), (d_x,)) = function(labels, x)
        assert d.shape == d_x.shape == (size, 9)
        cases.near(loss.numpy(), ce.reference(labels, x.numpy()))
        cases.near(d.numpy(), ce.reference_gradient(labels, x.numpy(), np.ones(size)))
        cases.near(mean.numpy(), reference_moments(x.numpy(), "channel_means")[0])
        cases.near(d_x.numpy(), bs.reference_gradient(x.numpy(), np.ones(9), 1.0))
    assert len(traces) <= 2


@forms
def test_the_reference_form_agrees(rng, form):
    x, w, labels = tensor(rng, (6, 9), "float32"), tensor(rng, (5, 6), "float32"), np.arange(6)
    gain = tf.ones(6)
    for function, inputs in (
        (lambda x: ce.sparse_cross_entropy(labels, x), (x,)),
        (ws.standardize, (w, gain)),
        (bs.batch_statistics, (x,)),
    ):
        both = []
        for mode in ("native", "reference"):
            with kernels.use(mode):
                run = form(lambda *a, f=function: value_and_gradient(f, *a, upstream=None))
                both.append(tf.nest.flatten(run(*inputs)))
        for native, plain in zip(*both, strict=True):
            np.testing.assert_allclose(native, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [-1, 9])
def test_a_label_out_of_range_raises(rng, label):
    x = tensor(rng, (2, 9), "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels must be in \[0, 9\), row 1"):
        ce.sparse_cross_entropy(np.array([0, label]), x)


@pytest.mark.parametrize(
    ("function", "shapes", "dtypes", "error", "message"),
    [
        (ce.sparse_cross_entropy, [(2, 1), (2, 3)], ["int32", "float32"], ValueError, "reshape"),
        (ce.sparse_cross_entropy, [(2,), (3,)], ["int32", "float32"], ValueError, "reshape"),
        (ce.sparse_cross_entropy, [(2,), (3, 4)], ["int32", "float32"], ValueError, "one batch"),
        (ce.sparse_cross_entropy, [(2,), (2, 4)], ["float32", "float32"], TypeError, "cast"),
        (ce.sparse_cross_entropy, [(2,), (2, 4)], ["int32", "float64"], TypeError, "cast"),
        (ws.standardize, [(3,), (3,)], ["float32", "float32"], ValueError, "one gain"),
        (ws.standardize, [(3, 4), (3,)], ["float32", "float32"], ValueError, "one gain"),
        (ws.standardize, [(3, 4), (4,)], ["int32", "float32"], TypeError, "cast"),
        (bs.batch_statistics, [(3,)], ["float32"], ValueError, "batch axis"),
        (bs.batch_statistics, [(3, 4)], ["float64"], TypeError, "cast"),
    ],
)
def test_bad_input_is_refused_before_the_graph(function, shapes, dtypes, error, message):
    inputs = [tf.zeros(s, d) for s, d in zip(shapes, dtypes, strict=True)]
    with pytest.raises(error, match=f"; got .*; .*{message}"):
        function(*inputs)


def test_the_kernel_refuses_what_python_would_have(rng):
    register.with_tensorflow()
    x = tf.zeros((2, 3))
    number = stablehlo.Tensor((2,), "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be int32 or int64"):
        call(Request("kab_cross_entropy_forward", [x, x], [number] * 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="too few results"):
        call(Request("kab_batch_statistics_forward", [x, x], [stablehlo.Tensor((3,), "float32")]))


def test_an_empty_batch(rng):
    loss = ce.sparse_cross_entropy(np.zeros(0, np.int32), tf.zeros((0, 4)))
    assert loss.shape == (0,)
    mean, variance = bs.batch_statistics(tf.zeros((0, 4)))
    assert np.isnan(mean).all()
    assert np.isnan(variance)


def test_a_missing_kernel_keeps_its_name_in_a_graph(rng, monkeypatch):
    def refuse(backend: str) -> None:
        raise kernels.NotAvailable.because("A compiler must be there", "none", "Install g++.")

    monkeypatch.setattr(register, "with_backend", refuse)
    labels, x = np.zeros(2, np.int32), tf.zeros((2, 3))
    with pytest.raises(kernels.NotAvailable):
        tf.function(lambda x: ce.sparse_cross_entropy(labels, x))(x)


def test_a_variable_of_a_layer_is_taken_eagerly(rng):
    kernel, gain = (
        keras.Variable(x, dtype="float32") for x in (rng.normal(size=(3, 4)), np.ones(4))
    )
    expected = reference_standardized(np.asarray(kernel), np.ones(4), ws.EPSILON)
    np.testing.assert_allclose(ws.standardize(kernel, gain), expected, rtol=1e-5, atol=1e-6)


class Standardising(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), initializer="glorot_uniform")

    def call(self, inputs):
        return inputs @ ws.standardize(self.kernel, np.ones(4, np.float32))


WAY_OUT = r'inside `with kernels.use\("reference"\)`'


def test_an_export_is_refused_with_the_way_out(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Standardising()])
    with pytest.raises(ValueError, match=WAY_OUT):
        model.export(tmp_path / "native", verbose=False)
    with kernels.use("reference"):
        model.export(tmp_path / "plain", verbose=False)


@pytest.mark.parametrize("jit", [False, True])
def test_a_function_that_was_traced_before_is_not_exported_either(tmp_path, jit):
    """Nor is one that only calls it: in what is loaded there would be an op that nobody has."""
    inner = tf.function(lambda w: ws.standardize(w, np.ones(4, np.float32)), jit_compile=jit)
    module = tf.Module()
    module.serve = tf.function(lambda w: 2.0 * inner(w))
    inner(tf.ones((3, 4)))
    module.serve(tf.ones((3, 4)))
    with pytest.raises(ValueError, match=WAY_OUT):
        tf.saved_model.save(module, str(tmp_path))
