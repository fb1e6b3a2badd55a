"""Where should an expensive metric be computed, and how often?"""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_ab import (
    Arm,
    Attempt,
    Claim,
    Experiment,
    Guard,
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
Evaluator = Callable[[Any, Any], Training]
"""Takes a model and the batches to measure on; what it returns measures once."""


def prepare(watch: Callable[[Any, Fit, Any], Training], case: Params) -> Prepared:
    """Make a training of some epochs ready, with the metric computed as `watch` says.

    Args:
        watch: takes a compiled model, its `fit` and the batches to measure on.
        case: ``warm_up`` epochs that count as done, and ``epochs`` that are trained after them;
            ``steps`` of an epoch, ``batch``, and ``kept``: examples to measure on, whole batches.
    """
    import tensorflow as tf

    recipe = Recipe(labels="one_hot_float32")
    model = MANY_CLASSES.compiled(recipe, case)
    images, stored = MANY_CLASSES.stored(recipe, case)
    size, kept, done = int(case["batch"]), int(case["kept"]), int(case["warm_up"])

    def batches(start: int, count: int) -> Any:
        rows = slice(start, start + count)
        cut = (array[rows].reshape(-1, size, array.shape[1]) for array in (images, stored))
        return tf.data.Dataset.from_tensor_slices(tuple(cut))

    trained_on = batches(kept, size * int(case["steps"]))

    def fit(**options: Any) -> dict[str, list[float]]:
        options |= {"initial_epoch": done, "epochs": done + int(case["epochs"])}
        return model.fit(trained_on, shuffle=False, verbose=0, **options).history

    training = watch(model, fit, batches(0, kept))
    return Prepared(step=training, observe=partial(observe, model, training))


def observe(model: Any, training: Training) -> dict[str, Any]:
    """Return the metric after one training, and the weights."""
    import numpy as np

    return {
        "metric": np.asarray(training()),
        "weights": np.concatenate([np.ravel(weights) for weights in model.get_weights()]),
    }


def no_metric(_model: Any, fit: Fit, _kept: Any) -> Training:
    """Train and compute nothing else: what is returned is the loss."""
    return lambda: fit()["loss"][-1]


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


def due(epoch: int, every: int) -> bool:
    """Tell whether the metric is due after an epoch, counted from 0 as Keras counts.

        (epoch + 1 - warm-up) mod skip_epochs = 0

    The source's callback waits for 100 epochs and then skips to every 50th; all that is timed here
    comes after the wait, which is a multiple of every period.
    """
    return (epoch + 1) % every == 0


def skipping(every: int, evaluator: Evaluator, model: Any, fit: Fit, kept: Any) -> Training:
    """Compute the metric at the end of every so many epochs, and nowhere else."""
    import keras

    evaluate, found = evaluator(model, kept), []

    def on_epoch_end(epoch: int, _logs: Any) -> None:
        if due(epoch, every):
            found.append(evaluate())

    callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)

    def training() -> float:
        fit(callbacks=[callback])
        return found[-1]

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


def twin_of_functional() -> str | None:
    """Make the source's evaluation model, and hand it the weights."""
    import keras
    import numpy as np

    entry = keras.Input((2,))
    model = keras.Model(entry, keras.layers.Dense(1)(entry))
    twin = keras.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    inputs = np.ones((4, 2), np.float32)
    same = np.array_equal(model.predict(inputs, verbose=0), twin.predict(inputs, verbose=0))
    return None if same else "the twin predicts something else"


def twin_of_sequential() -> None:
    """Make the source's evaluation model for a model that is Sequential."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    keras.Model.from_config(model.get_config())


MEASURING = ("in_graph", "each_epoch", "tenth_epoch", "eager_model")
"""The arms that compute the metric."""

EXPERIMENT = Experiment(
    name="metrics_and_callbacks",
    question="Where should an expensive metric be computed, and how often?",
    method=(
        "A classifier of real digits is trained with `fit` for 50 epochs, the 101st to the 150th, "
        "and an expensive metric, the area under a curve of 1000 points, is computed on examples "
        "kept apart. The baseline compiles it into the model, so that it is computed in each "
        "training step too and at each epoch's validation. The other arms compute it in a "
        "callback: after each epoch, after every tenth, or after every 50th with an eager model "
        "that is handed the weights, which is what the source's callback does once its warm-up of "
        "100 epochs is over. One arm computes no metric at all: the speed that is to be kept. "
        "Timed are the 50 epochs together."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, the examples kept apart",
    does_not_show=(
        "Metrics that a graph cannot compute at all, for which an eager model is the only way; "
        "epochs that take minutes, beside which no metric counts. Callbacks that come with Keras "
        "are the experiment `callbacks`."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES, sources.DEEP_DIVE),
    arms=tuple(
        Arm(name, partial(prepare, watch), says)
        for name, watch, says in (
            ("in_graph", in_graph, "compile(metrics=[...]) and validation_data"),
            (
                "each_epoch",
                partial(skipping, 1, shared_model),
                "a callback at the end of each epoch",
            ),
            (
                "tenth_epoch",
                partial(skipping, 10, shared_model),
                "a callback at the end of every tenth epoch",
            ),
            (
                "eager_model",
                partial(skipping, 50, eager_model),
                "a callback every 50 epochs, with an eager evaluation model (skip_epochs=50)",
            ),
            ("no_metric", no_metric, "no metric"),
        )
    ),
    cases=(
        *grid(
            gpu=False,
            warm_up=(100,),
            epochs=(50,),
            steps=(4,),
            batch=(32,),
            kept=(32,),
            width=(64,),
        ),
        *grid(
            quick=False,
            gpu=False,
            warm_up=(100,),
            epochs=(50,),
            steps=(16,),
            batch=(128,),
            kept=(1024,),
            width=(512,),
        ),
    ),
    guards=(
        Guard("metric", 1e-4, "the same metric after the last epoch", arms=MEASURING),
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
            statement="If it is really slow, computing it every tenth epoch saves more than at "
            "the end of each.",
            arm="tenth_epoch",
            metric="step_time_s",
            at_most=1.0,
            against="each_epoch",
        ),
        Claim(
            id="eager-evaluation-keeps-speed",
            statement="With an evaluation model of its own, eager in a callback every 50 epochs, "
            "training keeps its speed: it takes at most 5 % more time than with no metric at all.",
            arm="eager_model",
            metric="step_time_s",
            at_most=1.05,
            against="no_metric",
            source=sources.PRINCIPLES,
        ),
        Claim(
            id="evaluation-model-from-config",
            statement="The evaluation model is made from the trained model's config.",
            arm="eager_model",
            attempt="functional",
            source=sources.PRINCIPLES,
        ),
    ),
    attempts=(
        Attempt(
            "functional",
            "keras.Model.from_config with the config of a functional model",
            twin_of_functional,
            "eager_model",
        ),
        Attempt(
            "sequential",
            "keras.Model.from_config with the config of a Sequential model",
            twin_of_sequential,
            "eager_model",
        ),
    ),
)
