"""How a model is trained, as data: a technique is the baseline's recipe with one field replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Arm, Prepared, Value
from keras_ab.bench.lab.words.metrics import Metric
from keras_ab.bench.lab.words.steps import StepWork
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.lab.worker.backends import Training
from keras_ab.bench.workloads import losses
from keras_ab.bench.workloads.on_tensorflow import needs_tensorflow
from keras_ab.bench.workloads.optimizers import optimizer, regularise

Params = Mapping[str, Value]
TEST_ACCURACY = Metric("test_accuracy", "test accuracy", "1", "more", "difference", margin=0.01)
"""What `train_and_score` returns, as an outcome of which a hundredth does not matter."""

OBSERVED_STEPS = 4
"""Steps after which the guards look at the weights."""


@dataclass(frozen=True)
class Recipe:
    """Choices in how a model is trained.

    Args:
        labels: ``sparse_int32``, ``sparse_uint16`` or ``one_hot_float32``, as stored.
        optimizer: a name from `keras_ab.bench.workloads.optimizers.OPTIMIZERS`.
        learning_rate: of the optimizer.
        recompute: ``none``; ``each`` block or ``sqrt`` segments under `tf.recompute_grad`;
            ``chain``, our `RematerialisedChain`; or a mode of Keras' `RematScope`.
        jit: whether the backend's compiler compiles the step: XLA, or torch.compile on PyTorch;
            JAX compiles every step. ``auto`` leaves the choice to Keras.
        dtype_policy: Keras' policy for the model's layers.
        graph_rewrite: an option of `tf.config.optimizer` to switch on; empty for none.
        clipping: ``none``, ``global_norm`` or ``adaptive``.
        accumulate: parts into which a batch is cut, their gradients accumulated.
        decay: ``none``, ``decoupled`` weight decay, or ``l2`` of half as much in the loss.
        weight_decay: how much.
        steps_per_execution: batches that `fit` trains on in one call of its compiled function.
        loss: ``cross_entropy``, ``class_balanced``, ``focal`` or ``logit_adjusted``.
        schedule: ``constant``, ``triangular``, ``triangular2`` or ``cosine``; the learning rate is
            then its highest rate.
        schedule_steps: steps for which the schedule is made.
    """

    labels: str = "sparse_int32"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    recompute: str = "none"
    jit: bool | str = False
    dtype_policy: str = "float32"
    graph_rewrite: str = ""
    clipping: str = "none"
    accumulate: int = 1
    decay: str = "none"
    weight_decay: float = 0.0
    steps_per_execution: int = 1
    loss: str = "cross_entropy"
    schedule: str = "constant"
    schedule_steps: int = 0

    def of(self, case: Params) -> Recipe:
        """Return the recipe with what the case sets for every arm, such as its optimizer."""
        names = {field.name for field in fields(self)}
        return replace(self, **{k: v for k, v in case.items() if k in names})  # type: ignore[arg-type]


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


def store_labels(labels: np.ndarray, form: str, classes: int) -> np.ndarray:
    """Return class indices ``(n,)`` in the form in which a recipe stores them."""
    if form == "one_hot_float32":
        return np.eye(classes, dtype=np.float32)[labels]
    return labels.astype({"sparse_int32": np.int32, "sparse_uint16": np.uint16}[form])


def compiled_model(workload: Workload, recipe: Recipe, case: Params) -> Any:
    """Build the model and compile it with the recipe's precision, optimizer and loss."""
    switch_on(recipe.graph_rewrite)
    with precision(recipe.dtype_policy):
        model = workload.model(case, recipe)
    regularise(model, recipe)
    model.compile(
        optimizer=optimizer(recipe),
        loss=losses.loss(workload, recipe, case),
        jit_compile=recipe.jit,
        steps_per_execution=recipe.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)
    return model


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Give the layers that are made inside a dtype policy."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def switch_on(rewrite: str) -> None:
    """Switch an option of TensorFlow's graph optimizer on, for the rest of this process."""
    if not rewrite:
        return
    needs_tensorflow(
        f"{rewrite} is an option of TensorFlow's graph optimizer",
        "dtype policies work on all",
    )
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({rewrite: True})


