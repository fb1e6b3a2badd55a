"""What does it cost to take over the training loop?"""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_ab import Arm, Attempt, Claim, Experiment, Guard, Params, Prepared, Recipe, grid, sources
from keras_ab.bench.workloads.classifier import MANY_CLASSES

EPOCHS = 2
"""Epochs that the guards look at."""

Epoch = Callable[[], Any]
"""Trains for one epoch and returns its mean loss."""


def prepare(loop: Callable[[Any, Any], Epoch], case: Params) -> Prepared:
    """Make one epoch ready under a loop.

    Args:
        loop: takes a compiled model and a `tf.data.Dataset` of its batches; returns the epoch.
        case: ``steps`` of an epoch and ``batch`` are its size.
    """
    import tensorflow as tf

    model = MANY_CLASSES.compiled(Recipe(), case)
    size = int(case["batch"])
    images, labels = (part[: size * int(case["steps"])] for part in MANY_CLASSES.data(case))
    epoch = loop(model, tf.data.Dataset.from_tensor_slices((images, labels)).batch(size))
    return Prepared(step=epoch, observe=partial(observe, model, epoch))


def observe(model: Any, epoch: Epoch) -> dict[str, Any]:
    """Return the mean losses of the first epochs, and the weights after them."""
    import numpy as np

    losses = [float(epoch()) for _ in range(EPOCHS)]
    return {
        "losses": np.asarray(losses),
        "weights": np.concatenate([np.ravel(weights) for weights in model.get_weights()]),
    }


def fit(model: Any, batches: Any) -> Epoch:
    """Train with `fit`, as Keras has it."""
    return lambda: model.fit(batches, shuffle=False, verbose=0).history["loss"][0]


