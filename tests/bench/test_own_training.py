"""A reader's model is built, trained and judged as `fit` and `evaluate` do it."""

import numpy as np
import pytest

from keras_ab.bench.lab.loop.arm_process import arrays_in
from keras_ab.bench.lab.words.arms import Prepared
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.worker import backends, protocol
from keras_ab.bench.lab.worker.handler import Handler
from keras_ab.bench.own import largest, look, training
from keras_ab.bench.own.change import Change, Tried
from keras_ab.bench.own.subject import Made, Subject

CASE = {"batches": 2}

HEAD = """
import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 4)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")

"""


@pytest.fixture
def subject(tmp_path):
    """Return what writes a reader's file, and is its subject."""

    def write(source):
        file = tmp_path / f"own_{len(list(tmp_path.iterdir()))}.py"
        file.write_text(HEAD + source)
        return Subject(str(file), "make")

    return write


PARTS = """
class Parts(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
        self.outer = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.outer(self.inner(x)) - y) ** 2)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss}


def make():
    model = Parts()
    model.compile(optimizer="adam")
    return model, (x, y)
"""


def test_parts_that_the_first_step_builds_are_trained(subject):
    own = subject(PARTS)
    assert look.found(look.look(own)).parameters == 4 * 3 + 3 + 3 + 1 + 1 + 1
    prepared = training.Trained(own)(Tried(), CASE)
    assert set(prepared.sizes) == {"input_bytes", "label_bytes"}
    first, second = (float(prepared.step()) for _ in range(2))
    assert first != second
    assert np.isfinite(training.Trained(own)(Tried(), CASE).observe()["weights"]).all()


COUNTED = """
SIZES = []


class Counted(keras.layers.Layer):
    def call(self, x):
        SIZES.append(x.shape[0])
        return x


def make():
    model = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    return model, (x, y)
"""


def test_a_batch_that_is_accumulated_comes_in_parts(subject):
    own = subject(COUNTED)
    largest.fits(own, ("accumulate",), 2)
    _made, *trained = own.imported().__globals__["SIZES"]
    assert trained == [32] * 2 * largest.STEPS


@pytest.mark.parametrize("word", ["RandomZoom", "bloom", "room_1"])
def test_a_word_that_has_a_sign_of_memory_in_it_is_none(word):
    assert not largest.is_of_memory(f"ValueError: layer {word} got 3 inputs")


def made(**given):
    """Return a model that gives what it gets, and validation data."""
    import keras

    model = keras.Sequential([keras.Input(batch_shape=given.pop("shape", (None, 1)))])
    model.compile("sgd", "mse")
    return Made(model, None, **given)


def test_validation_data_is_weighed():
    x, y = np.array([[1.0], [3.0]], "float32"), np.zeros((2, 1), "float32")
    assert training.validation_loss(made(validation=(x, y)), Change()) == 5.0
    weighed = (x, y, np.array([1.0, 0.0], "float32"))
    assert training.validation_loss(made(validation=weighed), Change()) == 0.5


def test_a_model_of_fixed_batches_is_judged_by_such():
    x, y = np.ones((16, 1), "float32"), np.zeros((16, 1), "float32")
    subject = made(validation=(x, y), batch_size=8, shape=(8, 1))
    assert training.validation_loss(subject, Change()) == 1.0


VALIDATED = """
def make():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer=OPTIMIZER, loss="mse")
    validation = tf.data.Dataset.from_tensor_slices((x, y)).batch(32).repeat(TIMES)
    return model, (x, y), validation
"""


@pytest.fixture
def validated(subject):
    """Return what trains on some batches with an optimizer, and returns the validation loss."""

    def train(optimizer, batches=4, times="1"):
        own = subject(VALIDATED.replace("OPTIMIZER", optimizer).replace("TIMES", times))
        return training.Trained(own).validated(1, Tried(), {"batches": batches}, 3, 1.0)

    return train


def test_averages_of_weights_are_judged_where_they_are_what_is_learnt(validated):
    """At a momentum of one, Keras keeps the weights of after the first batch."""
    first = validated("keras.optimizers.SGD(0.1)", batches=1)
    assert validated("keras.optimizers.SGD(0.1)") != pytest.approx(first)
    averaged = "keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=1.0)"
    assert validated(averaged) == pytest.approx(first)


def test_validation_data_that_never_ends_is_refused(validated):
    with pytest.raises(DeclarationError, match="validation data ends") as refused:
        validated("keras.optimizers.SGD(0.1)", times="")
    assert "repeat()" in refused.value.do


def test_bfloat16_is_numbers_for_guards_and_nan_in_it_is_seen(tmp_path):
    """NumPy takes a type that it does not know for bytes of anything."""
    import ml_dtypes

    handler = Handler()
    handler.backend = backends.load("plain")
    weights = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    handler._observe(Prepared(float, observe=lambda: {"weights": weights}), str(tmp_path / "w.npz"))
    assert arrays_in(tmp_path / "w.npz")["weights"].tolist() == [1.5, -2.0]
    for last, finite in ((1.0, True), (np.nan, False)):
        handler.last = np.array(last, ml_dtypes.bfloat16)
        assert handler.finish(protocol.Finish()) is finite
