"""A reader's model that trains by a step of its own, and data that is one array."""

from dataclasses import replace

import numpy as np
import pytest

from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own import applies, largest, look, techniques, training
from keras_ab.bench.own.change import Change, Tried
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.training import Trained

CASE = {"batches": 2}

AUTOENCODER = '''
"""Two models, trained together by a step that is in neither."""

import keras
import numpy as np
import tensorflow as tf

x = np.random.default_rng(0).normal(size=(160, 12)).astype("float32")


class Both(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4)])
        self.decoder = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(12)]
        )

    def train_step(self, data):
        with tf.GradientTape() as tape:
            again = self.decoder(self.encoder(data), training=True)
            loss = tf.reduce_mean((data - again) ** 2)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {NAME: loss}


def make():
    model = Both()
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    return model, x
'''


@pytest.fixture
def both(tmp_path):
    """Return what writes the file, its step naming its loss as it is told, and is its subject."""

    def write(named="loss"):
        file = tmp_path / "both.py"
        file.write_text(AUTOENCODER.replace("NAME", repr(named)))
        return Subject(str(file), "make")

    return write


def trained(own, **change):
    """Return what guards see of a subject under a change."""
    import keras

    keras.utils.set_random_seed(7)
    return Trained(own)(Tried(Change(**change)), CASE).observe()


def test_one_array_alone_is_inputs_without_labels(both):
    found = look.found(look.look(both()))
    assert (found.data, found.batches, found.labels) == ("arrays", 5, "other")
    assert (found.parameters, found.loss) == (12 * 4 + 4 + 4 * 12 + 12, "")
    assert 0 < found.loss_before < 10


def test_looking_at_the_loss_of_a_step_changes_nothing(both):
    made = both().make(Change())
    model, (inputs,) = made.model, made.data
    training.build(model, inputs[:32])
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(variable) for variable in variables]
    loss = training.untrained_loss(model, inputs[:32])
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert training.untrained_loss(model, inputs[:32]) == loss  # what dropout leaves out, too


@pytest.mark.parametrize("name", ["xla", "native_adam", "recompute"])
def test_what_promises_the_same_loss_keeps_it(both, name):
    own = both()
    wanted, got = trained(own), trained(own, **techniques.technique(name).change)
    assert got["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert np.isfinite(got["weights"]).all()


def test_it_accumulates(both):
    assert np.isfinite(trained(both(), accumulate=2)["weights"]).all()


def test_what_such_a_step_does_not_survive_is_told_in_its_words(both):
    with pytest.raises(DeclarationError, match="expected to be a float tensor but is a bfloat16"):
        trained(both(), dtype_policy="mixed_bfloat16")


def test_a_step_that_does_not_say_its_loss_is_told_so(both):
    with pytest.raises(DeclarationError, match="by the name 'loss'"):
        look.look(both("total"))


@pytest.mark.parametrize("technique", ["native_adam", "native_loss"])
def test_kernels_are_not_tried_where_there_are_none(both, technique):
    found = replace(
        look.found(look.look(both())),
        optimizer="Adam",
        loss="sparse_categorical_crossentropy",
        from_logits=True,
    )
    assert technique not in techniques.left_out(found)
    assert technique not in techniques.left_out(replace(found, backend="jax"))
    assert "not on torch" in techniques.left_out(replace(found, backend="torch"))[technique]


TWO_PARTS = '''
"""Steps that take inputs and labels apart, as they come from `fit`."""

import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
x, y = rng.normal(size=(160, 12)).astype("float32"), rng.integers(0, 3, 160)


class Trainer(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
        self.of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def call(self, x):
        return self.inner(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.of(y, self(x, training=True))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        return {"loss": self.of(y, self(x))}


def make():
    model = Trainer()
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    return model, (x, y)
'''


def test_steps_that_take_two_parts_get_two(tmp_path):
    file = tmp_path / "two.py"
    file.write_text(TWO_PARTS)
    own = Subject(str(file), "make")
    found = look.found(look.look(own))
    assert 0.5 < found.loss_before < 3.0
    assert np.isfinite(trained(own)["weights"]).all()
    largest.fits(own, (), 2)


def test_recurrent_layers_are_those_whose_activation_cannot_be_set():
    import keras

    layers = {name: getattr(keras.layers, name) for name in dir(keras.layers)}
    fixed = {
        name
        for name, layer in layers.items()
        if isinstance(property_ := getattr(layer, "activation", None), property)
        and property_.fset is None
    }
    assert set(applies.RECURRENT) == fixed


def test_recomputing_is_not_tried_on_recurrent_layers(both):
    found = look.found(look.look(both()))
    assert "recompute" not in techniques.left_out(found)
    assert "GRU" in techniques.left_out(replace(found, layers=("Dense", "GRU")))["recompute"]


DERIVED = '''
"""Layers by names of a reader's own."""

import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(160, 5, 3)).astype("float32")


class Memory(keras.layers.LSTM):
    pass


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def make():
    model = keras.Sequential([keras.Input((5, 3)), Memory(4), Twice(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    return model, (x, x[:, 0, :1])
'''


def test_a_layer_is_known_by_what_it_derives_from(tmp_path):
    file = tmp_path / "derived.py"
    file.write_text(DERIVED)
    found = look.found(look.look(Subject(str(file), "make")))
    assert {"LSTM", "Layer", "Dense"} <= set(found.layers)
    assert "LSTM" in techniques.left_out(found)["recompute"]
