"""The asymmetric block against its branches, and its fusion against the block."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D, reference_branches
from tests.examples import examples


def _trained_block(image, filters=3, **options):
    """Return a block whose normalisations have statistics of their own, and a batch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *image)).astype("float32")
    block = AsymmetricConvolution2D(filters, **options)
    block(x)
    for norm in block.normalizations:
        shape = (filters,)
        norm.set_weights([rng.uniform(0.5, 2.0, shape) for _ in range(4)])
    return block, x


def _padded(x, block):
    """Pad as Keras' own "same" does for the square kernel: to ⌈n / stride⌉ whole windows."""
    if block.padding == "valid":
        return x
    windows = [-(-n // block.strides) for n in x.shape[1:3]]
    reach = [(n - 1) * block.strides + block.kernel_size for n in windows]
    totals = [max(end - n, 0) for end, n in zip(reach, x.shape[1:3], strict=True)]
    return np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in totals), (0, 0)])


CASES = [
    ((6, 5, 2), {}),
    ((6, 5, 2), {"padding": "valid"}),
    ((8, 7, 2), {"strides": 2}),
    ((7, 8, 1), {"strides": 2, "padding": "valid"}),
    ((9, 9, 2), {"kernel_size": 5, "strides": 3}),
    ((1, 1, 2), {}),
    ((4, 3, 2), {"kernel_size": 1}),
]


@pytest.mark.parametrize(("image", "options"), CASES, ids=str)
def test_the_block_equals_its_branches_and_its_fusion_the_block(image, options):
    block, x = _trained_block(image, **options)
    size, stride = block.kernel_size, block.strides
    expected = reference_branches(_padded(x, block), block.branches(), size, stride, block.epsilon)
    np.testing.assert_allclose(block(x), expected, atol=1e-5)
    np.testing.assert_allclose(block.fuse()(x), expected, atol=1e-5)
    assert block.compute_output_shape(x.shape) == expected.shape


@settings(max_examples=examples(15), deadline=None)
@given(image=st.tuples(*2 * [st.integers(1, 9)]), stride=st.integers(1, 3))
def test_fuses_at_any_size(image, stride):
    block, x = _trained_block((*image, 2), strides=stride)
    np.testing.assert_allclose(block.fuse()(x), block(x), atol=1e-5)


CUTS = [
    ((6, 5, 2), {}, 0),
    ((7, 9, 2), {"strides": 2}, 0),
    ((8, 7, 2), {"strides": 2}, 1),
    ((8, 8, 2), {"strides": 2}, 2),
    ((7, 8, 1), {"strides": 2, "padding": "valid"}, 2),
    ((10, 9, 2), {"kernel_size": 5, "strides": 3}, 1),
]


@pytest.mark.parametrize(("image", "options", "cuts"), CUTS, ids=str)
def test_nothing_is_padded_and_nothing_cut_but_what_has_another_centre(image, options, cuts):
    tf = pytest.importorskip("tensorflow")
    block, x = _trained_block(image, **options)
    graph = tf.function(lambda x: block(x)).get_concrete_function(tf.constant(x)).graph
    types = [op.type for op in graph.get_operations()]
    assert types.count("Conv2D") == 3
    assert types.count("StridedSlice") == cuts
    assert not [each for each in types if "Pad" in each]


def test_trains_all_three_branches():
    block, x = _trained_block((6, 6, 2))
    model = keras.Sequential([keras.layers.Input((6, 6, 2)), block])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [b.kernel for b in block.branches()]
    statistics = [b.mean for b in block.branches()]
    model.fit(x, np.zeros((2, 6, 6, 3)), verbose=0)
    for old, new in zip(before, block.branches(), strict=True):
        assert np.abs(new.kernel - old).max() > 0
    for old, new in zip(statistics, block.branches(), strict=True):
        assert np.abs(new.mean - old).max() > 0
    np.testing.assert_allclose(block.fuse()(x), block(x), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_fuses_from_float32_weights(policy):
    block, x = _trained_block((6, 5, 2), dtype=policy)
    full = reference_branches(_padded(x, block), block.branches(), 3, 1, block.epsilon)
    fused = block.fuse()
    assert fused.kernel.dtype == "float32"
    result = keras.ops.cast(fused(x), "float64")
    half_ulp = {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}[policy]
    np.testing.assert_allclose(result, full, atol=8 * half_ulp * np.abs(full).max())


def test_saves_and_loads(tmp_path):
    block, x = _trained_block((6, 5, 2), strides=2, kernel_regularizer="l2")
    model = keras.Sequential([keras.layers.Input((6, 5, 2)), block])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x), model(x))


@pytest.mark.parametrize(
    "options", [{"kernel_size": 2}, {"strides": 0}, {"padding": "causal"}], ids=str
)
def test_bad_arguments_are_refused_when_declared(options):
    with pytest.raises(ValueError, match=r"must be .* Received: .* Pass "):
        AsymmetricConvolution2D(4, **options)


def test_an_unknown_size_with_a_stride_is_refused():
    with pytest.raises(ValueError, match=r"must be known.* Received: \(None, None\)\. Pass "):
        AsymmetricConvolution2D(4, strides=2).build((None, None, None, 3))


def test_an_unbuilt_block_cannot_be_fused():
    with pytest.raises(ValueError, match=r"must be built\. Received: .* Call it on a batch"):
        AsymmetricConvolution2D(4).fuse()
