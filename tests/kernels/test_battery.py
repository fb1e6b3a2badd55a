"""Each offer of `kernels/` trains in each situation as its plain form does, or is refused."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.kernels import battery

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.usefixtures("library"),
    # Keras 3.15.1 writes a model through NumPy 2's deprecated conversion of a TensorFlow tensor.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

LOW = ("mixed_float16", "mixed_bfloat16", "bfloat16")


CASES = [
    (name, where)
    for name, offer in battery.OFFERS.items()
    for where in offer.situations()
    if (name, where) not in battery.REFUSED
]


@pytest.mark.parametrize(("name", "where"), CASES)
def test_trains_as_the_plain_form_does(name, where, tmp_path):
    offer, situation = battery.OFFERS[name], battery.EVERY[where]
    got = battery.trained(offer, situation, "native", tmp_path / "model.keras")
    expected = battery.expected(offer, situation)
    rtol, atol = (0.02, 0.02) if situation.policy in LOW else (1e-4, 1e-4)
    np.testing.assert_allclose(got["losses"], expected["losses"], rtol=rtol)
    for ours, plain in zip(got["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(ours, plain, rtol=rtol, atol=atol)
    assert got["losses"][-1] < got["losses"][0]


@pytest.mark.parametrize(("name", "where"), battery.REFUSED)
def test_is_refused(name, where, tmp_path):
    offer, situation = battery.OFFERS[name], battery.EVERY[where]
    with pytest.raises(TypeError, match=f"unexpected keyword argument {where!r}"):
        battery.trained(offer, situation, "native", tmp_path / "model.keras")


def test_the_table_of_what_is_refused_is_the_readmes():
    readme = Path(__file__).parents[2] / "kernels" / "native" / "README.md"
    assert battery.table() in readme.read_text()
