"""Each offer of `kernels/` trains in each situation as its plain form does, or is refused."""

import importlib
import pkgutil
from pathlib import Path

import keras
import pytest

from keras_ab import kernels
from tests.kernels import battery, refusals

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.usefixtures("library"),
    # Keras 3.15.1 writes a model through NumPy 2's deprecated conversion of a TensorFlow tensor.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

README = Path(kernels.__file__).parent / "native" / "README.md"
HERE = [pair for pair in battery.pairs() if battery.EVERY[pair[1]].replicas == 1]


@pytest.mark.parametrize(("name", "where"), HERE)
def test_trains_as_its_plain_form_does_or_is_refused(name, where, tmp_path):
    assert not refusals.wrong(name, where, tmp_path)


def test_what_is_refused_is_offered():
    assert set(refusals.REFUSED) <= set(battery.pairs())


def test_all_that_a_model_can_be_saved_with_is_offered():
    """Keras knows each optimizer, loss, layer and schedule of `kernels/` by its package."""
    for module in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        importlib.import_module(module.name)
    known = [name.partition(">") for name in keras.saving.get_custom_objects()]
    ours = {"keras_ab": "", "keras_ab.native": "native."}
    offered = {ours[package] + name for package, _, name in known if package in ours}
    assert offered <= set(battery.OFFERS)
    assert len(offered) >= 10


def test_the_table_of_what_is_refused_is_the_readmes():
    assert refusals.table() in README.read_text()
