"""Techniques in how a model is built: another function makes it, all around it stays the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Arm, Prepared
from keras_ab.bench.workloads import image_sets, recipe
from keras_ab.bench.workloads.recipe import Params, Recipe, Workload


def nothing(_model: Any) -> Mapping[str, Any]:
    """Look for nothing in a model."""
    return {}


@dataclass(frozen=True)
class Built:
    """What distinguishes an arm whose technique is in the model.

    Args:
        model: build the model of a case; it returns logits ``(batch, classes)``.
        data: inputs and labels of a case.
        sizes: further metrics of the built model that need no clock.
        observe: further arrays of the untouched model for the guards.
    """

    model: Callable[[Params], Any]
    data: Callable[[Params], tuple[np.ndarray, np.ndarray]] = image_sets.train_data
    sizes: Callable[[Any], Mapping[str, float]] = nothing
    observe: Callable[[Any], Mapping[str, Any]] = nothing

    def __str__(self) -> str:
        return inspect.getsource(self.model)

    @property
    def workload(self) -> Workload:
        """The model and its data, as recipes train them."""
        return Workload(lambda case, _recipe: self.model(case), self.data, image_sets.classes)


def prepare(built: Built, case: Params) -> Prepared:
    """Make one training step of the model ready to be timed, with the plainest recipe."""
    made: list[Any] = []

    def model(params: Params, _recipe: Recipe) -> Any:
        made.append(built.model(params))
        return made[-1]

    prepared = recipe.prepare(replace(built.workload, model=model), Recipe(), case)

    def observe() -> Mapping[str, Any]:
        first = dict(built.observe(made[-1]))
        assert prepared.observe is not None  # noqa: S101 - a recipe always observes
        later = dict(prepared.observe())
        named = {key: by_name(made[-1], later[key]) for key in ("gradients", "weights")}
        return first | later | named

    sizes = {**prepared.sizes, **built.sizes(made[-1])}
    return replace(prepared, sizes=sizes, observe=observe)


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


def arm(name: str, built: Built, says: str, **more: Any) -> Arm:
    """Return the arm that trains the model that `built` makes."""
    return Arm(name, partial(prepare, built), says, recipe=built, **more)


def train_and_score(
    steps: int, built: Built, case: Params, seed: int, learning_rate: float
) -> float:
    """Train from a seed for a number of steps; return the accuracy on the test images."""
    return recipe.train_and_score(
        built.workload, image_sets.test_data, steps, Recipe(), case, seed, learning_rate
    )


def kernels(model: Any) -> Mapping[str, np.ndarray]:
    """Return the kernels of square convolutions as they were drawn, in the order of the model."""
    found = [v for v in model.trainable_variables if len(v.shape) == 4 and v.shape[0] == v.shape[1]]
    return {"kernels": np.concatenate([np.ravel(np.asarray(v)) for v in found])}
