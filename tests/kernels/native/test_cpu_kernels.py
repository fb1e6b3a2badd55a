"""The CPU kernels equal their references, through the C interface."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.extended_batch_norm import reference_moments
from keras_ab.kernels.native import cross_entropy, register, standardize
from keras_ab.kernels.weight_standardization import reference_standardized
from tests.examples import examples
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases

LOGITS = [(1, 1), (3, 7), (5, 4096), (2, 9001), (64, 1000), (0, 4)]
KERNELS = [(1, 1), (9, 1), (1, 9), (3, 3, 5, 7), (5000, 3), (1, 1, 64, 200), (7, 0)]
BATCHES = [(1, 1), (4, 3), (1000, 17), (3, 5000), (40000, 2)]

pytestmark = pytest.mark.usefixtures("library")

shapes = st.lists(st.integers(0, 40), max_size=4).map(tuple)
dtypes = pytest.mark.parametrize("dtype", c.DTYPES.values(), ids=c.DTYPES)


@pytest.fixture(scope="module", params=[None, 3], ids=["serial", "threads"])
def kernels(request: Any, library: None) -> c.Cpu:
    return c.Cpu(register.library(), request.param)


@dtypes
def test_adam(kernels, rng, dtype):
    cases.check_adam(kernels, cases.SHAPES, dtype, rng)


@dtypes
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sm3(kernels, rng, dtype, momentum):
    tensors = [cases.sm3_tensor(rng, shape, dtype, momentum) for shape in cases.SHAPES]
    cases.check_sm3(kernels, tensors, momentum)


@dtypes
def test_adafactor(kernels, rng, dtype):
    tall = [(1100, 1000)] if dtype == np.float32 else []  # shared between threads, pass by pass
    tensors = [cases.adafactor_tensor(rng, shape, dtype) for shape in [*cases.SHAPES, *tall]]
    cases.check_adafactor(kernels, tensors)


def test_adafactor_is_the_same_to_the_bit_whatever_the_threads(library, rng):
    """A column's squares add up to a tie between two float32, or beyond it if none is rounded off.

    Summed one after the other, all of 2^-54 are; by themselves, they count.
    """
    found = []
    for threads in (1, 2, 3, 5):
        tensor = cases.adafactor_tensor(rng, (1024, 1100), np.float32)
        tensor["g"][:] = 2.0**-27
        tensor["g"][0], tensor["g"][1] = 1.0, 2.0**-12
        step = (0.01, 1.0, *cases.ADAFACTOR.values())
        c.Cpu(register.library(), threads).adafactor(c.adafactor_structs([tensor]), step)
        found.append(tensor["c_out"])
    assert len({bytes(column) for column in found}) == 1
    np.testing.assert_array_equal(found[0] * 1024, np.float32(1 + 2.0**-23))


@pytest.mark.parametrize("shape", [(3, 40, 9001), (1200, 31, 30), (9, 131072)])
def test_adafactor_of_large_tensors_of_any_shape(kernels, rng, shape):
    cases.check_adafactor(kernels, [cases.adafactor_tensor(rng, shape, np.float32)])


@dtypes
def test_clip(kernels, rng, dtype):
    tensors = [cases.clip_tensor(rng, shape, dtype) for shape in cases.SHAPES]
    cases.check_clip(kernels, tensors)


@dtypes
@pytest.mark.parametrize("shape", LOGITS)
def test_cross_entropy(kernels, rng, shape, dtype):
    cases.check_cross_entropy(cases.Tensors(kernels), rng, shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", KERNELS)
def test_standardize(kernels, rng, shape, dtype):
    cases.check_standardize(cases.Tensors(kernels), rng, shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", BATCHES)
def test_batch_statistics(kernels, rng, shape, dtype):
    cases.check_batch_statistics(cases.Tensors(kernels), rng, shape, dtype)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(shapes, min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_any_variables(several, seed):
    """Many variables of any rank and size, all in one call of each fused kernel."""
    kernels, rng = c.Cpu(register.library(), 2), np.random.default_rng(seed)
    cases.check_adam(kernels, several, np.float32, rng)
    cases.check_sm3(kernels, [cases.sm3_tensor(rng, s, np.float32, 0) for s in several], 0.0)
    cases.check_adafactor(kernels, [cases.adafactor_tensor(rng, s, np.float32) for s in several])
    cases.check_clip(kernels, [cases.clip_tensor(rng, s, np.float32) for s in several])


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_matrix(rows, cols, seed):
    tensors, rng = cases.Tensors(c.Cpu(register.library(), 2)), np.random.default_rng(seed)
    cases.check_cross_entropy(tensors, rng, (rows, cols), np.float32)
    cases.check_standardize(tensors, rng, (rows, cols), np.float32)
    cases.check_batch_statistics(tensors, rng, (rows, cols), np.float32)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_comes_out(kernels, rng, bad):
    """Wherever the reference has NaN or infinity, so has the kernel, and nowhere else."""
    shape = (33, 65)
    t = cases.sm3_tensor(rng, shape, np.float32, 0)
    t["g"][3, 5] = bad
    cases.check_sm3(kernels, [t], 0.0)
    assert not np.isfinite(t["w"][3, 5])
    t["mu"], t["g"] = [np.array(a) for a in t["mu_out"]], np.ones_like(t["g"])
    cases.check_sm3(kernels, [t], 0.0)  # what an accumulator keeps goes on as it should
    clipped = cases.clip_tensor(rng, shape, np.float32)
    clipped["g"][3, 5] = bad
    cases.check_clip(kernels, [clipped])
    factored = cases.adafactor_tensor(rng, shape, np.float32)
    factored["g"][3, 5] = bad
    kernels.adafactor(c.adafactor_structs([factored]), (0.01, 0.3, *cases.ADAFACTOR.values()))
    assert np.isnan(factored["w"][3, 5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 4095, 4096, 5000])
def test_a_logit_that_is_not_finite_comes_out(kernels, rng, bad, place):
    x = cases.random(rng, (2, 5001), np.float32)
    x[0, place] = bad
    labels, up = np.array([0, 1], np.int32), np.ones(2, np.float32)
    loss, d = cases.Tensors(kernels).cross_entropy(x, labels, up)
    cases.near(loss, cross_entropy.reference(labels, x))
    cases.near(d, cross_entropy.reference_gradient(labels, x, up))


def test_a_row_masked_up_to_its_label(kernels):
    x = np.full((1, 9000), -np.inf, np.float32)
    x[0, 8999] = 2.0
    labels, up = np.array([8999], np.int32), np.ones(1, np.float32)
    loss, d = cases.Tensors(kernels).cross_entropy(x, labels, up)
    assert loss[0] == 0
    assert not d.any()


def test_a_row_masked_whole_is_nan(kernels):
    x = np.full((1, 9000), -np.inf, np.float32)
    labels, up = np.array([0], np.int32), np.ones(1, np.float32)
    loss, _ = cases.Tensors(kernels).cross_entropy(x, labels, up)
    assert np.isnan(loss[0])


def test_a_small_loss_keeps_its_digits(kernels):
    """The loss is not lse - x_y: at logits near 1000 that would leave four digits."""
    x = np.array([[1000.0, 990.0]], np.float32)
    labels, up = np.array([0], np.int32), np.ones(1, np.float32)
    loss, d = cases.Tensors(kernels).cross_entropy(x, labels, up)
    np.testing.assert_allclose(loss, cross_entropy.reference(labels, x), rtol=2e-3)
    cases.near(d, cross_entropy.reference_gradient(labels, x, up), bound=2e-3)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("label", [-1, 7, 2**31 - 1])
def test_a_label_out_of_range_is_reported_and_nan(kernels, rng, dtype, label):
    x, up = cases.random(rng, (3, 7), np.float32), np.ones(3, np.float32)
    labels = np.array([0, label, 6], dtype)
    loss, d = cases.Tensors(kernels).cross_entropy(x, labels, up)
    assert np.isnan(loss).tolist() == [False, True, False]
    assert np.isnan(d).all(axis=1).tolist() == [False, True, False]


def test_zero_gradients_leave_finite_weights(kernels, rng):
    for shape in [(7,), (33, 65), (3, 3, 4, 6)]:
        sm3 = cases.sm3_tensor(rng, shape, np.float32, 0)
        sm3["g"][...] = 0
        for accumulator in sm3["mu"]:
            accumulator[...] = 0
        before = sm3["w"].copy()
        cases.check_sm3(kernels, [sm3], 0.0)
        np.testing.assert_array_equal(sm3["w"], before)
        factored = cases.adafactor_tensor(rng, shape, np.float32)
        factored["g"][...] = 0
        factored["r"][...] = 0
        if len(shape) > 1:
            factored["c"][...] = 0
        kernels.adafactor(c.adafactor_structs([factored]), (0.01, 1.0, *cases.ADAFACTOR.values()))
        assert np.isfinite(factored["w"]).all()
        cases.check_clip(kernels, [cases.clip_tensor(rng, shape, np.float32)])


def test_a_zero_row_and_column_give_finite_weights(kernels, rng):
    """Keras 3.15.1's Adafactor gives NaN here, at the first step."""
    t = cases.adafactor_tensor(rng, (64, 48), np.float32)
    t["g"][5, :] = 0
    t["g"][:, 7] = 0
    t["r"][...] = 0
    t["c"][...] = 0
    before = t["w"].copy()
    kernels.adafactor(c.adafactor_structs([t]), (0.01, 1.0, *cases.ADAFACTOR.values()))
    assert np.isfinite(t["w"]).all()
    assert t["w"][5, 7] == before[5, 7]
    assert (t["w"][6, 8:] != before[6, 8:]).all()


