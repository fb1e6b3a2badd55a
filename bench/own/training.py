"""A subject under a change, ready to be timed: some batches trained on as `fit` does it."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.arms import Prepared
from keras_ab.bench.lab.words.cases import Params
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.lab.words.metrics import LABELS, OPTIMIZER_STATE, WEIGHTS, Metric
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.own import batches, loading
from keras_ab.bench.own.change import Change, Tried
from keras_ab.bench.own.subject import Made, Subject
from keras_ab.bench.workloads.training import flat, is_finite, nbytes

INPUTS = Metric("input_bytes", "stored inputs", "B")
VALIDATION_LOSS = Metric("validation_loss", "validation loss", "1", margin=0.02)


@dataclass(frozen=True)
class Stepping:
    """A subject's training under way.

    Args:
        untrained: the loss of the first batch before anything was trained, see `untrained_loss`.
        step: train on so many batches; returns the mean loss that Keras then reports.
        settle: bring the model's variables up to date.
    """

    untrained: Callable[[], np.ndarray]
    step: Callable[[], Any]
    settle: Callable[[], None]


@dataclass(frozen=True)
class Trained:
    """A subject's own training; called with what is tried and a case, it makes a step ready.

    A step is so many batches as the case says, as the subject's file cuts them: one with larger
    batches takes fewer of them, one that accumulates more.
    """

    subject: Subject

    def __call__(self, tried: Tried, case: Params) -> Prepared:
        """Make the model and its batches; nothing is trained yet."""
        made = self.subject.make(tried.change)
        stream = batches.endless(made, tried.change)
        first = taken(stream, self.subject)
        build(made.model, first)
        stepping = steps(made.model, stream, count(tried.change, case), first)
        return Prepared(
            step=stepping.step,
            sizes=sizes(made, tried.change),
            observe=partial(observe, made.model, stepping),
            finite=partial(is_finite, made.model, stepping.settle),
        )

    def validated(
        self, times: int, tried: Tried, case: Params, seed: int, _learning_rate: float
    ) -> float:
        """Train from a seed for so many steps; return the loss on the subject's validation data.

        The seed sets the weights and the order of the data, see `batches.endless`. Where a weight
        is NaN or infinite, the loss is NaN.
        """
        import keras

        keras.utils.set_random_seed(seed)
        made = self.subject.make(tried.change)
        check_ends(made.validation)
        if tried.change.labels == "sparse" and not batches.of_arrays(made.validation):
            raise NotMeasuredHere(
                "validation labels can be made class indices too",
                batches.kind(made.validation),
                "return arrays as validation data",
            )
        stream = batches.endless(made, tried.change, seed)
        first = taken(stream, self.subject)
        build(made.model, first)
        stepping = steps(made.model, stream, count(tried.change, case), first)
        for _ in range(times):
            stepping.step()
        finite = is_finite(made.model, stepping.settle)
        made.model.optimizer.finalize_variable_values(made.model.trainable_variables)  # as fit ends
        return validation_loss(made, tried.change) if finite else math.nan


def count(change: Change, case: Params) -> int:
    """Return how many batches of its own a step has under a change."""
    return int(case["batches"]) * change.accumulate // change.larger


def observe(model: Any, stepping: Stepping) -> dict[str, Any]:
    """Return what guards compare: the loss before anything is trained, and all after a step."""
    loss = stepping.untrained()
    trained_loss = batches.on_host(stepping.step())
    stepping.settle()
    return {
        "loss": loss,
        "trained_loss": trained_loss,
        "weights": flat(model.trainable_variables),
    }


def validation_loss(made: Made, change: Change) -> float:
    """Return the loss on the validation data, in the form that a change gives it."""
    import keras

    told: dict[str, Any] = {"verbose": 0, "return_dict": True}
    if not batches.of_arrays(made.validation):
        return made.model.evaluate(made.validation, **told)["loss"]
    parts = batches.arrays(replace(made, data=made.validation), change)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(parts)
    told |= {"sample_weight": weights, "batch_size": made.batch_size}
    return made.model.evaluate(x, y, **told)["loss"]


def check_ends(data: Any) -> None:
    """Refuse validation data that is known to go on without end: all of it is judged by."""
    endless = isinstance(data, types.GeneratorType) or getattr(data, "num_batches", 1) is None
    if batches.of_tensorflow(data):
        import tensorflow as tf

        endless = int(data.cardinality()) == tf.data.INFINITE_CARDINALITY
    if endless:
        raise DeclarationError(
            "validation data ends, and can be gone through again",
            f"{batches.kind(data)} that goes on without end, or once",
            "leave out its repeat(), or say how much of it: dataset.take(batches)",
        )


def sizes(made: Made, change: Change) -> dict[str, float]:
    """Return what is stored, in bytes: weights, the optimizer's state, and arrays of data.

    Weights and state are left out where the first step is yet to make some of them.
    """
    found: dict[str, float] = {}
    if made.model.optimizer.built:
        found[WEIGHTS.name] = nbytes(made.model.trainable_variables)
        found[OPTIMIZER_STATE.name] = nbytes(made.model.optimizer.variables)
    if not batches.of_arrays(made.data):
        return found
    import keras

    inputs, *rest = batches.stored(made, change)
    found[INPUTS.name] = float(sum(x.nbytes for x in keras.tree.flatten(inputs)))
    if rest:
        found[LABELS.name] = float(sum(x.nbytes for x in keras.tree.flatten(rest[0])))
    return found


def taken(stream: Iterator[Any], subject: Subject) -> Any:
    """Return the first batch.

    Raises:
        DeclarationError: there is none.
    """
    for batch in stream:
        return batch
    raise DeclarationError(
        "a subject's data yields batches", f"none from {subject.title}", "look at its data"
    )


@contextmanager
def fitting(batch: Any) -> Iterator[None]:
    """Say of what Keras refuses inside that the batch does not fit the model.

    Raises:
        DeclarationError: it does not, or a step does not say its loss.
    """
    import keras

    try:
        yield
    except Exception as error:
        if error.args == ("loss",):
            raise DeclarationError(
                "a train_step or test_step of a model's own returns its loss by the name 'loss'",
                "other names alone",
                "return it too; of several losses, their sum",
            ) from error
        leaves = [leaf for leaf in keras.tree.flatten(batch) if hasattr(leaf, "shape")]
        shapes = ", ".join(
            f"{keras.backend.standardize_dtype(x.dtype)}{tuple(x.shape)}" for x in leaves
        )
        raise DeclarationError(
            "a batch of the data fits the model and its loss",
            f"a batch of {shapes}, of which Keras says: {error}"[:2000],
            "call model.fit on the data yourself, and mend what it says",
        ) from error


def build(model: Any, batch: Any) -> None:
    """Let a model that waits for its first batch make its variables, and its optimizer theirs.

    A step that found an optimizer without variables would be traced twice. But one that knows some
    of a model's variables takes no others: where a `train_step` of the model's own is the first to
    call some of its parts, TensorFlow and PyTorch make them all in that step, as in `fit`.
    """
    import keras

    inputs, *_ = keras.utils.unpack_x_y_sample_weight(batch)
    if not model.built and calls(model):
        with fitting(batch):
            model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs))
    built = all(layer.built for layer in model._flatten_layers(include_self=False))
    if built or keras.backend.backend() == "jax":
        model.optimizer.build(model.trainable_variables)


def calls(model: Any) -> bool:
    """Tell whether a model can be called."""
    import keras

    return type(model).call is not keras.Model.call


def evaluates(model: Any) -> bool:
    """Tell whether a model can be evaluated, or has a loss in a `train_step` of its own alone."""
    import keras

    own_training = type(model).train_step is not keras.Model.train_step
    own_evaluation = type(model).test_step is not keras.Model.test_step
    return own_evaluation or not own_training or (model.loss is not None and calls(model))


def untrained_loss(model: Any, batch: Any) -> np.ndarray:
    """Return the loss of a batch with the model as it is, as in evaluation: no dropout.

    Of a model that cannot be evaluated it is the loss that its training step reports; what that
    step changed is put back, but for variables that it made.

    Raises:
        DeclarationError: the batch does not fit the model, or its step does not say its loss.
    """
    look = _evaluated if evaluates(model) else _trained_and_put_back
    with fitting(batch):
        loss = look(model, batch)
        model.reset_metrics()
        return np.asarray(loss)


def _evaluated(model: Any, batch: Any) -> Any:
    """Return the loss of a batch, as `evaluate` has it of one.

    Keras' `test_on_batch` hands over three parts where there are two, which a step of the model's
    own that begins with ``x, y = data`` does not take; `evaluate` tells a metric's value for it.
    """
    import keras

    if type(model).test_step is not keras.Model.test_step:
        model.reset_metrics()
        return batches.on_host(backends.of_keras().evaluated(model, _on_device(batch)))
    parts = keras.utils.unpack_x_y_sample_weight(batch)
    return model.test_on_batch(*parts, return_dict=True)["loss"]


def _on_device(batch: Any) -> Any:
    import keras

    return keras.tree.map_structure(keras.ops.convert_to_tensor, batch, none_is_leaf=False)


def _trained_and_put_back(model: Any, batch: Any) -> Any:
    import keras

    variables = (*model.variables, *model.optimizer.variables)
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    step = backends.of_keras().training(model, eager=True).step
    found = batches.on_host(step(_on_device(batch)))
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return found


def steps(model: Any, stream: Iterator[Any], count: int, first: Any) -> Stepping:
    """Return the training of a model on a stream of batches, so many in a step."""
    import keras

    if keras.backend.backend() == "tensorflow":
        check_whole(model, count)
        untrained = partial(untrained_loss, model, first)
        return Stepping(untrained, partial(_by_fit, model, stream, count), _nothing)
    loss = untrained_loss(model, first)  # builds the metrics' variables, which the step carries
    eager = model.run_eagerly or not model.jit_compile  # as Keras' trainers have it
    training = backends.of_keras().training(model, jit=model.jit_compile, eager=eager)
    return Stepping(lambda: loss, partial(_one_by_one, training, stream, count), training.settle)


def check_finite(loss: Any, weights: bool, batches: int) -> None:
    """Refuse a subject that does not learn: techniques cannot be held against NaN."""
    if not weights or not np.isfinite(loss).all():
        where = f"a loss of {loss}" if weights else "NaN or infinity in the weights"
        raise DeclarationError(
            "a subject's loss and weights are finite",
            f"{where} after {batches} batches" if batches else f"{where} before any training",
            f"look for NaN in the data{', or lower the learning rate' * bool(batches)}",
        )


def _nothing() -> None:
    """Do nothing: TensorFlow trains a model's variables in place."""


def _by_fit(model: Any, stream: Iterator[Any], count: int) -> Any:
    """Call the function that `fit` makes and calls, once for each execution."""
    import tensorflow as tf

    train = model.make_train_function() or model.train_function
    try:
        for _ in range(count // model.steps_per_execution):
            logs = train(stream)
    except (StopIteration, tf.errors.OutOfRangeError) as error:
        raise loading.ended("data") from error
    return logs["loss"]


def check_whole(model: Any, count: int) -> None:
    """Refuse a step that ends within an execution of `fit`'s function."""
    if count % model.steps_per_execution:
        raise DeclarationError(
            "a step is whole executions of fit's function",
            f"{count} batches, of which an execution takes {model.steps_per_execution}",
            "set steps_per_execution in model.compile alone, and to the same number each time",
        )


def _one_by_one(training: Any, stream: Iterator[Any], count: int) -> Any:
    """Take the step that Keras takes on this backend, batch by batch."""
    for _ in range(count):
        loss = training.step(_on_device(next(stream)))
    return loss
