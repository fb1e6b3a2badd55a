"""The native kernels are as near to optax and to JAX's own derivatives as float32 allows."""

import importlib.util

import pytest

if missing := [m for m in ("jax", "optax") if importlib.util.find_spec(m) is None]:
    pytest.skip(f"{', '.join(missing)} not installed", allow_module_level=True)

from keras_ab.kernels.native import switch
from tests.kernels.native import oracles

pytestmark = pytest.mark.usefixtures("library")


def test_every_kernel_has_an_oracle():
    assert set(oracles.ORACLES) == set(switch.OPS)


@pytest.mark.parametrize("kernel", oracles.ORACLES)
def test_is_near_its_oracle(kernel):
    """Fifty steps of rounding a weight leave some 50 half units in its last place, 3e-6."""
    assert oracles.worst_error(kernel) < 3e-6