def gradient_step(model: Any, tracker: Any, data: Any) -> dict[str, Any]:
    """Take one training step, written out as the sources write it."""
    import tensorflow as tf

    inputs, labels = data
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=inputs, y=labels, y_pred=model(inputs, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    tracker.update_state(loss)
    return {"loss": tracker.result()}


def override(model: Any, batches: Any) -> Epoch:
    """Train with `fit` on a subclass that brings a `train_step` of its own."""
    import keras

    tracker = keras.metrics.Mean(name="loss")

    class Custom(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            return gradient_step(self, tracker, data)

        @property
        def metrics(self) -> list[Any]:
            return [tracker]

    custom = Custom(model.inputs, model.outputs)
    custom.compile(optimizer=model.optimizer, loss=model.loss, jit_compile=False)
    return fit(custom, batches)


def patch(model: Any, batches: Any) -> Epoch:
    """Train with `fit` on a model whose `train_step` is replaced before the first `fit`."""
    stock = model.train_step

    def patched(data: Any) -> dict[str, Any]:
        return stock(data)

    model.train_step = patched
    return fit(model, batches)


def loop_around(step: Callable[[Any], Any], tracker: Any, batches: Any) -> Epoch:
    """Return an epoch that is a Python loop over batches."""

    def epoch() -> Any:
        tracker.reset_state()
        for batch in batches:
            step(batch)
        return tracker.result()

    return epoch


def own_loop(model: Any, batches: Any) -> Epoch:
    """Train with a Python loop over batches around a compiled step."""
    import keras
    import tensorflow as tf

    tracker = keras.metrics.Mean(name="loss")
    step = tf.function(partial(gradient_step, model, tracker))
    return loop_around(step, tracker, batches)


def own_loop_as_written(model: Any, batches: Any) -> Epoch:
    """Train with a Python loop around a step that runs as it is written, as the chapter has it."""
    import keras

    tracker = keras.metrics.Mean(name="loss")
    return loop_around(partial(gradient_step, model, tracker), tracker, batches)


def whole_epoch(model: Any, batches: Any) -> Epoch:
    """Train with a loop over batches that is itself compiled."""
    import keras
    import tensorflow as tf

    tracker = keras.metrics.Mean(name="loss")

    @tf.function
    def epoch() -> Any:
        tracker.reset_state()
        for batch in batches:
            gradient_step(model, tracker, batch)
        return tracker.result()

    return epoch


def whole_epoch_by_iterator(model: Any, batches: Any) -> Epoch:
    """Train with a compiled loop that takes batch after batch from an iterator.

    A compiled `for` over a dataset, as in `whole_epoch`, becomes a reduction of the dataset, which
    runs each step as a function of the input pipeline.
    """
    import keras
    import tensorflow as tf

    tracker = keras.metrics.Mean(name="loss")

    @tf.function
    def epoch() -> Any:
        tracker.reset_state()
        iterator = iter(batches)
        for _ in tf.range(batches.cardinality()):
            gradient_step(model, tracker, next(iterator))
        return tracker.result()

    return epoch


def patch_before_fit(*, eager: bool, wanted: int) -> str | None:
    """Count the calls of a patched step in one of the source's ten epochs, of 64 batches."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256), keras.layers.Dense(6)])
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["acc"])
    calls = count_steps(model)
    model.run_eagerly = eager
    inputs = np.random.default_rng(0).normal(size=(4096, 64))
    model.fit(inputs, np.zeros(4096, np.int32), batch_size=64, verbose=0)
    return None if len(calls) == wanted else f"{len(calls)} calls in 64 steps"


def count_steps(model: Any) -> list[int]:
    """Patch a model's `train_step` with one that adds to the list that is returned."""
    stock, calls = model.train_step, []

    def counting(data: Any) -> Any:
        calls.append(1)
        return stock(data)

    model.train_step = counting
    return calls


def patch_after_fit(change: Callable[[Any], None]) -> str | None:
    """Patch a model that was fitted before, change something about it, and fit it again."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    inputs, labels = np.ones((64, 8), np.float32), np.zeros(64, np.int32)
    model.fit(inputs, labels, verbose=0)
    calls = count_steps(model)
    change(model)
    model.fit(inputs, labels, verbose=0)
    return None if calls else "the patch is never called: the first fit's train function is kept"


def leave_alone(_model: Any) -> None:
    """Change nothing."""


def make_eager(model: Any) -> None:
    """Set the attribute that the source sets."""
    model.run_eagerly = True


def compile_again(model: Any) -> None:
    """Make Keras forget the train function."""
    model.compile(optimizer="adam", loss=model.loss)


EXPERIMENT = Experiment(
    name="training_loop",
    question="What does it cost to take over the training loop, and what can be gained?",
    method=(
        "The same classifier is trained for one epoch, over the same batches of a tf.data.Dataset: "
        "with `fit`; with `fit` and a `train_step` of one's own, as a subclass or as a patch; with "
        "a Python loop around a step, run as the chapter writes it, without tf.function, and "
        "compiled; and with the loop compiled as well. Timed is one "
        "epoch: divided by its steps, it is the time of a step with all that surrounds it."
    ),
    held_fixed="model, first weights, batches and their order, loss, optimizer, precision",
    does_not_show=(
        "Large steps, beside which any loop costs nothing; callbacks, validation and progress "
        "bars, of which only `fit` has any; `steps_per_execution`, an experiment of its own. Every "
        "epoch is a call of its own: what `fit` does once a call is counted once an epoch."
    ),
    sources=(sources.TIPS, sources.DEEP_DIVE),
    arms=tuple(
        Arm(loop.__name__, partial(prepare, loop), says)
        for loop, says in (
            (fit, "model.fit"),
            (override, "model.fit, train_step overridden in a subclass"),
            (patch, "model.fit, train_step patched before the first fit"),
            (own_loop_as_written, "for batch in batches: step, uncompiled as in the chapter"),
            (own_loop, "for batch in batches: step, under tf.function"),
            (whole_epoch, "one tf.function around the loop over the batches"),
            (whole_epoch_by_iterator, "one tf.function, its batches taken from an iterator"),
        )
    ),
    cases=(
        *grid(steps=(16,), batch=(64,), width=(128,)),
        *grid(quick=False, gpu=False, steps=(64,), batch=(64,), width=(128,)),
        *grid(quick=False, steps=(64,), batch=(64,), width=(2048,)),
    ),
    guards=(
        Guard("losses", 1e-5, "the same mean loss of each epoch"),
        Guard("weights", 1e-3, "the same weights after them"),
    ),
    claims=(
        Claim(
            id="override-keeps-the-speed-of-fit",
            statement="A train_step of one's own keeps all that fit does well: an epoch takes no "
            "more than 5 % longer.",
            arm="override",
            metric="step_time_s",
            at_most=1.05,
            source=sources.DEEP_DIVE,
        ),
        *(
            Claim(
                id=claim,
                statement="A loop written from scratch forgoes the performance optimisations of "
                f"fit: {form}, an epoch takes no less time.",
                arm=name,
                metric="step_time_s",
                at_least=1.0,
                source=sources.DEEP_DIVE,
            )
            for claim, name, form in (
                (
                    "own-loop-as-written-forgoes-optimisations",
                    "own_loop_as_written",
                    "its step uncompiled, as the chapter leaves it",
                ),
                ("own-loop-forgoes-optimisations", "own_loop", "even with its step compiled"),
            )
        ),
        Claim(
            id="patch-works",
            statement="Patching train_step before fit is a hack that works: run eagerly, as the "
            "source runs it, the patch is called for each step.",
            arm="patch",
            attempt="before_fit",
        ),
        Claim(
            id="patch-is-called-twice-in-a-graph",
            statement="Traced to a graph, a patched train_step is called only twice.",
            arm="patch",
            attempt="in_a_graph",
        ),
    ),
    attempts=(
        Attempt(
            "before_fit",
            "the snippet: patch, run_eagerly, fit; a call for each of 64 batches",
            partial(patch_before_fit, eager=True, wanted=64),
            "patch",
        ),
        Attempt(
            "in_a_graph",
            "the snippet without run_eagerly; two calls in all",
            partial(patch_before_fit, eager=False, wanted=2),
            "patch",
        ),
        *(
            Attempt(name, says, partial(patch_after_fit, change), "patch")
            for name, says, change in (
                ("after_fit", "fit, patch, fit", leave_alone),
                ("after_fit_eager", "fit, patch, run_eagerly = True, fit", make_eager),
                ("after_fit_compile", "fit, patch, compile, fit", compile_again),
            )
        ),
    ),
)