@pytest.mark.parametrize("size", [1e-44, 1e-40, 1e-30])
def test_denormal_gradients(kernels, rng, size):
    """Squares underflow to 0: no 0/0, no infinity."""
    sm3 = cases.sm3_tensor(rng, (5, 6), np.float32, 0)
    sm3["g"][...] = size
    sm3["mu"] = [np.zeros_like(a) for a in sm3["mu"]]
    kernels.sm3(c.sm3_structs([sm3]), 0.1, 0.0)
    assert np.isfinite(sm3["w"]).all()
    factored = cases.adafactor_tensor(rng, (5, 6), np.float32)
    factored["g"][...] = size
    cases.check_adafactor(kernels, [factored])


def test_huge_gradients_do_not_overflow_the_norm(kernels, rng):
    t = cases.clip_tensor(rng, (33, 65), np.float32)
    t["g"] *= np.float32(1e25)
    cases.check_clip(kernels, [t])


def test_a_kernel_far_from_zero_keeps_its_variance(kernels, rng):
    w = cases.random(rng, (5000, 33), np.float32) + np.float32(100)
    gain, up = np.ones(33, np.float32), np.ones_like(w)
    y, _, _ = cases.Tensors(kernels).standardize(w, gain, up)
    cases.near(y, reference_standardized(w, gain, standardize.EPSILON))


