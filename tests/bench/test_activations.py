"""Mixed precision is tried where activations dominate memory, as a source of the claim would."""

import math

import pytest

from keras_ab.bench import bench_amp
from keras_ab.bench.lab.judge.peaks import COUNTED
from keras_ab.bench.workloads.by_name import model
from keras_ab.bench.workloads.recipe import Recipe

CASES = bench_amp.ACTIVATIONS_DOMINATE
ADAM = 2
"""Numbers of state that Adam keeps for each weight."""


def activation_bytes(built, batch):
    """Return what the outputs of all layers take, in float32."""
    shapes = [layer.output.shape for layer in built.layers]
    counts = []
    for shape in shapes:
        size = batch
        for axis in shape[1:]:
            size *= axis
        counts.append(size)
    return 4 * sum(counts)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_activations_take_many_times_the_memory_of_weights_and_state(case):
    built = model(case.params, Recipe())
    activations = activation_bytes(built, case.params["batch"])
    kept = 4 * (1 + ADAM) * built.count_params()
    assert activations > 2**20
    assert activations > 2 * kept


def test_an_activation_is_counted_in_sixteen_bits_too():
    shapes = {layer.output.shape for layer in model(bench_amp.QUICK.params, Recipe()).layers}
    largest = max(math.prod(shape[1:]) for shape in shapes)
    assert 2 * bench_amp.QUICK.params["batch"] * largest > COUNTED


def test_both_experiments_take_these_cases_in_quick():
    for experiment in (bench_amp.EXPERIMENT, bench_amp.IN_FLOAT16):
        quick = {case.id for case in experiment.cases if case.quick}
        assert quick <= {case.id for case in CASES}
