"""Each offer of `kernels/` trains in each situation as its plain form does, or is refused.

Two replicas and Keras' other backends need processes of their own: `battery_elsewhere.py`.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tests.kernels import battery, refusals

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.usefixtures("library"),
    # Keras 3.15.1 writes a model through NumPy 2's deprecated conversion of a TensorFlow tensor.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

ROOT = Path(__file__).parents[2]
HERE = [pair for pair in battery.pairs() if pair[1] != "mirrored replicas"]


@pytest.mark.parametrize(("name", "where"), [p for p in HERE if p not in refusals.REFUSED])
def test_trains_as_the_plain_form_does(name, where, tmp_path):
    battery.check_trains(name, where, tmp_path)


@pytest.mark.parametrize(("name", "where"), [p for p in HERE if p in refusals.REFUSED])
def test_is_refused(name, where, tmp_path):
    refusal = refusals.REFUSED[name, where]
    with pytest.raises(refusal.error, match=refusal.says):
        battery.check_trains(name, where, tmp_path)


@pytest.mark.parametrize("place", ["replicas", "jax", "torch"])
def test_holds_elsewhere(place):
    if place != "replicas" and importlib.util.find_spec(place) is None:
        pytest.skip(f"{place} is not installed")
    backend = "tensorflow" if place == "replicas" else place
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.battery_elsewhere", place],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_the_table_of_what_is_refused_is_the_readmes():
    readme = ROOT / "kernels" / "native" / "README.md"
    assert refusals.table() in readme.read_text()
