"""Chunked cross-entropy against the whole softmax, forward and backward."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.chunked_cross_entropy import (
    ChunkedCrossEntropyHead,
    chunked_cross_entropy,
    reference_gradients,
    reference_losses,
)
from tests.examples import examples

tf = pytest.importorskip("tensorflow")

SIZES = [(1, 1, 1), (4, 3, 10), (3, 4, 8)]
MODES = {
    "eager": lambda f: f,
    "graph": lambda f: tf.function(f),
    "jit": lambda f: tf.function(f, jit_compile=True),
}


def _problem(examples, width, vocabulary, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(examples, width), (width, vocabulary), (vocabulary,)]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return [*arrays, rng.integers(0, vocabulary, examples)], rng.normal(size=examples)


def _losses_and_gradients(inputs, upstream, chunk, dtype="float32", mode=MODES["eager"]):
    hidden, kernel, bias = (tf.cast(a, dtype) for a in inputs[:3])

    def run(hidden, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch([hidden, kernel, bias])
            losses = chunked_cross_entropy(hidden, kernel, inputs[3], bias, chunk)
            loss = tf.reduce_sum(losses * tf.cast(upstream, losses.dtype))
        return losses, tape.gradient(loss, [hidden, kernel, bias])

    return mode(run)(hidden, kernel, bias)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_the_whole_softmax(sizes, chunk, mode):
    inputs, upstream = _problem(*sizes)
    losses, gradients = _losses_and_gradients(inputs, upstream, chunk, mode=mode)
    np.testing.assert_allclose(losses, reference_losses(*inputs), rtol=3e-6, atol=1e-6)
    for ours, expected in zip(gradients, reference_gradients(*inputs, upstream), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=2e-6)


@settings(max_examples=examples(10), deadline=None)
@given(sizes=st.tuples(*3 * [st.integers(1, 9)]), chunk=st.integers(1, 10), seed=st.integers(0, 99))
def test_equals_the_whole_softmax_at_any_size(sizes, chunk, seed):
    inputs, upstream = _problem(*sizes, seed=seed)
    losses, gradients = _losses_and_gradients(inputs, upstream, chunk)
    np.testing.assert_allclose(losses, reference_losses(*inputs), rtol=3e-6, atol=2e-6)
    for ours, expected in zip(gradients, reference_gradients(*inputs, upstream), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=4e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_errs_at_most_twice_as_much_as_the_native_one(dtype):
    inputs, upstream = _problem(16, 12, 40)
    inputs[:3] = [np.asarray(tf.cast(tf.cast(a, dtype), "float64")) for a in inputs[:3]]
    losses, gradients = _losses_and_gradients(inputs, upstream, 16, dtype)
    hidden, kernel, bias = (tf.cast(a, dtype) for a in inputs[:3])
    with tf.GradientTape() as tape:
        tape.watch([hidden, kernel, bias])
        logits = tf.matmul(hidden, kernel) + bias
        native = tf.nn.sparse_softmax_cross_entropy_with_logits(inputs[3], logits)
        loss = tf.reduce_sum(native * tf.cast(upstream, dtype))
    natives = [native, *tape.gradient(loss, [hidden, kernel, bias])]
    exacts = [reference_losses(*inputs), *reference_gradients(*inputs, upstream)]
    for ours, native, exact in zip([losses, *gradients], natives, exacts, strict=True):
        ours, native = (np.asarray(tf.cast(a, "float64")) for a in (ours, native))
        assert np.abs(ours - exact).max() <= 2 * np.abs(native - exact).max()


def test_leading_axes_are_kept_and_the_bias_is_optional():
    (hidden, kernel, bias, labels), _ = _problem(6, 3, 10)
    losses = chunked_cross_entropy(hidden.reshape(2, 3, 3), kernel, labels.reshape(2, 3), chunk=4)
    expected = reference_losses(hidden, kernel, 0 * bias, labels).reshape(2, 3)
    np.testing.assert_allclose(losses, expected, rtol=3e-6)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_label_that_is_no_word_and_a_nan_give_nan(mode):
    inputs, upstream = _problem(5, 3, 10)
    inputs[3][:2] = [-1, 10]
    inputs[0][2, 1] = np.nan
    losses, _ = _losses_and_gradients(inputs, upstream, 4, mode=mode)
    np.testing.assert_array_equal(np.isnan(losses), [True, True, True, False, False])


def test_large_logits_do_not_overflow():
    inputs, upstream = _problem(5, 3, 10)
    inputs[0] *= 1e4
    losses, gradients = _losses_and_gradients(inputs, upstream, 3)
    np.testing.assert_allclose(losses, reference_losses(*inputs), rtol=1e-5, atol=1e-2)
    assert all(np.isfinite(g).all() for g in gradients)


def test_no_compiled_tensor_is_as_large_as_the_logits():
    """512 examples and 4096 words in chunks of 512: nothing of 2²¹ elements may be left."""
    inputs, upstream = _problem(512, 8, 4096)

    @tf.function(jit_compile=True)
    def gradients(hidden, kernel, bias):
        return _losses_and_gradients([hidden, kernel, bias, inputs[3]], upstream, 512)[1]

    tensors = [tf.constant(a) for a in inputs[:3]]
    compiled = gradients.experimental_get_compiler_ir(*tensors)(stage="optimized_hlo")
    assert "f32[512,512]" in compiled
    assert "[512,4096]" not in compiled
    assert "[4096,512]" not in compiled


def _language_model(policy="float32"):
    hidden, labels = keras.Input((7, 6)), keras.Input((7,), dtype="int32")
    head = ChunkedCrossEntropyHead(11, chunk=4, dtype=policy, name="head")
    return keras.Model([hidden, labels], head(hidden, labels))


def _mean(_, losses):
    return keras.ops.mean(losses)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("jit", [False, True])
def test_trains_in_fit(jit, policy):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(8, 7, 6)), rng.integers(0, 11, (8, 7))]
    model = _language_model(policy)
    model.compile(keras.optimizers.SGD(1.0), _mean, jit_compile=jit)
    losses = model.fit(x, np.zeros((8, 7)), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_saves_and_loads(tmp_path):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 7, 6)).astype("float32"), rng.integers(0, 11, (2, 7))]
    model = _language_model()
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x), model(x))


@pytest.mark.parametrize(
    "arguments",
    [
        {"chunk": 0},
        {"hidden": np.zeros((2, 4), "float32")},
        {"labels": np.zeros((2, 1), "int32")},
        {"kernel": np.zeros(3, "float32")},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_does_not_fit_is_refused(arguments):
    fitting = {
        "hidden": np.zeros((2, 3), "float32"),
        "kernel": np.zeros((3, 5), "float32"),
        "labels": np.zeros(2, "int32"),
    }
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        chunked_cross_entropy(**{**fitting, **arguments})


def test_labels_of_as_many_positions_in_another_order_are_refused():
    hidden, kernel = np.zeros((2, 3, 4), "float32"), np.zeros((4, 5), "float32")
    assert chunked_cross_entropy(hidden, kernel, np.zeros((2, 3), "int32")).shape == (2, 3)
    with pytest.raises(ValueError, match=r"Shapes must .* Received: .* Pass "):
        chunked_cross_entropy(hidden, kernel, np.zeros((3, 2), "int32"))


def test_a_label_that_is_no_class_gives_no_gradient_either():
    inputs, upstream = _problem(2, 3, 5)
    inputs[3] = np.array([1, -1])
    losses, (d_hidden, *of_head) = _losses_and_gradients(inputs, upstream, 2)
    assert np.isfinite([losses[0], *d_hidden[0]]).all()
    assert np.isnan([losses[1], *d_hidden[1]]).all()
    assert all(np.isnan(d).all() for d in of_head)


def test_float_labels_are_not_rounded_to_the_compute_dtype():
    from keras_ab.kernels.chunked_cross_entropy import ChunkedCrossEntropyHead

    head = ChunkedCrossEntropyHead(2000, dtype="mixed_bfloat16")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    losses = [head(x, np.array([1001, 1999, 3], dtype)) for dtype in ("int32", "float32")]
    assert np.isfinite(losses[0]).all()
    np.testing.assert_array_equal(*losses)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_a_label_beyond_int32_is_no_class(dtype):
    labels = keras.ops.convert_to_tensor(np.array([2**32 + 1], dtype), dtype)
    assert np.isnan(chunked_cross_entropy(np.ones((1, 3)), np.zeros((3, 5)), labels)).all()


def test_labels_that_cannot_tell_the_classes_apart_are_refused():
    labels = keras.ops.cast(np.array([1.0]), "bfloat16")
    with pytest.raises(ValueError, match=r"Labels of 2000 .* Received: 'bfloat16'\. Pass integers"):
        chunked_cross_entropy(np.ones((1, 3)), np.zeros((3, 2000)), labels)


def test_an_empty_batch_has_no_losses():
    losses = chunked_cross_entropy(np.ones((0, 3)), np.zeros((3, 5)), np.zeros(0, "int32"))
    assert losses.shape == (0,)
