"""The native kernels are as near to optax and to JAX's own derivatives as float32 allows."""

import importlib.util
import re
from pathlib import Path

import pytest

if missing := [m for m in ("jax", "optax") if importlib.util.find_spec(m) is None]:
    pytest.skip(f"{', '.join(missing)} not installed", allow_module_level=True)

from keras_ab.kernels.native import switch
from tests.kernels.native import oracles

pytestmark = pytest.mark.usefixtures("library")
README = Path(__file__).parents[3] / "kernels" / "native" / "README.md"


def test_every_kernel_has_an_oracle():
    assert set(oracles.ORACLES) == set(switch.OPS)


@pytest.mark.parametrize("kernel", oracles.ORACLES)
def test_is_near_its_oracle(kernel):
    """As near as the README says, which gives one digit of it; other processors round otherwise.

    Fifty steps of rounding a weight leave some 50 half units in its last place, 3e-6.
    """
    (row,) = re.findall(rf"\| {kernel} \| (.*) \| (\d+e-\d+) \|", README.read_text())
    oracle, said = row
    assert oracle == oracles.ORACLES[kernel][0]
    error = oracles.worst_error(kernel)
    assert error < 3e-6
    assert error < 2 * float(said)
