"""How a model is trained, as data: a technique is the baseline's recipe with one field replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bench.lab import backends
from bench.lab.backends import Training
from bench.lab.declare import Arm, Prepared, Value

Params = Mapping[str, Value]
OBSERVED_STEPS = 4
"""Steps after which the guards look at the weights."""


@dataclass(frozen=True)
class Recipe:
    """Choices in how a model is trained.

    Args:
        labels: ``sparse_int32``, ``sparse_uint16`` or ``one_hot_float32``, as stored.
        optimizer: a name from `OPTIMIZERS`.
        learning_rate: of the optimizer.
        recompute: ``none``, ``each`` block, ``sqrt`` segments, or Keras' ``remat_scope``.
        jit: whether the backend's compiler compiles the step: XLA, or torch.compile on PyTorch;
            JAX compiles every step.
    """

    labels: str = "sparse_int32"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    recompute: str = "none"
    jit: bool = False


@dataclass(frozen=True)
class Workload:
    """A model and its data, both functions of a case.

    Args:
        model: build the model for a case and a recipe; it returns logits ``(batch, classes)``.
        data: return inputs ``(n, ...)`` float32 and labels ``(n,)`` int32; n is a multiple of the
            batch size.
        classes: the number of classes of a case.
    """

    model: Callable[[Params, Recipe], Any]
    data: Callable[[Params], tuple[np.ndarray, np.ndarray]]
    classes: Callable[[Params], int]


def _adam(rate: float) -> Any:
    import keras

    return keras.optimizers.Adam(rate)


def _adafactor(rate: float) -> Any:
    import keras

    return keras.optimizers.Adafactor(rate)


def _adafactor_factored(rate: float) -> Any:
    from kernels.adafactor import Adafactor

    return Adafactor(rate)


def _sm3(rate: float, momentum: float = 0.0) -> Any:
    from kernels.sm3 import SM3

    return SM3(rate, momentum=momentum)


OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "adam": _adam,
    "adafactor": _adafactor,
    "adafactor_factored": _adafactor_factored,
    "sm3": _sm3,
    "sm3_momentum": partial(_sm3, momentum=0.9),
}


def store_labels(labels: np.ndarray, form: str, classes: int) -> np.ndarray:
    """Return class indices ``(n,)`` in the form in which a recipe stores them."""
    if form == "one_hot_float32":
        return np.eye(classes, dtype=np.float32)[labels]
    return labels.astype({"sparse_int32": np.int32, "sparse_uint16": np.uint16}[form])


def compiled_model(workload: Workload, recipe: Recipe, case: Params) -> Any:
    """Build the model and compile it with the recipe's optimizer and loss."""
    import keras

    model = workload.model(case, recipe)
    loss = (
        keras.losses.CategoricalCrossentropy(from_logits=True)
        if recipe.labels.startswith("one_hot")
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    optimizer = OPTIMIZERS[recipe.optimizer](recipe.learning_rate)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=recipe.jit)
    optimizer.build(model.trainable_variables)
    return model


def prepare(workload: Workload, recipe: Recipe, case: Params) -> Prepared:
    """Make one training step of the workload under the recipe ready to be timed.

    The step is Keras' own `train_step` as the backend runs it, on one batch that already lies on
    the device: neither the input pipeline nor `fit`'s Python is in the timing, and no other batch
    is in the memory.
    """
    import keras

    model = compiled_model(workload, recipe, case)
    inputs, labels = workload.data(case)
    stored = store_labels(labels, recipe.labels, workload.classes(case))
    size = int(case["batch"])
    batch = tuple(keras.ops.convert_to_tensor(array[:size]) for array in (inputs, stored))
    training = backends.of_keras().training(model, jit=recipe.jit)
    return Prepared(
        step=partial(training.step, batch),
        sizes={
            "label_bytes": float(stored.nbytes),
            "weights_bytes": nbytes(model.trainable_variables),
            "optimizer_state_bytes": nbytes(model.optimizer.variables),
        },
        observe=partial(observe, model, training, batch, recipe.jit),
    )


def nbytes(variables: list[Any]) -> float:
    """Return the bytes that variables hold."""
    return float(sum(np.asarray(v).nbytes for v in variables))


def flat(tensors: list[Any]) -> np.ndarray:
    """Return all elements of some tensors in a row, on the host."""
    import keras

    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(tensor)) for tensor in tensors])


def observe(model: Any, training: Training, batch: Any, jit: bool) -> dict[str, Any]:
    """Return what guards compare: first loss and gradients, and the weights after a few steps."""
    loss, gradients = backends.of_keras().loss_and_gradients(model, batch, jit=jit)
    for _ in range(OBSERVED_STEPS):
        training.step(batch)
    training.settle()
    return {
        "loss": loss,
        "gradients": flat(gradients),
        "weights": flat(model.trainable_variables),
    }


def arm(name: str, workload: Workload, recipe: Recipe, says: str, **more: Any) -> Arm:
    """Return the arm that trains `workload` as `recipe` says."""
    return Arm(name, partial(prepare, workload, recipe), says, recipe=recipe, **more)


def train_and_score(
    workload: Workload,
    test: Callable[[Params], tuple[np.ndarray, np.ndarray]],
    steps: int,
    recipe: Recipe,
    case: Params,
    seed: int,
    learning_rate: float,
) -> float:
    """Train from a seed for a number of steps and return the accuracy on the test examples.

    The seed sets the weights and the order of the batches, the same for every arm.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = compiled_model(workload, replace(recipe, learning_rate=learning_rate), case)
    inputs, labels = workload.data(case)
    stored = store_labels(labels, recipe.labels, workload.classes(case))
    training = backends.of_keras().training(model, jit=recipe.jit)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.choice(len(inputs), int(case["batch"]), replace=False)
        training.step(tuple(keras.ops.convert_to_tensor(part[rows]) for part in (inputs, stored)))
    training.settle()
    images, truth = test(case)
    logits = model.predict_on_batch(images)
    return float(np.mean(np.argmax(logits, axis=-1) == truth))
