"""What is tried of the sources: it says what happens, and a spoilt one says something else."""

import ast
import inspect
import textwrap
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ab.bench import bench_callbacks, bench_capabilities, bench_eager, bench_snippets
from keras_ab.bench.workloads import callback_attempts, source_snippets, structure_attempts
from tests.bench.declared import DECLARED

ATTEMPTS = {
    f"{file.EXPERIMENT.name}-{attempt.id}": attempt
    for file in (bench_callbacks, bench_snippets)
    for attempt in file.EXPERIMENT.attempts
}
CLAIMED = {
    f"{name}-{attempt.id}": attempt
    for name, (_, experiment) in DECLARED.items()
    for attempt in experiment.attempts
    if any((c.arm, c.attempt) == (attempt.arm, attempt.name) for c in experiment.claims)
}
STRUCTURE = [name for name, _ in bench_capabilities.STRUCTURE]


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_works_says_or_raises_what_keras_raises(name):
    try:
        said = ATTEMPTS[name].tries()
    except (AttributeError, NameError, AssertionError) as error:
        pytest.fail(f"the attempt itself is wrong: {error!r}")
    except Exception as error:  # noqa: BLE001 - what Keras raises is a result
        said = str(error)
    assert said is None or said


@pytest.mark.parametrize("name", CLAIMED)
def test_what_a_claim_rests_on_can_work(name):
    """It returns None where all is as said; one that always says something confirms or refutes."""
    tries = CLAIMED[name].tries
    while isinstance(tries, partial):
        tries = tries.func
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(tries))).body
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    annotated = ast.unparse(function.returns)
    silent = [any(ast.unparse(part) == "None" for part in ast.walk(v)) for v in returned if v]
    handed_on = [isinstance(value, ast.Call) for value in returned]
    assert annotated == "None" or any(silent) or any(handed_on)


def test_an_error_that_names_neither_side_is_not_easy_to_find(monkeypatch):
    for wrong in ("shape", "dtype"):
        assert bench_eager.misfit(bench_eager.EAGER, wrong) is None
    monkeypatch.setattr(bench_eager, "extract_tb", lambda _: [])
    assert "Incompatible shapes" in bench_eager.misfit(bench_eager.EAGER, "shape")


def test_keras_runs_graphs_unless_it_is_told_otherwise():
    assert bench_eager.graph_by_default() is None
    tf.config.run_functions_eagerly(True)
    try:
        assert bench_eager.graph_by_default() == "Python runs it in every step"
    finally:
        tf.config.run_functions_eagerly(False)


def test_made_up_curves_stop_where_they_must():
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=1)
    curve = callback_attempts.WORSE_FROM_THE_THIRD
    assert callback_attempts.stopped_after(stop, {"val_accuracy": curve}) == 3
    rising = keras.callbacks.EarlyStopping("accuracy", patience=1)
    assert (
        callback_attempts.stopped_after(rising, {"accuracy": callback_attempts.IMPROVING}) is None
    )


def test_the_block_as_written_loses_a_convolution():
    assert source_snippets.residual_block() is not None


def test_dot_over_queries_is_not_the_product_and_over_keys_it_is():
    assert source_snippets.attention((1, 1)) > 0.01
    assert source_snippets.attention((2, 1)) < 1e-6


def test_the_recursion_finds_what_the_list_leaves_out():
    assert source_snippets.traversal() is None
    assert source_snippets.flat_traversal() is not None
    assert source_snippets.regularised_submodels() is None


def test_layers_that_take_training_are_looked_up_in_all_of_keras():
    said = source_snippets.only_two_look_at_training()
    assert "GaussianNoise" in said
    assert "Flatten" not in said


@pytest.mark.parametrize("style", ["functional", "subclass"])
def test_loops_and_recursion_compute_what_they_say(style):
    assert structure_attempts.loop_over_layers(style) is None
    assert structure_attempts.recursion(style) is None


def test_a_branch_is_connected_in_a_functional_summary_and_not_in_a_subclass():
    assert structure_attempts.connections("functional") is None
    assert "list of layers" in structure_attempts.connections("subclass")


def test_a_branched_model_is_the_same_in_both_styles():
    x = np.ones((2, 8), np.float32)
    one, other = (structure_attempts.branched(style) for style in ("functional", "subclass"))
    other.set_weights(one.get_weights())
    np.testing.assert_allclose(one(x), other(x), rtol=1e-6)
