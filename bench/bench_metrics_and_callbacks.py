"""Where should an expensive metric be computed, and what does TensorBoard cost?"""

import importlib.util
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from keras_ab import (
    Arm,
    Attempt,
    Claim,
    Experiment,
    Guard,
    NotMeasuredHere,
    Params,
    Prepared,
    Recipe,
    grid,
    sources,
)
from keras_ab.bench.workloads.classifier import MANY_CLASSES

Training = Callable[[], float]
"""Trains for some epochs; returns the metric on the examples kept apart, after the last."""
Fit = Callable[..., dict[str, list[float]]]
"""`Model.fit` on the batches to train on; returns the history."""


def prepare(watch: Callable[[Any, Fit, Any], Training], case: Params) -> Prepared:
    """Make a training of some epochs ready, with the metric computed as `watch` says.

    Args:
        watch: takes a compiled model, its `fit` and the batches to measure on.
        case: ``epochs``; ``steps`` of an epoch, ``batch``, and ``kept``: examples to measure on,
            whole batches.
    """
    import tensorflow as tf

    recipe = Recipe(labels="one_hot_float32")
    model = MANY_CLASSES.compiled(recipe, case)
    images, stored = MANY_CLASSES.stored(recipe, case)
    size, kept = int(case["batch"]), int(case["kept"])

    def batches(start: int, count: int) -> Any:
        rows = slice(start, start + count)
        cut = (array[rows].reshape(-1, size, array.shape[1]) for array in (images, stored))
        return tf.data.Dataset.from_tensor_slices(tuple(cut))

    trained_on = batches(kept, size * int(case["steps"]))

    def fit(**options: Any) -> dict[str, list[float]]:
        options |= {"epochs": int(case["epochs"]), "shuffle": False, "verbose": 0}
        return model.fit(trained_on, **options).history

    training = watch(model, fit, batches(0, kept))
    return Prepared(step=training, observe=partial(observe, model, training))


def observe(model: Any, training: Training) -> dict[str, Any]:
    """Return the metric after one training, and the weights."""
    import numpy as np

    return {
        "metric": np.asarray(training()),
        "weights": np.concatenate([np.ravel(weights) for weights in model.get_weights()]),
    }


def expensive_metric() -> Any:
    """Return the area under the curve of all classes pooled, at 1000 thresholds.

    One curve for each class (`multi_label`) would be traced anew at each eager update: 0.1 s.
    """
    import keras

    return keras.metrics.AUC(1000, name="auc", from_logits=True)


def compiled_with_metric(model: Any) -> None:
    """Compile the metric into a model that is compiled already."""
    model.compile(
        optimizer=model.optimizer, loss=model.loss, metrics=[expensive_metric()], jit_compile=False
    )


def in_graph(model: Any, fit: Fit, kept: Any) -> Training:
    """Compute the metric in each training step, and at each epoch's validation."""
    compiled_with_metric(model)
    return lambda: fit(validation_data=kept)["val_auc"][-1]


def each_epoch(
    evaluator: Callable[[Any, Any], Training], model: Any, fit: Fit, kept: Any
) -> Training:
    """Compute the metric at the end of every epoch, and nowhere else."""
    import keras

    evaluate, found = evaluator(model, kept), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: found.append(evaluate()))

    def training() -> float:
        fit(callbacks=[callback])
        return found[-1]

    return training


def last_epoch(model: Any, fit: Fit, kept: Any) -> Training:
    """Compute the metric once all epochs are over, where it is seldom wanted."""
    evaluate = shared_model(model, kept)

    def training() -> float:
        fit()
        return evaluate()

    return training


def shared_model(model: Any, kept: Any) -> Training:
    """Measure with the model that is trained, and its compiled predictions."""
    metric = expensive_metric()

    def evaluate() -> float:
        metric.reset_state()
        for images, labels in kept:
            metric.update_state(labels, model.predict_on_batch(images))
        return float(metric.result())

    return evaluate


def eager_model(model: Any, kept: Any) -> Training:
    """Measure with a model of its own that runs eagerly and is handed the weights."""
    import keras

    twin = keras.Model.from_config(model.get_config())
    twin.compile(
        run_eagerly=True, metrics=[expensive_metric()], loss=model.loss, optimizer=model.optimizer
    )

    def evaluate() -> float:
        twin.set_weights(model.get_weights())
        return twin.evaluate(kept, verbose=0, return_dict=True)["auc"]

    return evaluate


