"""A reader's own model: what is found, what is changed, and what is refused."""

import numpy as np
import pytest

from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.own import experiments, look, techniques
from keras_ab.bench.own.change import Change, Tried, together
from keras_ab.bench.own.subject import Subject, named
from keras_ab.bench.own.training import Trained

CASE = {"batches": 2}
TERMS = experiments.Terms()

MODEL = """
import keras
import numpy as np

rng = np.random.default_rng(0)
x = rng.integers(0, 256, (160, 12)).astype("float32")
y = np.eye(3, dtype="float32")[rng.integers(0, 3, 160)]


def model(**options):
    made = keras.Sequential([
        keras.Input((12,)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ])
    options = {"optimizer": "adam", "loss": "categorical_crossentropy"} | options
    made.compile(metrics=["accuracy"], **options)
    return made
"""

MAKE = MODEL + "\n\ndef make():\n    return model(), (x, y)\n"


@pytest.fixture
def subject(tmp_path):
    """Return what writes a reader's file, and is its subject."""

    def write(source=MAKE, name="train.py", function="make"):
        file = tmp_path / name
        file.write_text(source)
        return Subject(str(file), function)

    return write


def seen(subject, **change):
    """Return a step's loss, the untrained loss and the weights of a subject under a change."""
    import keras

    keras.utils.set_random_seed(7)
    case = {"batches": max(2, change.get("steps_per_execution", 0))}
    return Trained(subject)(Tried(Change(**change)), case).observe()


@pytest.fixture
def found(subject):
    return look.found(look.look(subject()))


# -- the first look -------------------------------------------------------------------------------


def test_a_first_look_finds_what_there_is(found):
    assert found.parameters == 12 * 16 + 16 + 16 * 3 + 3
    assert (found.optimizer, found.loss) == ("Adam", "categorical_crossentropy")
    assert (found.labels, found.data, found.batch, found.batches) == ("one-hot", "arrays", 32, 5)
    assert (found.inputs, found.whole, found.policy) == (("float32",), True, "float32")
    assert found.batch_s > 0
    assert "259 parameters" in str(found)


def test_every_technique_applies_or_says_why_not(found):
    names = [technique.name for technique in techniques.applicable(found)]
    assert {"xla", "bfloat16", "sparse_labels", "byte_inputs", "native_adam"} <= set(names)
    reasons = techniques.left_out(found)
    assert set(names) | set(reasons) == {technique.name for technique in techniques.TECHNIQUES}
    assert reasons["compiled"] == "the step is compiled already"
    assert "kept in memory already" in reasons["cache"]


def test_names_are_told_by_the_file():
    assert Subject("/somewhere/My Train-2.py", "make").name == "my_train_2_make"
    assert Subject("/somewhere/2.py", "make").name == "own_2_make"


# -- changes --------------------------------------------------------------------------------------

ELSEWHERE = ("compiled", "native_loss", "recompute_all")
"""What a model that ends in a softmax, compiled, on TensorFlow leaves nothing to do for."""
SAME = [t for t in techniques.TECHNIQUES if t.same and t.name not in ELSEWHERE]


@pytest.mark.parametrize("technique", SAME, ids=lambda t: t.name)
def test_what_promises_the_same_loss_keeps_it(subject, technique):
    own = subject()
    wanted = seen(own)
    got = seen(own, **technique.change)
    assert got["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert np.isfinite(got["weights"]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"dtype_policy": "mixed_bfloat16"},
        {"dtype_policy": "mixed_float16"},
        {"optimizer": "adafactor_factored"},
        {"clip_norm": 1.0},
        {"accumulate": 2},
        {"larger": 2},
        {"pipeline": "one_batch"},
    ],
    ids=str,
)
def test_every_other_change_trains(subject, change):
    assert np.isfinite(seen(subject(), **change)["weights"]).all()


def test_changes_reach_the_model(subject):
    own = subject()
    assert own.make(Change(jit=True)).model.jit_compile
    assert own.make(Change(steps_per_execution=8)).model.steps_per_execution == 8
    assert own.make(Change(labels="sparse")).model.loss == "sparse_categorical_crossentropy"
    assert own.make(Change(clip_norm=1.0)).model.optimizer.global_clipnorm == 1.0
    assert own.make(Change(accumulate=2)).model.optimizer.gradient_accumulation_steps == 2
    policies = {
        x.dtype_policy.name for x in own.make(Change(dtype_policy="mixed_bfloat16")).model.layers
    }
    assert policies == {"mixed_bfloat16"}


def test_nothing_is_left_of_a_change(subject):
    import keras

    before = keras.Model.compile
    seen(subject(), dtype_policy="mixed_bfloat16", jit=True)
    assert keras.Model.compile is before
    assert keras.config.dtype_policy().name == "float32"


def test_a_loss_object_of_one_hot_rows_becomes_one_of_indices(subject):
    source = MODEL + (
        "\ndef make():\n"
        "    loss = keras.losses.CategoricalCrossentropy(from_logits=True)\n"
        "    made = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])\n"
        "    made.compile('sgd', loss, metrics=[keras.metrics.CategoricalAccuracy()])\n"
        "    return made, (x / 255, y)\n"
    )
    own = subject(source)
    made = own.make(Change(labels="sparse")).model
    assert type(made.loss).__name__ == "SparseCategoricalCrossentropy"
    assert made.loss.from_logits
    assert seen(own, labels="sparse")["loss"] == pytest.approx(seen(own)["loss"], rel=1e-5)


