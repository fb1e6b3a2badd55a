"""Techniques in how a model is built: another function makes it, all around it stays the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params, Prepared
from keras_ab.bench.workloads import image_sets
from keras_ab.bench.workloads.examples import Examples, Part
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload

Model = Callable[[Params], Any]
"""Builds the model of a case; it returns logits ``(batch, classes)``."""


def nothing(_model: Any) -> Mapping[str, Any]:
    """Look for nothing in a model."""
    return {}


@dataclass(frozen=True)
class OfCase:
    """The model of a case, whatever the recipe; two of one function are equal."""

    model: Model

    def __call__(self, case: Params, _recipe: Recipe) -> Any:
        """Build it."""
        return self.model(case)


@dataclass(frozen=True)
class Built:
    """A training step of the model that each arm builds by a function of its own.

    An arm names that function. All arms train with the plainest recipe, and what the case sets of
    it; without data of its own, on images of digits, ``(28, 28, 1)``, or on those of
    `keras.datasets` that the case names as ``data``::

        def with_activation(name, case):
            import keras

            hidden = keras.layers.Dense(case["width"], activation=name)
            layers = [keras.layers.Flatten(), hidden, keras.layers.Dense(10)]
            return keras.Sequential([keras.Input((28, 28, 1)), *layers])


        def relu(case):
            return with_activation("relu", case)


        def gelu(case):
            return with_activation("gelu", case)


        ARMS = (arm("relu", built, relu, "ReLU"), arm("gelu", built, gelu, "GELU"))
        CASES = grid(batch=(32,), width=(16,))

    Args:
        data: inputs and labels of a case.
        test: those to test on.
        sizes: further metrics of the built model that need no clock.
        observe: further arrays of the untouched model for the guards.
    """

    data: Callable[[Params], Examples] = image_sets.train_data
    test: Callable[[Params], Examples] = image_sets.test_data
    sizes: Callable[[Any], Mapping[str, float]] = nothing
    observe: Callable[[Any], Mapping[str, Any]] = nothing

    def choosing(self) -> Built:
        """Return the same for the choice of learning rates, see `Workload.choosing`."""
        return replace(self, data=Part(self.data, False), test=Part(self.data, True))

    def workload(self, model: Model) -> Workload:
        """Return a model and the data, as recipes train them."""
        return Workload(OfCase(model), self.data, image_sets.classes, self.test)

    def __call__(self, model: Model, case: Params) -> Prepared:
        """Make one training step of the model ready to be timed."""
        made: list[Any] = []

        def kept(params: Params) -> Any:
            made.append(model(params))
            return made[-1]

        prepared = self.workload(kept)(Recipe(), case)

        def observe() -> Mapping[str, Any]:
            first = dict(self.observe(made[-1]))
            assert prepared.observe is not None  # noqa: S101 - a workload always observes
            later = dict(prepared.observe())
            named = {key: by_name(made[-1], later[key]) for key in ("gradients", "weights")}
            return first | later | named

        sizes = {**prepared.sizes, **self.sizes(made[-1])}
        return replace(prepared, sizes=sizes, observe=observe)

    def train_and_score(
        self, steps: int, model: Model, case: Params, seed: int, learning_rate: float
    ) -> float:
        """Train from a seed for a number of steps; return the accuracy on the test examples."""
        workload = self.workload(model)
        return workload.train_and_score(steps, Recipe(), case, seed, learning_rate)


built = Built()
"""On real images, see `image_sets`."""


def by_name(model: Any, flat: np.ndarray) -> np.ndarray:
    """Put the elements of all trainable variables, given in the model's order, in that of names.

    Keras orders a functional model's variables by the depth of their layers, which is another
    where the same layers are wired by other operations.
    """
    variables = model.trainable_variables
    ends = np.cumsum([int(np.prod(v.shape)) for v in variables])
    parts = np.split(flat, ends[:-1])
    order = sorted(range(len(parts)), key=lambda i: variables[i].path.replace("/", "_"))
    return np.concatenate([parts[i] for i in order])
