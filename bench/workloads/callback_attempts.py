"""What the sources say that Keras' callbacks do, and a metric of one's own, as things to try.

Each function returns None where the thing is as said, says what happened where something else did,
and raises what Keras raises. Training and validation curves are made up, so that what a callback
does with them can be told beforehand.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.errors import NotMeasuredHere

IMPROVING = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
WORSE_FROM_THE_THIRD = (0.1, 0.2, 0.15, 0.1, 0.05, 0.0)


def small(outputs: int = 3, **compiled: Any) -> Any:
    """Return a small classifier, compiled."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", **compiled)
    return model


def examples(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs ``(count, 4)`` and labels ``(count,)`` of three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype(np.float32), rng.integers(3, size=count)


def stopped_after(callback: Any, curves: Mapping[str, Sequence[float]]) -> int | None:
    """Return how many epochs a callback lets pass of made-up curves; None for all of them."""
    model = small(metrics=["accuracy"])
    model.train_on_batch(*examples(8))  # a callback asks the metrics whether more is better
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, values in enumerate(zip(*curves.values(), strict=True)):
        callback.on_epoch_end(epoch, dict(zip(curves, values, strict=True)))
        if model.stop_training:
            return epoch + 1
    return None


def early_stopping() -> str | None:
    """Stop when validation accuracy no longer improves."""
    import keras

    callback = keras.callbacks.EarlyStopping("val_accuracy", patience=2)
    epochs = stopped_after(callback, {"val_accuracy": WORSE_FROM_THE_THIRD})
    return None if epochs == 4 else f"stops after {epochs} epochs, the second being the best"


def early_stopping_as_written() -> str | None:
    """Stop as the chapter writes it: its comment says validation accuracy, its code accuracy."""
    import keras

    callback = keras.callbacks.EarlyStopping(monitor="accuracy", patience=1)
    curves = {"accuracy": IMPROVING, "val_accuracy": WORSE_FROM_THE_THIRD}
    epochs = stopped_after(callback, curves)
    if epochs:
        return None
    return (
        "does not stop: accuracy on the training set goes on rising while validation accuracy "
        "falls from the third epoch on"
    )


def patience_of_one() -> str | None:
    """Count the epochs without improvement that a patience of one allows: the chapter says two."""
    import keras

    callback = keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=1)
    epochs = stopped_after(callback, {"val_accuracy": WORSE_FROM_THE_THIRD})
    assert epochs is not None  # noqa: S101 - validation accuracy falls
    without = epochs - 2
    return None if without == 2 else f"stops after {without} epoch without improvement"


def checkpoint() -> str | None:
    """Train with ModelCheckpoint as the chapter does, and load what it kept: the best epoch."""
    import keras

    model, (inputs, labels) = small(metrics=["accuracy"]), examples()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint_path.keras"
        keeps = keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True)
        data = {"validation_data": (inputs, labels), "epochs": 3, "verbose": 0}
        losses = model.fit(inputs, labels, callbacks=[keeps], **data).history["val_loss"]
        kept = keras.models.load_model(path).evaluate(inputs, labels, verbose=0)[0]
    if np.isclose(kept, min(losses), rtol=1e-5):
        return None
    return f"the loss of what was kept is {kept:.3g}, the best was {min(losses):.3g}"


def checkpoint_keeps_the_best() -> str | None:
    """Let the loss rise after the second epoch; what is kept must be of the second."""
    import keras

    model = small()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.weights.h5"
        keeps = keras.callbacks.ModelCheckpoint(
            path, monitor="val_loss", save_best_only=True, save_weights_only=True
        )
        keeps.set_model(model)
        for epoch, loss in enumerate((2.0, 1.0, 3.0)):
            model.set_weights([np.full(w.shape, epoch) for w in model.get_weights()])
            keeps.on_epoch_end(epoch, {"val_loss": loss})
        model.load_weights(path)
    found = int(model.get_weights()[0].flat[0]) + 1
    return None if found == 2 else f"epoch {found} was kept, the second was the best"