def test_changes_are_stacked():
    both = together([{"jit": True}, {"dtype_policy": "mixed_bfloat16"}])
    assert both == Change(jit=True, dtype_policy="mixed_bfloat16")


def test_an_experiment_on_a_subject_is_an_ordinary_one(subject, found):
    own = subject()
    declared = experiments.singles(own, found, ("xla", "bfloat16"), TERMS)
    assert [a.name for a in declared.arms] == ["as_it_is", "xla", "bfloat16"]
    assert declared.subject == "train.py:make"
    assert declared.guards[0].arms == ("as_it_is", "xla")
    assert "jit_compile=True" in declared.arms[1].code
    crossed = experiments.stacked(own, found, ("xla", "bfloat16"), TERMS)
    assert [a.techniques for a in crossed.arms] == [
        (),
        ("xla",),
        ("bfloat16",),
        ("xla", "bfloat16"),
    ]
    again = experiments.confirmed(own, found, ("xla", "bfloat16"), TERMS)
    assert [a.name for a in again.arms[1:]] == ["stack", "without_xla", "without_bfloat16"]


def test_what_is_learnt_is_judged_by_validation_data(subject):
    own = subject(f"{MODEL}\ndef make():\n    return model(), (x, y), (x[:32], y[:32])\n")
    found = look.found(look.look(own))
    assert found.validation
    declared = experiments.singles(own, found, ("sparse_labels",), experiments.Terms(quality=True))
    train = declared.quality.train
    plain, sparse = (train(arm.recipe, CASE, 3, 1.0) for arm in declared.arms)
    assert 0 < plain < 10
    assert sparse == pytest.approx(plain, rel=1e-4)
    assert train(declared.arms[0].recipe, CASE, 4, 1.0) != plain


def test_a_price_is_kept_in_the_case(subject, found):
    declared = experiments.singles(subject(), found, ("xla",), experiments.Terms(price_per_h=2.5))
    assert declared.cases[0].params["price_per_h"] == 2.5


# -- data -----------------------------------------------------------------------------------------

DATA = {
    "tf.data": "tf.data.Dataset.from_tensor_slices((x, y)).batch(32)",
    "PyDataset": "Batches()",
    "generator": "forever()",
    "list of batches": "[(x[:32], y[:32]), (x[32:64], y[32:64])]",
}
KINDS = """
import tensorflow as tf


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return x[32 * i : 32 * i + 32], y[32 * i : 32 * i + 32]


def forever():
    while True:
        yield x[:32], y[:32]

"""


@pytest.mark.parametrize("data", DATA)
def test_data_may_be_what_fit_takes(subject, data):
    own = subject(f"{MODEL}{KINDS}\ndef make():\n    return model(), {DATA[data]}\n")
    assert np.isfinite(seen(own)["weights"]).all()
    assert look.found(look.look(own)).batch == 32


def test_a_pipeline_is_changed_where_there_is_one(subject):
    own = subject(f"{MODEL}{KINDS}\ndef make():\n    return model(), {DATA['tf.data']}\n")
    found = look.found(look.look(own))
    names = {technique.name for technique in techniques.applicable(found)}
    assert {"prefetch", "cache", "one_batch"} <= names
    assert seen(own, pipeline="cache")["trained_loss"] == pytest.approx(
        seen(own)["trained_loss"], rel=1e-5
    )


def test_a_dict_may_say_more(subject):
    own = subject(
        f"{MODEL}\ndef make():\n    return dict(model=model(), data=(x, y), batch_size=16)\n"
    )
    assert own.make(Change()).batch_size == 16
    assert look.found(look.look(own)).batches == 10


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "must"),
    [
        ("nowhere.py:make", "lies in a Python file"),
        ("no.such.module:make", "lies in a Python file"),
        ("train.py", "named FILE.py:FUNCTION"),
        ("train.py:", "named FILE.py:FUNCTION"),
    ],
)
def test_a_subject_that_is_nowhere_is_refused(given, must):
    with pytest.raises(DeclarationError, match=must):
        named(given)


def test_a_module_may_be_named(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    file = tmp_path / "package" / "train.py"
    file.write_text(MAKE)
    monkeypatch.chdir(tmp_path)
    assert named("package.train:make") == Subject(str(file), "make")


def test_a_policy_of_the_files_own_is_not_overruled_in_silence(subject):
    own = subject(
        f"{MODEL}\ndef make():\n    keras.config.set_dtype_policy('float32')\n"
        "    return model(), (x, y)\n"
    )
    with pytest.raises(NotMeasuredHere, match="takes it over"):
        own.make(Change(dtype_policy="mixed_bfloat16"))


def test_a_subject_that_is_another_each_time_is_refused(subject, found):
    own = subject()
    again = float(look.loss_again(own))
    look.check_repeats(own, found, found.loss_before)
    with pytest.raises(DeclarationError, match="makes the same model and data"):
        look.check_repeats(own, found, 1.1 * again)


def test_an_unknown_technique_is_refused():
    with pytest.raises(DeclarationError, match="one of those that can be tried"):
        techniques.technique("alchemy")
