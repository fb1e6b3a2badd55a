"""What do Keras' own callbacks, and a metric of one's own, cost; and do they do what is said?"""

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
    Params,
    Prepared,
    Recipe,
    grid,
    sources,
)
from keras_ab.bench.workloads import callback_attempts, classifier

Fit = Callable[..., list[float]]
"""Trains for some epochs with the given callbacks; returns the loss of each."""
Watched = Callable[[Any, Fit, str], Callable[[], list[float]]]
"""Takes a compiled model, its fit and a folder; what it returns trains once."""


def prepare(watched: Watched, case: Params) -> Prepared:
    """Make some epochs of `fit` ready, with validation after each.

    Args:
        watched: how the training is watched.
        case: ``epochs``; ``steps`` of an epoch, ``batch``, and ``kept``: examples to validate on.
    """
    model = classifier.MANY_CLASSES.compiled(Recipe(), case)
    images, labels = classifier.MANY_CLASSES.data(case)
    kept, size = int(case["kept"]), int(case["batch"])
    rows = slice(kept, kept + size * int(case["steps"]))
    folder = TemporaryDirectory()

    def fit(*callbacks: Any) -> list[float]:
        return model.fit(
            images[rows],
            labels[rows],
            batch_size=size,
            epochs=int(case["epochs"]),
            validation_data=(images[:kept], labels[:kept]),
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
        ).history["loss"]

    training = watched(model, fit, folder.name)
    return Prepared(step=training, observe=partial(observe, model, training, folder))


def observe(
    model: Any, training: Callable[[], list[float]], _folder: TemporaryDirectory[str]
) -> dict[str, Any]:
    """Return the losses of one training, and the weights after it."""
    import numpy as np

    losses = training()
    weights = np.concatenate([np.ravel(array) for array in model.get_weights()])
    return {"losses": np.asarray(losses), "weights": weights}


def unwatched(_model: Any, fit: Fit, _folder: str) -> Callable[[], list[float]]:
    """Train with no callback but Keras' own history."""
    return fit


def early_stopping(_model: Any, fit: Fit, _folder: str) -> Callable[[], list[float]]:
    """Train with EarlyStopping so patient that it never stops."""
    import keras

    return lambda: fit(keras.callbacks.EarlyStopping("val_loss", patience=10_000))


def checkpoint(_model: Any, fit: Fit, folder: str) -> Callable[[], list[float]]:
    """Train with ModelCheckpoint, which saves the whole model whenever validation improves."""
    import keras

    path = f"{folder}/checkpoint_path.keras"
    best = partial(keras.callbacks.ModelCheckpoint, path, monitor="val_loss", save_best_only=True)
    return lambda: fit(best())


def per_batch(_model: Any, fit: Fit, _folder: str) -> Callable[[], list[float]]:
    """Train with the chapter's callback that keeps the loss of every batch."""
    import keras

    losses: list[float] = []
    keeps = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _batch, logs: losses.append(logs["loss"]),
        on_epoch_end=lambda _epoch, _logs: losses.clear(),
    )
    return lambda: fit(keeps)


def custom_metric(model: Any, fit: Fit, _folder: str) -> Callable[[], list[float]]:
    """Train with the chapter's metric compiled into the model."""
    model.compile(
        optimizer=model.optimizer,
        loss=model.loss,
        metrics=[callback_attempts.squared_error_class()()],
        jit_compile=False,
    )
    return fit


def tensorboard(_model: Any, fit: Fit, folder: str) -> Callable[[], list[float]]:
    """Train with TensorBoard, which writes to a folder that is deleted in the end."""
    import keras

    callback_attempts.need_tensorboard()
    return lambda: fit(keras.callbacks.TensorBoard(log_dir=folder))