def squared_error_class() -> Any:
    """Return the chapter's metric, word for word."""
    import keras
    from keras import ops

    class RootMeanSquaredError(keras.metrics.Metric):
        def __init__(self, name: str = "rmse", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.mse_sum = self.add_weight(name="mse_sum", initializer="zeros")
            self.total_samples = self.add_weight(name="total_samples", initializer="zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
            y_true = ops.one_hot(y_true, num_classes=ops.shape(y_pred)[1])
            mse = ops.sum(ops.square(y_true - y_pred))
            self.mse_sum.assign_add(mse)
            num_samples = ops.shape(y_pred)[0]
            self.total_samples.assign_add(num_samples)

        def result(self) -> Any:
            return ops.sqrt(self.mse_sum / self.total_samples)

        def reset_state(self) -> None:
            self.mse_sum.assign(0.0)
            self.total_samples.assign(0.0)

    return RootMeanSquaredError


def custom_metric() -> str | None:
    """Measure with the chapter's metric while fitting; hold it against NumPy."""
    model, (inputs, labels) = small(metrics=[squared_error_class()()]), examples()
    model.fit(inputs, labels, batch_size=8, epochs=2, verbose=0)
    found = model.evaluate(inputs, labels, batch_size=8, verbose=0)[1]
    predicted = model.predict(inputs, verbose=0)
    wanted = np.sqrt(np.sum((np.eye(3)[labels] - predicted) ** 2) / len(labels))
    return None if np.isclose(found, wanted, rtol=1e-4) else f"{found:.4g}; by NumPy {wanted:.4g}"


def is_root_mean_square() -> str | None:
    """Hold the chapter's metric against the root of the mean over all numbers, as Keras has it."""
    import keras

    (inputs, labels), model = examples(), small()
    predicted = model.predict(inputs, verbose=0)
    own, keras_own = squared_error_class()(), keras.metrics.RootMeanSquaredError()
    own.update_state(labels, predicted)
    keras_own.update_state(np.eye(3)[labels], predicted)
    ratio = float(own.result()) / float(keras_own.result())
    if np.isclose(ratio, 1.0):
        return None
    return f"{ratio:.3g} times as much: the sum is over 3 classes, the count over examples alone"


def per_batch_losses() -> str | None:
    """Keep the loss of every batch in a callback, as the chapter does, without its plot."""
    import keras

    kept: list[list[float]] = []

    class LossHistory(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any) -> None:  # noqa: ARG002
            self.per_batch_losses: list[float] = []

        def on_batch_end(self, batch: int, logs: Any) -> None:  # noqa: ARG002
            self.per_batch_losses.append(logs.get("loss"))

        def on_epoch_end(self, epoch: int, logs: Any) -> None:  # noqa: ARG002
            kept.append(self.per_batch_losses)
            self.per_batch_losses = []

    inputs, labels = examples()
    small().fit(inputs, labels, batch_size=8, epochs=2, verbose=0, callbacks=[LossHistory()])
    counts = [len(losses) for losses in kept]
    return None if counts == [4, 4] else f"kept {counts} losses in epochs of 4 batches"


def losses_are_of_single_batches() -> str | None:
    """Hold what a callback is told of each batch against the loss of that batch alone."""
    import keras

    told: list[float] = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _batch, logs: told.append(logs["loss"])
    )
    inputs, labels = examples()
    model = small()
    model.optimizer.learning_rate = 0.0
    alone = [
        model.evaluate(inputs[i : i + 8], labels[i : i + 8], verbose=0) for i in (0, 8, 16, 24)
    ]
    model.fit(inputs, labels, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    if np.allclose(told, alone, rtol=1e-4):
        return None
    so_far = np.cumsum(alone) / np.arange(1, 5)
    what = "the mean since the epoch began" if np.allclose(told, so_far, rtol=1e-4) else "another"
    return f"the loss that a callback is told after a batch is {what}, not that of the batch"


def metric_without_reset() -> str | None:
    """Evaluate twice by a model that is never trained, without resetting its metric between."""
    import keras

    model, (inputs, labels) = small(), examples()
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    first = model.evaluate(inputs, labels, verbose=0)[1]
    layer = model.layers[0]
    layer.set_weights([keras.ops.negative(w) for w in layer.get_weights()])
    again = model.evaluate(inputs, labels, verbose=0)[1]
    alone = float(np.mean(model.predict(inputs, verbose=0).argmax(-1) == labels))
    if np.isclose(again, alone):
        return None
    return f"{again:.3g} in place of {alone:.3g}: {first:.3g} of the time before is still in it"


def need_tensorboard() -> None:
    """Make sure that there is a package without which TensorFlow writes no summaries.

    Raises:
        NotMeasuredHere: with what to install.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise NotMeasuredHere(
            "TensorBoard is installed, without which TensorFlow writes no summaries",
            "no package tensorboard",
            "pip install tensorboard",
        )


def tensorboard() -> str | None:
    """Fit with TensorBoard's callback and look for the losses of both sets in its files."""
    import keras
    import tensorflow as tf

    need_tensorboard()
    inputs, labels = examples()
    with tempfile.TemporaryDirectory() as folder:
        watches = keras.callbacks.TensorBoard(log_dir=folder)
        data = {"validation_data": (inputs, labels), "verbose": 0}
        small().fit(inputs, labels, callbacks=[watches], **data)
        told = {
            part
            for part in ("train", "validation")
            for path in (Path(folder) / part).glob("events.*")
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
            if b"epoch_loss" in record
        }
    return None if len(told) == 2 else f"only {', '.join(told) or 'nothing'} is told of"


def highest_metric_saved() -> str | None:
    """Save by the source's callback, which evaluates an eager model made from the config."""
    import keras
    import tensorflow as tf

    class SaveModelHighestMetric(keras.callbacks.Callback):
        def __init__(self, evaluation_data: Any, highest_model_path: str, metric: Any) -> None:
            super().__init__()
            self.evaluation_data, self.highest_model_path = evaluation_data, highest_model_path
            self.metric = metric

        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.evaluation_model = keras.Model.from_config(self.model.get_config())
            self.evaluation_model.compile(
                run_eagerly=True,
                metrics=[self.metric],
                loss=self.model.loss,
                optimizer=self.model.optimizer,
            )
            self.record: list[float] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.evaluation_model.set_weights(self.model.get_weights())
            self.metric.reset_state()
            current = self.evaluation_model.evaluate(self.evaluation_data, verbose=0)[-1]
            if current > (np.amax(self.record) if self.record else 0):
                self.model.save(self.highest_model_path)
            self.record.append(current)

    inputs, _ = examples(8)
    labels = np.array([0, 1, 1, 1, 1, 2, 2, 0])
    data = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(4)
    entry = keras.Input((4,))
    model = keras.Model(entry, keras.layers.Dense(3, "softmax")(entry))
    model.compile("sgd", "sparse_categorical_crossentropy")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/highest.keras"
        saves = SaveModelHighestMetric(data, path, keras.metrics.SparseCategoricalAccuracy())
        saves.set_model(model)
        saves.on_train_begin()
        for epoch in range(3):  # all examples are taken for the class of that number
            model.set_weights([np.zeros((4, 3)), np.eye(3)[epoch]])
            saves.on_epoch_end(epoch)
        kept = int(np.argmax(keras.models.load_model(path).get_weights()[1]))
    return None if kept == 1 else f"epoch {kept + 1} was saved, the second was the best"