def prepare(workload: Workload, recipe: Recipe, case: Params) -> Prepared:
    """Make one training step of the workload under the recipe ready to be timed.

    The step is Keras' own `train_step` as the backend runs it, on one batch that already lies on
    the device: neither the input pipeline nor `fit`'s Python is in the timing, and no other batch
    is in the memory. A recipe that accumulates takes one `train_step` for each part of the batch.
    """
    recipe = recipe.of(case)
    model = compiled_model(workload, recipe, case)
    inputs, labels = workload.data(case)
    stored = store_labels(labels, recipe.labels, workload.classes(case))
    size = int(case["batch"])
    parts = cut((inputs[:size], stored[:size]), recipe.accumulate)
    training = backends.of_keras().training(model, jit=model.jit_compile)
    return Prepared(
        step=partial(step, training, parts),
        sizes={
            "label_bytes": float(stored.nbytes),
            "weights_bytes": nbytes(model.trainable_variables),
            "optimizer_state_bytes": nbytes(model.optimizer.variables),
        },
        observe=partial(observe, model, training, parts),
        work=partial(work, training, parts),
    )


def cut(batch: Sequence[np.ndarray], count: int) -> list[tuple[Any, ...]]:
    """Return the batch on the device, in `count` parts of equal size."""
    import keras

    split = zip(*(np.split(array, count) for array in batch), strict=True)
    return [tuple(keras.ops.convert_to_tensor(array) for array in part) for part in split]


def step(training: Training, parts: Sequence[Any]) -> Any:
    """Train on the parts of a batch, one after the other; return the last loss."""
    for part in parts[:-1]:
        training.step(part)
    return training.step(parts[-1])


def work(training: Training, parts: Sequence[Any]) -> StepWork:
    """Return what a step has to do: as much for every part of a batch, all of one size."""
    return training.work(parts[0]) * len(parts)


def nbytes(variables: list[Any]) -> float:
    """Return the bytes that variables hold."""
    return float(sum(np.asarray(v).nbytes for v in variables))


def flat(tensors: list[Any]) -> np.ndarray:
    """Return all elements of some tensors in a row, on the host."""
    import keras

    arrays = [np.ravel(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]
    return np.concatenate(arrays) if arrays else np.zeros(0)


def observe(model: Any, training: Training, parts: Sequence[Any]) -> dict[str, Any]:
    """Return what guards compare.

    The untouched weights, and the first part's loss and gradients from them; after a few steps the
    loss that Keras then reports, the weights, and the state (moving statistics, seeds of random
    numbers).
    """
    first_weights = flat(model.trainable_variables)
    loss, gradients = backends.of_keras().loss_and_gradients(model, parts[0], jit=model.jit_compile)
    for _ in range(OBSERVED_STEPS):
        later_loss = step(training, parts)
    training.settle()
    return {
        "first_weights": first_weights,
        "loss": loss,
        "gradients": flat(gradients),
        "later_loss": later_loss,
        "weights": flat(model.trainable_variables),
        "state": flat(model.non_trainable_variables),
    }


def arm(name: str, workload: Workload, recipe: Recipe, says: str, **more: Any) -> Arm:
    """Return the arm that trains `workload` as `recipe` says."""
    return Arm(name, partial(prepare, workload, recipe), says, recipe=recipe, **more)


def train(
    workload: Workload, steps: int, recipe: Recipe, case: Params, seed: int, learning_rate: float
) -> Any:
    """Train from a seed for a number of steps and return the model.

    The seed sets the weights and the order of the batches, the same for every arm.
    """
    import keras

    recipe = replace(recipe.of(case), learning_rate=learning_rate)
    keras.utils.set_random_seed(seed)
    model = compiled_model(workload, recipe, case)
    inputs, labels = workload.data(case)
    stored = store_labels(labels, recipe.labels, workload.classes(case))
    training = backends.of_keras().training(model, jit=model.jit_compile)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.choice(len(inputs), int(case["batch"]), replace=False)
        step(training, cut((inputs[rows], stored[rows]), recipe.accumulate))
    training.settle()
    return model


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

    A model whose weights are NaN knows no better than to guess, and scores like that.
    """
    model = train(workload, steps, recipe, case, seed, learning_rate)
    return accuracy(model, *test(case))


def accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is that of their label."""
    return float(np.mean(np.argmax(model.predict_on_batch(images), axis=-1) == labels))
