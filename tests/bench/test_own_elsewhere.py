"""A reader's model on JAX and PyTorch, where they are installed: as Keras' trainers train it."""

import importlib.util
import os
import subprocess
import sys

import pytest

HEAD = """
import keras
import numpy as np

x = np.ones((64, 4), "float32")
"""

EAGER = (
    HEAD
    + """
class Counted(keras.layers.Layer):
    calls = 0

    def call(self, x):
        Counted.calls += 1
        return x


def make(**told):
    model = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", **told)
    return model, (x, x[:, :1])


def plain():
    return make()


def eager():
    return make(run_eagerly=True)


def uncompiled():
    return make(jit_compile=False)
"""
)

COUNTS = """
from keras_ab.bench.own.change import Change, Tried
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.training import Trained

def calls(function, **change):
    own = Subject("own.py", function)
    step = Trained(own)(Tried(Change(**change)), {"batches": 2}).step
    counted = own.imported().__globals__["Counted"]
    step()
    before = counted.calls
    step()
    return counted.calls - before

assert calls("plain") == 0
assert calls("eager") == 2
assert calls("uncompiled") == 2
assert calls("eager", eager=False) == 0
assert calls("uncompiled", jit=True) == 0
"""

UNREDUCED = (
    HEAD
    + """
import torch


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dense(1)

    def call(self, x):
        return self.inner(x)

    def train_step(self, data):
        self.zero_grad()
        loss = keras.ops.mean(self(data) ** 2)
        loss.backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss}


def make():
    model = Own()
    model.compile(optimizer="sgd")
    return model, x
"""
)

LOOKS = """
from keras_ab.bench.own import look
from keras_ab.bench.own.change import Tried
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.training import Trained

own = Subject("own.py", "make")
assert look.found(look.look(own)).loss_before > 0
assert Trained(own)(Tried(), {"batches": 2}).observe()["trained_loss"] > 0
"""


@pytest.fixture
def run(tmp_path):
    """Return what runs a program beside a reader's file, on a backend."""

    def run(backend, source, program):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
        (tmp_path / "own.py").write_text(source)
        environment = os.environ | {"KERAS_BACKEND": backend}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return run


def test_jax_compiles_a_step_where_fit_does(run):
    run("jax", EAGER, COUNTS)


def test_a_loss_that_hangs_in_its_graph_is_read(run):
    run("torch", UNREDUCED, LOOKS)
