"""What an author is told, where something cannot be as it is written."""

from functools import partial

import pytest

from keras_ab import Case, Prepared, Recipe, Workload, arm, built, grid
from keras_ab.bench.lab.words.errors import DeclarationError


def sums(count, case):
    numbers = range(count * case["scale"])
    return Prepared(lambda: sum(numbers))


def relu(case):
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="relu")])


def softmax(case, recipe):
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])


def softmax_layer(case, recipe):
    import keras

    layers = [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Softmax()]
    return keras.Sequential(layers)


def data(case):
    import numpy as np

    return np.ones((8, 4), np.float32), np.arange(8, dtype=np.int32) % 2


def logits(case, recipe):
    return relu(case)


WORKLOAD = Workload(logits, data, lambda _case: 2)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: grid(channels=16), r"received: channels=16\n.*write channels=\(16,\)"),
        (lambda: grid(data="digits"), r"write data=\('digits',\)"),
        (lambda: Recipe(optimizer="rmsprop"), "a recipe's optimizer .*\n.*'rmsprop'\n.*adam, sgd"),
        (lambda: Recipe(labels="sparse_int8"), "sparse_uint16"),
        (lambda: Recipe(schedule="linear"), "triangular"),
        (lambda: Recipe(loss="hinge"), "focal"),
        (lambda: Recipe(clipping="value"), "global_norm"),
        (lambda: Recipe(decay="l1"), "decoupled"),
        (lambda: Recipe().of({"optimizer": "rmsprop"}), "rmsprop"),
        (lambda: sums(3, Case({"width": 1}).params), "a case sets 'scale'.*\n.*width\n.*grid"),
        (lambda: sums(3, Case({}).params), "without parameters"),
        (lambda: WORKLOAD(Recipe(), Case({}).params), "a case sets 'batch'"),
        (lambda: WORKLOAD.train_and_score(1, Recipe(), {"batch": 2}, 0, 0.1), "to test on"),
        (
            lambda: Workload(softmax, data, lambda _case: 2)(Recipe(), {"batch": 2}),
            "returns logits",
        ),
        (
            lambda: Workload(softmax_layer, data, lambda _case: 2)(Recipe(), {"batch": 2}),
            "returns logits",
        ),
    ],
)
def test_a_mistake_is_refused_in_three_parts(wrong, told):
    with pytest.raises(DeclarationError, match=f"(?s){told}") as refused:
        wrong()
    assert all((refused.value.must, refused.value.received, refused.value.do))


def test_a_case_is_a_mapping_like_any_other():
    params = Case({"batch": 8}).params
    assert params == {"batch": 8}
    assert params.get("width", 3) == 3
    assert "width" not in params
    assert {**params, "width": 1} == {"batch": 8, "width": 1}


def test_an_arm_shows_what_distinguishes_it():
    assert arm("two", sums, 2, "2 numbers").code == "2"
    assert arm("xla", WORKLOAD, Recipe(jit=True), "under XLA").code == str(Recipe(jit=True))
    assert arm("relu", built, relu, "ReLU").code.startswith("def relu(case):")
    assert arm("of_relu", built, partial(relu), "ReLU").code.startswith("def relu(case):")


def test_an_arm_does_its_work_as_its_recipe_says():
    made = arm("two", sums, 2, "2 numbers", time_limit_s=3.0, environment={"A": "b"})
    assert made.build({"scale": 2}).step() == 6
    assert (made.recipe, made.time_limit_s, made.environment) == (2, 3.0, {"A": "b"})


def test_the_readers_own_model_takes_a_step():
    prepared = WORKLOAD(Recipe(optimizer="sgd"), Case({"batch": 4}).params)
    assert float(prepared.step()) > 0
    assert prepared.sizes["label_bytes"] == 8 * 4
