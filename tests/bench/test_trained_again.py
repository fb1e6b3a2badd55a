"""A model that is trained again, at another rate or from another seed, is a fresh one."""

from dataclasses import replace

import numpy as np
import pytest

from keras_ab.bench.workloads import training
from keras_ab.bench.workloads.by_name import BY_NAME
from keras_ab.bench.workloads.recipe import Recipe

CASE = {"model": "mlp", "width": 8, "depth": 1, "batch": 16}
STATEFUL = {"model": "chain", "blocks": "stateful", "depth": 1, "channels": 2, "batch": 4}
RECIPES = {
    "adam": Recipe(),
    "clipped": Recipe(optimizer="sgd_momentum", clipping="adaptive"),
    "float16": Recipe(dtype_policy="mixed_float16"),
    "accumulated": Recipe(accumulate=2),
}


def weights(recipe, case, seed, rate):
    model = BY_NAME.train(3, recipe, case, seed, rate)
    return [np.array(variable) for variable in model.weights]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("case", [CASE, STATEFUL], ids=["plain", "stateful"])
def test_what_is_learnt_does_not_depend_on_what_was_trained_before(name, case):
    training._traced.cache_clear()
    alone = weights(RECIPES[name], case, 7, 0.01)
    training._traced.cache_clear()
    weights(RECIPES[name], case, 3, 0.5)
    again = weights(RECIPES[name], case, 7, 0.01)
    assert training._traced.cache_info().hits == 1
    for one, other in zip(alone, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_rate_is_not_that_of_the_training_before():
    slow = weights(Recipe(), CASE, 7, 1e-6)
    fast = weights(Recipe(), CASE, 7, 0.1)
    assert not np.allclose(slow[0], fast[0], atol=1e-3)


def test_a_schedule_is_traced_anew():
    recipe = replace(Recipe(), schedule="cosine", schedule_steps=3)
    training._traced.cache_clear()
    weights(recipe, CASE, 7, 0.01)
    assert training._traced.cache_info().currsize == 0