SAID = (
    ("early_stopping", True, "EarlyStopping interrupts training when validation stops improving."),
    (
        "early_stopping_as_written",
        True,
        "The chapter's EarlyStopping monitors validation accuracy, its comment says.",
    ),
    (
        "patience_of_one",
        True,
        "A patience of 1 means more than one epoch without improvement, that is, two epochs.",
    ),
    ("checkpoint", True, "ModelCheckpoint saves the model during training, to be loaded again."),
    ("checkpoint_keeps_the_best", True, "With save_best_only, only the best model is kept."),
    ("custom_metric", True, "A metric of one's own is used like those that come with Keras."),
    ("is_root_mean_square", True, "The chapter's metric measures the root mean squared error."),
    ("per_batch_losses", True, "A callback of one's own can keep the loss of every batch."),
    (
        "tensorboard",
        True,
        "With one callback, TensorBoard is told of training and validation.",
    ),
    (
        "losses_are_of_single_batches",
        True,
        "logs tells a callback about the batch before: its losses are of single batches.",
    ),
)
"""What is tried of `callback_attempts`, whether the source says that it works, and its words."""

EXPERIMENT = Experiment(
    name="callbacks",
    question="What do Keras' callbacks and a metric of one's own cost, and do they work as said?",
    method=(
        "A small classifier of real digits is trained with `fit` for a few epochs, validated after "
        "each: with no callback; with EarlyStopping, which never stops here; with ModelCheckpoint, "
        "which saves the whole model whenever validation improves; with the chapter's callback on "
        "every batch, without the plot that it draws after each epoch; with its metric, compiled "
        "into the model; and with TensorBoard. Timed are "
        "the epochs together. What the chapter says that they do is tried apart."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, examples to validate on",
    does_not_show=(
        "Large models, whose checkpoints take seconds; what early stopping saves, which is a "
        "question of the curve; TensorBoard's histograms and images, which are off by default. "
        "Nor epochs of more than a few batches: a checkpoint and TensorBoard's files are opened "
        "anew in each `fit`, and weigh the less the longer it is. The chapter names no cost: there "
        "is a verdict on each arm's time, but no claim."
    ),
    sources=(sources.DEEP_DIVE, sources.PRINCIPLES),
    arms=tuple(
        Arm(watched.__name__, partial(prepare, watched), says)
        for watched, says in (
            (unwatched, "fit and its history"),
            (early_stopping, "EarlyStopping(monitor='val_loss')"),
            (checkpoint, "ModelCheckpoint(monitor='val_loss', save_best_only=True)"),
            (per_batch, "a callback at the end of every batch that keeps its loss"),
            (custom_metric, "the chapter's RootMeanSquaredError in compile(metrics=[...])"),
            (tensorboard, "TensorBoard(log_dir=...)"),
        )
    ),
    cases=(
        *grid(gpu=False, epochs=(2,), steps=(4,), batch=(32,), kept=(64,), width=(32,)),
        *grid(
            quick=False,
            gpu=False,
            epochs=(5,),
            steps=(32,),
            batch=(128,),
            kept=(512,),
            width=(512,),
        ),
    ),
    guards=(
        Guard("losses", 1e-5, "the same loss of each epoch"),
        Guard("weights", 1e-3, "the same weights after them"),
    ),
    claims=(
        *(
            Claim(name.replace("_", "-"), statement, "", attempt=name, works=works)
            for name, works, statement in SAID
        ),
        Claim(
            id="metrics-need-a-reset",
            statement="The metric of a model that only evaluates is not reset by itself.",
            arm="",
            attempt="metric_without_reset",
            works=False,
            source=sources.PRINCIPLES,
        ),
        Claim(
            id="highest-metric-saved",
            statement="The source's callback saves the model whenever its metric is the highest "
            "so far.",
            arm="",
            attempt="highest_metric_saved",
            source=sources.PRINCIPLES,
        ),
    ),
    attempts=(
        *(
            Attempt(name, statement, getattr(callback_attempts, name))
            for name, _, statement in SAID
        ),
        Attempt(
            "metric_without_reset",
            "evaluate twice, with other weights, the metric not reset between",
            callback_attempts.metric_without_reset,
        ),
        Attempt(
            "highest_metric_saved",
            "the source's callback, its metric an accuracy that is the highest in the second epoch",
            callback_attempts.highest_metric_saved,
        ),
    ),
)
