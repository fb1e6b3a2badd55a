"""Long-tail losses against the papers' formulas, with gradients and hard inputs."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_ab.kernels import long_tail_losses as long_tail
from tests.examples import examples

COUNTS = [500, 50, 5, 1]


def _class_balanced(label, logits, gamma):
    weight = long_tail.reference_class_weights(COUNTS, 0.99)[label]
    return weight * long_tail.reference_focal(label, logits, gamma)


LOSSES = {
    "focal": (
        lambda **o: long_tail.FocalLoss(2.0, **o),
        lambda label, z: long_tail.reference_focal(label, z, 2.0),
    ),
    "focal_half": (
        lambda **o: long_tail.FocalLoss(0.5, **o),
        lambda label, z: long_tail.reference_focal(label, z, 0.5),
    ),
    "focal_zero": (
        lambda **o: long_tail.FocalLoss(0.0, **o),
        long_tail.reference_cross_entropy,
    ),
    "class_balanced": (
        lambda **o: long_tail.ClassBalancedLoss(COUNTS, 0.99, **o),
        lambda label, z: _class_balanced(label, z, 0.0),
    ),
    "class_balanced_focal": (
        lambda **o: long_tail.ClassBalancedLoss(COUNTS, 0.99, 1.5, **o),
        lambda label, z: _class_balanced(label, z, 1.5),
    ),
    "logit_adjusted": (
        lambda **o: long_tail.LogitAdjustedLoss(COUNTS, 1.25, **o),
        lambda label, z: long_tail.reference_logit_adjustment(label, z, COUNTS, 1.25),
    ),
    "ldam": (
        lambda **o: long_tail.LDAMLoss(COUNTS, 0.5, 4.0, **o),
        lambda label, z: long_tail.reference_ldam(label, z, COUNTS, 0.5, 4.0),
    ),
}


@pytest.fixture(params=LOSSES.values(), ids=LOSSES)
def pair(request):
    return request.param


def _examples(shape, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, shape), (spread * rng.normal(size=(*shape, 4))).astype("float32")


def _reference(formula, labels, logits):
    flat = zip(np.ravel(labels), np.reshape(logits, (-1, logits.shape[-1])), strict=True)
    return np.reshape([formula(label, z) for label, z in flat], np.shape(labels))


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (0,)], ids=str)
def test_equals_the_papers_formula(pair, shape):
    build, formula = pair
    labels, logits = _examples(shape)
    result = build(reduction=None)(labels, logits)
    np.testing.assert_allclose(result, _reference(formula, labels, logits), rtol=3e-6, atol=1e-6)


@settings(max_examples=examples(10), deadline=None)
@given(shape=st.tuples(*2 * [st.integers(1, 5)]), seed=st.integers(0, 9999))
@example(shape=(3, 5), seed=64)
def test_equals_the_formula_on_any_shape(shape, seed):
    labels, logits = _examples(shape, seed)
    for build, formula in LOSSES.values():
        result = build(reduction=None)(labels, logits)
        expected = _reference(formula, labels, logits)
        np.testing.assert_allclose(result, expected, rtol=3e-6, atol=1e-6)


def test_the_loss_of_an_easy_example_is_not_rounded_away(pair):
    """In float32 a log-sum-exp of 12 is no nearer than 5e-7, and the loss is 2e-5."""
    build, formula = pair
    labels, logits = _examples((50,), spread=1.0)
    logits[np.arange(50), labels] = 12.0
    result = build(reduction=None)(labels, logits)
    np.testing.assert_allclose(result, _reference(formula, labels, logits), rtol=3e-5, atol=1e-14)


def test_gradients_equal_central_differences_of_the_formula(pair):
    tf = pytest.importorskip("tensorflow")
    build, formula = pair
    labels, logits = _examples((5,))
    logits = logits.astype("float64")
    step = 1e-6 * np.random.default_rng(1).normal(size=logits.shape)
    with tf.GradientTape() as tape:
        z = tf.constant(logits)
        tape.watch(z)
        loss = build(reduction="sum", dtype="float64")(labels, z)
    slope = np.sum(np.asarray(tape.gradient(loss, z)) * step)
    ahead, behind = (_reference(formula, labels, logits + d).sum() for d in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / 2, rtol=1e-6)


@pytest.mark.parametrize("spread", [1e3, 1e30])
def test_extreme_logits_keep_finite_gradients(pair, spread):
    tf = pytest.importorskip("tensorflow")
    build, _ = pair
    labels, logits = _examples((6,), spread=spread)
    with tf.GradientTape() as tape:
        z = tf.constant(logits)
        tape.watch(z)
        loss = build()(labels, z)
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, z)).all()


@pytest.mark.parametrize(("dtype", "half_ulp"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_low_precision_logits_are_computed_in_float32(pair, dtype, half_ulp):
    build, formula = pair
    labels, logits = _examples((9,))
    rounded = keras.ops.cast(logits, dtype)
    exact = _reference(formula, labels, np.asarray(keras.ops.cast(rounded, "float64")))
    np.testing.assert_allclose(build(reduction=None)(labels, rounded), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_is_no_class_gives_nan(pair, label, jit):
    tf = pytest.importorskip("tensorflow")
    build, _ = pair
    loss = tf.function(build(reduction=None), jit_compile=jit)
    labels, logits = _examples((3,))
    labels[1] = label
    np.testing.assert_array_equal(np.isnan(loss(labels, logits)), [False, True, False])


def test_nan_is_not_swallowed(pair):
    build, _ = pair
    labels, logits = _examples((3,))
    logits[1, 2] = np.nan
    np.testing.assert_array_equal(
        np.isnan(build(reduction=None)(labels, logits)), [False, True, False]
    )


def test_labels_may_have_a_last_axis_of_one_and_weights(pair):
    build, formula = pair
    labels, logits = _examples((3,))
    weights = np.array([1.0, 0.0, 2.0])
    result = build(reduction="sum")(labels[:, None], logits, sample_weight=weights)
    expected = np.sum(weights * _reference(formula, labels, logits))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_saves_and_loads(pair):
    build, _ = pair
    loss = build()
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert restored.get_config() == loss.get_config()
    np.testing.assert_array_equal(restored(*_examples((5,))), loss(*_examples((5,))))


def test_class_weights_add_up_to_the_number_of_classes():
    np.testing.assert_allclose(long_tail.reference_class_weights(COUNTS, 0.99).sum(), 4.0)
    np.testing.assert_allclose(long_tail.reference_class_weights(COUNTS, 0.0), 1.0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: long_tail.FocalLoss(-1.0),
        lambda: long_tail.ClassBalancedLoss([3, 0]),
        lambda: long_tail.ClassBalancedLoss([3, 1], beta=1.0),
        lambda: long_tail.LogitAdjustedLoss([3, 1], tau=-1.0),
        lambda: long_tail.LDAMLoss([3]),
        lambda: long_tail.LDAMLoss([3, 1], scale=0.0),
        lambda: long_tail.LDAMLoss([3, 1])(np.zeros(2), np.zeros((2, 3))),
        lambda: long_tail.FocalLoss()(np.zeros((2, 3)), np.zeros((2, 3))),
        lambda: long_tail.FocalLoss()(np.zeros(2), np.zeros((2, 1))),
        lambda: long_tail.FocalLoss()(np.zeros((2, 1)), np.zeros((2, 3, 4))),
        lambda: long_tail.FocalLoss()(np.zeros((3, 2)), np.zeros((2, 3, 4))),
        lambda: long_tail.FocalLoss()(np.zeros(6), np.zeros((2, 3, 4))),
    ],
)
def test_bad_arguments_are_refused(build):
    with pytest.raises(ValueError, match=r"must .* Received: .* Pass "):
        build()
