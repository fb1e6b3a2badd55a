"""The emulation of TensorFloat-32: what is rounded, and that every experiment can be had in it."""

import numpy as np
import pytest

from tests.bench.declared import DECLARED
from tests.studies.tf32_guards import beside_itself, on_tensorflow, rounded, tensor_float_32

tf = pytest.importorskip("tensorflow")

ULP = 2.0**-10
"""Of 1, in TensorFloat-32."""


@pytest.mark.parametrize(
    ("number", "nearest"),
    [
        (1.0, 1.0),
        (1 + ULP, 1 + ULP),
        (1 + 0.49 * ULP, 1.0),
        (1 + 0.5 * ULP, 1 + ULP),
        (-1 - 0.51 * ULP, -1 - ULP),
        (3e38, float(np.float32(3e38))),
        (0.0, 0.0),
    ],
)
def test_inputs_are_rounded_to_ten_bits(number, nearest):
    assert float(rounded(tf.constant(number))) == pytest.approx(nearest, rel=ULP / 2)
    if abs(number) < 2:
        assert float(rounded(tf.constant(number))) == nearest


def test_what_is_no_float32_stays():
    whole = tf.constant([1 + ULP / 4], tf.float64)
    assert rounded(whole) is whole
    assert rounded(True) is True
    (of_a_list,) = rounded([tf.constant(1 + ULP / 4)])
    assert float(of_a_list) == 1.0


PRODUCTS = {
    "matrices": lambda a, b: tf.matmul(a, b),
    "batches": lambda a, b: tf.matmul(a[None], b[None]),
    "einsum": lambda a, b: tf.einsum("ij,jk->ik", a, b),
    "convolution": lambda a, b: tf.nn.conv2d(a[None, :, :, None], b[:3, :3, None, None], 1, "SAME"),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("graph", [False, True])
def test_products_and_their_gradients_see_rounded_inputs(name, graph):
    rng = np.random.default_rng(2)
    a, b = (tf.Variable(rng.standard_normal((16, 16)), dtype=tf.float32) for _ in range(2))

    def step():
        with tf.device("CPU:0"), tf.GradientTape() as tape:
            made = PRODUCTS[name](a, b)
            loss = tf.reduce_sum(tf.sin(made))
        return made, tape.gradient(loss, a)

    whole = step()
    with tensor_float_32():
        emulated = (tf.function(step) if graph else step)()
    for found, wanted in zip(emulated, whole, strict=True):
        apart = float(tf.reduce_max(tf.abs(found - wanted)) / tf.reduce_max(tf.abs(wanted)))
        assert 1e-5 < apart < 1e-2
    np.testing.assert_array_equal(step()[0], whole[0])  # the emulation has ended


@pytest.mark.parametrize("name", on_tensorflow())
def test_every_experiment_can_be_set_beside_itself(name):
    path, experiment = DECLARED[name]
    both = beside_itself(str(path), name)
    assert [arm.name for arm in both.arms] == [experiment.baseline.name, "emulated"]
    assert all(not guard.arms for guard in both.guards)
