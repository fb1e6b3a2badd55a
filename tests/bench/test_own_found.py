"""What a first look finds decides what is tried, for how long, and what is pasted."""

import ast
from dataclasses import replace

import pytest

from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own import experiments, look, techniques
from keras_ab.bench.own.change import Change, Tried, together
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.training import Trained
from tests.bench.test_own import MODEL
from tests.bench.test_trying import FOUND

TERMS = experiments.Terms()


@pytest.fixture
def written(tmp_path):
    """Return what writes a file that has a body behind the usual model, and is its subject."""

    def write(body):
        file = tmp_path / "train.py"
        file.write_text(f"{MODEL}\n{body}")
        return Subject(str(file), "make")

    return write


@pytest.fixture
def found_with(written):
    """Return what is found of a model whose compile is given some arguments."""

    def find(options, y="y"):
        own = written(f"def make():\n    return model(**dict({options})), (x, {y})\n")
        return look.found(look.look(own))

    return find


# -- what applies ---------------------------------------------------------------------------------


def test_native_adam_has_no_amsgrad(found_with):
    found = found_with("optimizer=keras.optimizers.Adam(amsgrad=True)")
    assert "amsgrad" in techniques.left_out(found)["native_adam"]
    assert "native_adam" not in techniques.left_out(replace(found, amsgrad=False))


LOGITS = """
def make():
    made = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, SETTING))
    return made, (x, y.argmax(-1))
"""


@pytest.mark.parametrize("setting", ["ignore_class=0", "reduction='sum'"])
def test_native_loss_has_no_settings(written, setting):
    found = look.found(look.look(written(LOGITS.replace("SETTING", setting))))
    assert found.loss_settings == (setting,)
    assert setting in techniques.left_out(found)["native_loss"]
    assert "native_loss" not in techniques.left_out(replace(found, loss_settings=()))


def test_smoothed_labels_stay_one_hot(found_with):
    found = found_with("loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1)")
    assert "label_smoothing=0.1" in techniques.left_out(found)["sparse_labels"]


@pytest.mark.parametrize(
    "loss", ["keras.losses.categorical_crossentropy", "'CategoricalCrossentropy'"]
)
def test_a_loss_may_be_a_function_or_the_name_of_a_class(found_with, loss):
    assert "sparse_labels" not in techniques.left_out(found_with(f"loss={loss}"))


HASHED = """
def make():
    inputs = keras.Input((12,), dtype="int32")
    hashed = keras.layers.Hashing(8)(inputs)
    made = keras.Sequential([keras.layers.Embedding(8, 2), keras.layers.Flatten()])(hashed)
    made = keras.Model(inputs, keras.layers.Dense(3)(made))
    made.compile("sgd", "mse")
    return made, (x.astype("int32"), y)
"""


def test_layers_that_compute_in_whole_numbers_have_no_policy(written):
    found = look.found(look.look(written(HASHED)))
    assert found.policy == "float32"
    assert "bfloat16" not in techniques.left_out(found)


def test_a_cache_is_not_tried_where_an_epoch_takes_long():
    found = replace(FOUND, data="tf.data", caches=False, batches=100, batch_s=0.01)
    assert "cache" not in techniques.left_out(found)
    assert "an epoch takes" in techniques.left_out(replace(found, batch_s=1.0))["cache"]


# -- how many batches -----------------------------------------------------------------------------

COUNTED = """
class Counted(keras.layers.Layer):
    def build(self, shape):
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.seen.assign_add(keras.ops.cast(keras.ops.shape(x)[0], "float32"))
        return x


def make():
    made = keras.Sequential([keras.Input((12,)), Counted(), keras.layers.Dense(3)])
    made.compile("adam", "mse", steps_per_execution=SPE)
    return made, (x, y)
"""


def examples_of(own, change, count):
    """Return how many examples a step is trained on."""
    prepared = Trained(own)(Tried(change), {"batches": count})
    prepared.step()
    return float(prepared.observe.args[0].layers[0].seen)


@pytest.mark.parametrize("spe", [1, 4, 10, 32])
def test_every_arm_is_trained_on_as_many_examples(written, spe):
    own = written(COUNTED.replace("SPE", str(spe)))
    count = experiments.batches_a_step(replace(FOUND, steps_per_execution=spe, batch_s=0.001))
    names = ["accumulate", "double_batch"] + ["executions_8"] * (spe == 1)
    changes = [techniques.technique(name).change for name in names]
    together_too = [changes[1:]] if spe == 1 else []
    for parts in ([], *([change] for change in changes), *together_too):
        assert examples_of(own, together(parts), count) == 32 * count


def test_a_step_of_half_an_execution_is_refused(written):
    own = written(COUNTED.replace("SPE", "4"))
    with pytest.raises(DeclarationError, match="whole executions"):
        examples_of(own, Change(), 6)


def test_how_long_a_compiled_start_takes_is_looked_at_with_any_execution(written):
    assert float(look.start_compiled(written(COUNTED.replace("SPE", "4")))) > 0


# -- what is pasted -------------------------------------------------------------------------------

NOT_PYTHON = ("one_batch", "without_one_dnn", "one_dnn", "one_thread")


@pytest.mark.parametrize("technique", techniques.TECHNIQUES, ids=lambda t: t.name)
def test_what_is_pasted_is_python(technique):
    pasted = technique.paste.format(found=FOUND)
    if technique.name not in NOT_PYTHON:
        ast.parse(pasted)


def pasted(name, found):
    declared = experiments.singles(Subject("train.py", "make"), found, (name,), TERMS)
    return declared.arms[1].code


def test_what_is_pasted_is_of_the_model_that_was_found():
    logits = replace(FOUND, loss="categorical_crossentropy", from_logits=True)
    assert "SparseCategoricalCrossentropy(from_logits=True)" in pasted("sparse_labels", logits)
    assert "from_logits=False" in pasted("sparse_labels", FOUND)
    assert "metrics" in pasted("sparse_labels", FOUND)
    assert "RMSprop(..., global_clipnorm=1.0)" in pasted(
        "clipping", replace(FOUND, optimizer="RMSprop")
    )
    assert "loss=SparseCategoricalCrossentropy()" in pasted("native_loss", FOUND)


@pytest.mark.parametrize(("on", "applies"), [(True, "without_one_dnn"), (False, "one_dnn")])
def test_one_dnn_is_switched_the_other_way_and_no_way_on_a_gpu(on, applies):
    both = {"one_dnn", "without_one_dnn"}
    (why,) = both - {applies}
    found = replace(FOUND, one_dnn=on)
    assert both & set(techniques.left_out(found)) == {why}
    assert "already" in techniques.left_out(found)[why]
    assert both <= set(techniques.left_out(replace(found, devices=("gpu", "cpu"))))
    assert both <= set(techniques.left_out(replace(found, backend="jax")))


@pytest.mark.parametrize("on", [False, True])
def test_a_first_look_finds_one_dnn_as_tensorflow_has_it(found_with, monkeypatch, on):
    from keras_ab.bench.lab.worker.backends import tensorflow

    monkeypatch.setattr(tensorflow, "one_dnn", lambda: on)
    assert found_with({}).one_dnn is on


@pytest.mark.parametrize(
    ("backend", "offered"), [("tensorflow", True), ("torch", True), ("jax", False)]
)
def test_what_is_compiled_is_run_without_that_but_on_jax(backend, offered):
    found = replace(FOUND, jit=True, backend=backend)
    assert ("without_jit" not in techniques.left_out(found)) is offered
    assert "without_jit" in techniques.left_out(FOUND)