def test_an_upstream_gradient_far_from_zero_keeps_its_deviations(kernels, rng):
    w, gain = cases.random(rng, (5000, 33), np.float32), np.ones(33, np.float32)
    up = cases.random(rng, w.shape, np.float32) + np.float32(100)
    _, d, _ = cases.Tensors(kernels).standardize(w, gain, up)
    cases.near(d, standardize.reference_gradient(w, gain, up)[0])


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_activations_far_from_zero_keep_their_variance(kernels, rng, far):
    x = cases.random(rng, (1000, 17), np.float32) + np.float32(far)
    mean, variance, _ = cases.Tensors(kernels).batch_statistics(x, *np.ones((2, 17), np.float32))
    cases.near(mean, reference_moments(x, "channel_means").mean)
    cases.near(variance[0], reference_moments(x, "channel_means").variance)


@pytest.mark.parametrize("row", [0, 500])
def test_an_activation_that_is_not_finite_comes_out(kernels, rng, row):
    x = cases.random(rng, (1000, 3), np.float32)
    x[row] = np.inf, -np.inf, np.nan
    mean, variance, _ = cases.Tensors(kernels).batch_statistics(x, *np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(mean, [np.inf, -np.inf, np.nan])
    assert np.isnan(variance[0])


@pytest.mark.parametrize("shape", [(70001, 127), (97, 90001)])
def test_results_that_go_past_the_caches(kernels, rng, shape):
    """Of more than 32 MiB, in rows that begin at any alignment, narrower and wider than a chunk."""
    check = cases.check_cross_entropy, cases.check_standardize, cases.check_batch_statistics
    for each in check:
        each(cases.Tensors(kernels), rng, shape, np.float32)


def test_the_gradient_of_a_variance_below_epsilon(kernels, rng):
    w = (1e-3 * rng.standard_normal((9, 4))).astype(np.float32)
    up = rng.standard_normal(w.shape).astype(np.float32)
    gain = np.ones(4, np.float32)
    assert (w.var(axis=0) * len(w) < standardize.EPSILON).all()
    _, d, d_gain = cases.Tensors(kernels).standardize(w, gain, up)
    d_expected, gain_expected = standardize.reference_gradient(w, gain, up)
    cases.near(d, d_expected)
    cases.near(d_gain, gain_expected)


def test_a_constant_kernel_is_zero(kernels):
    w, gain = np.full((9, 4), 3, np.float32), np.ones(4, np.float32)
    y, d, d_gain = cases.Tensors(kernels).standardize(w, gain, np.ones_like(w))
    assert not y.any()
    assert not d.any()
    assert not d_gain.any()


@pytest.mark.parametrize("dtype", [c.DTYPES["float16"], c.DTYPES["bfloat16"]])
def test_every_number_of_a_low_precision(kernels, dtype):
    """Each of the 65536 patterns loads as it is and, times one, stores as it is."""
    w = np.arange(65536, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):
        t = {"w": w.copy(), "m": np.zeros_like(w), "v": np.zeros_like(w), "g": np.zeros_like(w)}
        kernels.adam(c.adam_structs([t]), 0.0, cases.ADAM)
        same = (t["w"].view(np.uint16) == w.view(np.uint16)) | (np.isnan(t["w"]) & np.isnan(w))
    assert same.all()


def test_misaligned_by_an_element(kernels, rng):
    """Buffers need the alignment of an element, no more."""
    whole = {k: np.abs(cases.random(rng, (70001,), np.float32)) for k in "wmvg"}
    tensors = [{k: a[1:] for k, a in whole.items()}]
    aligned = [{k: a.copy() for k, a in tensors[0].items()}]
    kernels.adam(c.adam_structs(tensors), 0.01, cases.ADAM)
    kernels.adam(c.adam_structs(aligned), 0.01, cases.ADAM)
    np.testing.assert_array_equal(tensors[0]["w"], aligned[0]["w"])


def test_no_variable_at_all(kernels):
    kernels.adam(c.adam_structs([]), 0.01, cases.ADAM)
    kernels.clip(c.clip_structs([]), 0.01, 1e-3)