def tensorboard(model: Any, fit: Fit, kept: Any) -> Training:
    """Do as `in_graph` does, and write everything for TensorBoard to a folder that is deleted."""
    import keras

    if importlib.util.find_spec("tensorboard") is None:
        raise NotMeasuredHere(
            "TensorBoard is installed, without which TensorFlow writes no summaries",
            "no package tensorboard",
            "pip install tensorboard",
        )
    compiled_with_metric(model)

    def training() -> float:
        with TemporaryDirectory() as folder:
            board = keras.callbacks.TensorBoard(log_dir=folder)
            return fit(validation_data=kept, callbacks=[board])["val_auc"][-1]

    return training


def twin_of_sequential() -> str | None:
    """Make the source's evaluation model for a model that is Sequential."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    keras.Model.from_config(model.get_config())
    return None


EXPERIMENT = Experiment(
    name="metrics_and_callbacks",
    question="Where should an expensive metric be computed, and what does TensorBoard cost?",
    method=(
        "A classifier of real digits is trained with `fit` for a few epochs (`epochs`; ten in the "
        "full case), and an expensive metric, the area under a curve of 1000 points, is computed "
        "on examples kept apart. The baseline compiles it into the model, so that it is computed "
        "in each training step too and at each epoch's validation. The other arms compute it in a "
        "callback after each epoch, with the same model or with an eager one that is handed the "
        "weights, or once after the last; or they add TensorBoard to the baseline. Timed are the "
        "epochs together."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, the examples kept apart",
    does_not_show=(
        "Metrics that a graph cannot compute at all, for which an eager model is the only way; "
        "TensorBoard's histograms and images, which are off by default."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES, sources.DEEP_DIVE),
    arms=tuple(
        Arm(name, partial(prepare, watch), says)
        for name, watch, says in (
            ("in_graph", in_graph, "compile(metrics=[...]) and validation_data"),
            (
                "each_epoch",
                partial(each_epoch, shared_model),
                "a callback at the end of each epoch",
            ),
            ("last_epoch", last_epoch, "once after the last epoch"),
            (
                "eager_model",
                partial(each_epoch, eager_model),
                "a callback at the end of each epoch, with an eager evaluation model",
            ),
            ("tensorboard", tensorboard, "as the baseline, with the TensorBoard callback"),
        )
    ),
    cases=(
        *grid(epochs=(4,), steps=(2,), batch=(128,), kept=(128,), width=(64,)),
        *grid(quick=False, epochs=(10,), steps=(8,), batch=(256,), kept=(2048,), width=(1024,)),
    ),
    guards=(
        Guard("metric", 1e-4, "the same metric after the last epoch"),
        Guard("weights", 1e-3, "the same weights after it"),
    ),
    claims=(
        Claim(
            id="callback-at-epoch-end",
            statement="An expensive metric is worth moving to the end of an epoch: training takes "
            "less time than with the metric in each step.",
            arm="each_epoch",
            metric="step_time_s",
            at_most=1.0,
        ),
        Claim(
            id="every-tenth-epoch",
            statement="If it is really slow, computing it every tenth epoch saves more.",
            arm="last_epoch",
            metric="step_time_s",
            at_most=1.0,
        ),
        Claim(
            id="eager-evaluation-keeps-speed",
            statement="With an evaluation model of its own, eager in a callback, training keeps "
            "its speed: it takes no more time than with the metric in the graph.",
            arm="eager_model",
            metric="step_time_s",
            at_most=1.0,
            source=sources.PRINCIPLES,
        ),
        Claim(
            id="evaluation-model-of-any-model",
            statement="The evaluation model is made from the trained model's config, whichever "
            "kind of model that is.",
            arm="eager_model",
            attempt="sequential",
            source=sources.PRINCIPLES,
        ),
    ),
    attempts=(
        Attempt(
            "sequential",
            "keras.Model.from_config with the config of a Sequential model",
            twin_of_sequential,
            "eager_model",
        ),
    ),
)
