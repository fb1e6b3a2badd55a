"""2-D attention against its formula, in every way it can be called."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.attention_2d import Attention2D, attend, reference_attention
from tests.examples import examples


def _tensors(batch, queries, keys, bottleneck, filters, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, queries, bottleneck), (batch, keys, bottleneck), (batch, keys, filters)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


# Keras warns that the softmax of one position is 1.
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
@settings(max_examples=examples(20), deadline=None)
@given(sizes=st.tuples(*5 * [st.integers(1, 6)]), seed=st.integers(0, 99))
def test_attention_equals_the_formula(sizes, seed):
    q, k, v = _tensors(*sizes, seed=seed)
    np.testing.assert_allclose(attend(q, k, v), reference_attention(q, k, v), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "half_ulp"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_low_precision_is_as_near_as_the_inputs_allow(dtype, half_ulp):
    rounded = [keras.ops.cast(a, dtype) for a in _tensors(2, 5, 7, 3, 4)]
    exact = reference_attention(*[keras.ops.cast(a, "float64") for a in rounded])
    result = keras.ops.cast(attend(*rounded), "float64")
    np.testing.assert_allclose(result, exact, atol=8 * half_ulp * np.abs(rounded[2]).max())


def test_large_scores_do_not_overflow():
    q, k, v = _tensors(1, 3, 4, 2, 2)
    assert np.isfinite(attend(q * 1e4, k * 1e4, v)).all()


def test_self_attention_flattens_and_restores_the_image():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype("float32")
    layer = Attention2D(16)
    result = np.asarray(layer(x))
    projections = layer.query_projection, layer.key_projection, layer.value_projection
    q, k, v = (np.asarray(p(x)).reshape(2, 12, -1) for p in projections)
    assert q.shape[-1] == 2
    expected = reference_attention(q, k, v).reshape(2, 3, 4, 16)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_query_and_key_may_differ_in_size():
    rng = np.random.default_rng(2)
    query, key = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 2, 2, 6))
    assert Attention2D(8)(query, key).shape == (2, 3, 4, 8)
    assert Attention2D(8)(query, key, key[..., :3]).shape == (2, 3, 4, 8)


def test_a_residual_starts_as_the_identity_and_trains():
    x = np.random.default_rng(3).normal(size=(4, 3, 3, 8)).astype("float32")
    layer = Attention2D(8, residual=True)
    np.testing.assert_array_equal(layer(x), x)
    model = keras.Sequential([keras.layers.Input((None, None, 8)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
    model.fit(x, 2 * x, verbose=0)
    assert float(layer.gain) != 0.0


def test_saves_and_loads(tmp_path):
    inputs = keras.Input((4, 4, 8)), keras.Input((2, 2, 8))
    model = keras.Model(inputs, Attention2D(16, bottleneck=3)(*inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    rng = np.random.default_rng(4)
    batch = [rng.normal(size=(2, *i.shape[1:])).astype("float32") for i in inputs]
    np.testing.assert_array_equal(restored(batch), model(batch))


def test_too_few_filters_for_a_bottleneck_are_refused():
    with pytest.raises(ValueError, match=r"at least 8 .* Received: \(7, 0\)\. Pass a bottleneck"):
        Attention2D(7)


def test_a_residual_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"must have as many .* Received: \(5, 8\)\. Pass "):
        Attention2D(8, residual=True).build((None, 4, 4, 5))


def test_attends_with_the_operations_of_the_other_spellings():
    """The experiments that compare spellings of attention hold the operations fixed."""
    tf = pytest.importorskip("tensorflow")
    from keras_ab.bench.workloads import attending

    counts = []
    for block in (attending.with_operations, attending.in_one_layer, attending.in_nested_model):
        inputs = keras.Input((4, 4, 3))
        model = keras.Model(inputs, block(inputs, 8, "block"))
        graph = tf.function(model).get_concrete_function(tf.TensorSpec((2, 4, 4, 3))).graph
        computed = {"Conv2D", "BatchMatMulV2", "Softmax", "Exp", "Log", "Sum", "Max"}
        counts.append(sorted(o.type for o in graph.get_operations() if o.type in computed))
    assert counts[0] == counts[1] == counts[2]
