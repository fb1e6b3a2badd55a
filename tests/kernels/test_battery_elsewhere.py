"""The battery where each place needs a process of its own: two replicas, Keras' other backends."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("library")


SOME = ("plain", "masks")
PLACES = {
    "replicas": (),
    "jax": (*SOME, "global_clipnorm"),
    "torch": (*SOME, "use_ema"),
}


@pytest.mark.parametrize("place", PLACES)
def test_each_offer_trains_as_its_plain_form_does_or_is_refused(place):
    backend = "tensorflow" if place == "replicas" else place
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.battery_elsewhere", place, *PLACES[place]],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {}
