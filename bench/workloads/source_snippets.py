"""What the sources write, word for word where it matters, and what they say of Keras' layers.

Each function returns None where the thing is as said, says what happened where something else did,
and raises what Keras raises.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def residual_block() -> str | None:
    """Build the tips' ResBlock as written; ask whether all of its convolutions are in the model."""
    import keras
    from keras import layers

    made = []

    def convolution(x: Any, size: int) -> Any:
        made.append(layers.Conv2D(4, (size, size), (1, 1), "same"))
        return made[-1](x)

    inputs = start = keras.Input((8, 8, 3))
    if start.shape[-1] != 4:
        start = convolution(start, 1)
    flow = layers.BatchNormalization()(start)
    flow = layers.Activation("relu")(flow)
    flow = convolution(flow, 3)
    flow = layers.BatchNormalization()(start)  # so it stands there: flow was meant
    flow = layers.Activation("relu")(flow)
    flow = convolution(flow, 3)
    model = keras.Model(inputs, layers.Add()([flow, start]))
    lost = [layer for layer in made if layer not in model.layers]
    if not lost:
        return None
    return f"{len(lost)} of {len(made)} convolutions is not in the model: its output is dropped"


def attention(axes: tuple[int, int]) -> float:
    """Return how far Dot with these axes is from the scores times the values."""
    import keras

    rng = np.random.default_rng(0)
    scores, values = rng.random((2, 5, 5)), rng.random((2, 5, 3))
    found = keras.layers.Dot(axes=axes, dtype="float64")([scores, values])
    return float(np.abs(np.asarray(found) - scores @ values).max())


def attention_by_dot() -> str | None:
    """Weigh the values by the scores with Dot(axes=(1, 1)), as the tips write it."""
    error = attention((1, 1))
    if error < 1e-6:
        return None
    right = attention((2, 1))
    return (
        f"off by {error:.2g}: it sums over queries, over which the softmax did not normalise; "
        f"Dot(axes=(2, 1)) is off by {right:.0e}"
    )


def attention_by_operations() -> None:
    """Run the tips' attention with TensorFlow's operations, its two last lines as they stand."""
    import tensorflow as tf

    n_filters, n = 16, 4
    q_, k_ = tf.ones((1, n, n_filters // 8)), tf.ones((1, n, n_filters // 8))
    v_ = tf.ones((1, n, n_filters))
    s = tf.math.softmax(tf.matmul(q_, k_, transpose_b=True))
    tf.reshape(tf.matmul(s, v_), (-1, 2, 2, n_filters))
    tf.reshape(tf.matmul(s, k_), (-1, 2, 2, n_filters))


def attention_by_layer() -> str | None:
    """Attend by keras.layers.Attention; hold it against softmax(q kᵀ) v."""
    import keras

    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 5, size)) for size in (4, 4, 3))
    scores = np.exp(q @ k.transpose(0, 2, 1))
    wanted = (scores / scores.sum(-1, keepdims=True)) @ v
    found = np.asarray(keras.layers.Attention(dtype="float64")([q, v, k]))
    return None if np.allclose(found, wanted) else f"off by {np.abs(found - wanted).max():.2g}"


def training_argument() -> str | None:
    """Call Dropout with training=True and with training=False."""
    import keras

    x, dropout = np.ones((1, 1000), np.float32), keras.layers.Dropout(0.5)
    dropped = int(np.sum(np.asarray(dropout(x, training=True)) == 0))
    left = int(np.sum(np.asarray(dropout(x, training=False)) == 0))
    return None if dropped > 0 and left == 0 else f"{dropped} dropped in training, {left} out of it"


def nested() -> Any:
    """Return a model with a model in it, and one in that: three convolutions."""
    import keras
    from keras import layers

    def around(inner: Any, channels: int) -> Any:
        inputs = keras.Input((8, 8, channels))
        x = layers.Conv2D(4, 3, padding="same")(inputs)
        return keras.Model(inputs, inner(x) if inner else x)

    return around(around(around(None, 4), 4), 3)


def leaves(model: Any) -> Iterator[Any]:
    """Yield the layers of a model, and those of the models in it, as the tips traverse them."""
    import keras

    if isinstance(model, keras.Model):
        for layer in model.layers:
            yield from leaves(layer)
    else:
        yield model


def traversal() -> str | None:
    """Count the convolutions that the tips' recursion finds."""
    import keras

    found = sum(isinstance(layer, keras.layers.Conv2D) for layer in leaves(nested()))
    return None if found == 3 else f"{found} of 3 convolutions are found"


def flat_traversal() -> str | None:
    """Count the convolutions that model.layers lists, without going into submodels."""
    import keras

    found = sum(isinstance(layer, keras.layers.Conv2D) for layer in nested().layers)
    return None if found == 3 else f"{found} of 3 convolutions are found"


def regularised_submodels() -> str | None:
    """Regularise the kernels of all submodels, and hold the model's loss against arithmetic."""
    import keras

    model = nested()
    kernels = [layer.kernel for layer in leaves(model) if hasattr(layer, "kernel")]
    for kernel in kernels:
        kernel.regularizer = keras.regularizers.L2(0.05)
    found = sum(float(loss) for loss in model.losses)
    wanted = 0.05 * sum(float(np.sum(np.square(kernel))) for kernel in kernels)
    if len(kernels) == 3 and np.isclose(found, wanted, rtol=1e-5):
        return None
    return f"the losses come to {found:.4g}, not {wanted:.4g}"


def demo_layer_class() -> Any:
    """Return the principles' layer, with keras' own mish in the place of TensorFlow Addons'."""
    import keras

    class DemoSubclassingLayer(keras.layers.Layer):
        def __init__(self, filters_1: int, filters_2: int, dropout_rate: float, **kwargs: Any):
            super().__init__(**kwargs)
            self.conv_filters_1 = filters_1
            self.conv_filters_2 = filters_2
            self.dropout_rate = dropout_rate
            self.conv_1 = keras.layers.Conv2D(filters=self.conv_filters_1, kernel_size=3)
            self.conv_2 = keras.layers.Conv2D(filters=self.conv_filters_2, kernel_size=3)
            self.batch_norm = keras.layers.BatchNormalization()

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            x = self.conv_1(inputs)
            x = self.conv_2(x)
            x = self.batch_norm(x, training=training)
            x = keras.activations.mish(x)
            return keras.layers.Dropout(rate=self.dropout_rate)(x, training=training)

        def get_config(self) -> dict[str, Any]:
            config = super().get_config()
            config.update(
                {
                    "filters_1": self.conv_filters_1,
                    "filters_2": self.conv_filters_2,
                    "dropout_rate": self.dropout_rate,
                }
            )
            return config

    return DemoSubclassingLayer


def demo_model(layer_class: Any) -> Any:
    """Return a model of the layer, which has been called once."""
    import keras

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layer_class(filters_1=2, filters_2=4, dropout_rate=0.3)(inputs))
    model(np.ones((1, 8, 8, 3), np.float32))
    return model


def layer_without_weights_made_in_call() -> None:
    """Train the principles' layer, which makes its Dropout, that has no weights, in call."""
    model = demo_model(demo_layer_class())
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 8, 8, 3)), np.ones((4, 4, 4, 4)), batch_size=2, verbose=0)


def saved_and_loaded(ending: str, *, named: bool) -> str | None:
    """Save a model of a custom layer and load it again, the class given or not."""
    import keras

    layer_class = demo_layer_class()
    model, x = demo_model(layer_class), np.ones((1, 8, 8, 3), np.float32)
    known = {layer_class.__name__: layer_class} if named else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"saved_model{ending}"
        model.save(path)
        loaded = keras.models.load_model(path, custom_objects=known)
    same = np.allclose(model(x), loaded(x), atol=1e-5)
    kept = loaded.layers[-1].dropout_rate == 0.3
    if same and kept:
        return None
    return f"outputs {'agree' if same else 'differ'}, arguments {'kept' if kept else 'lost'}"


def without_returned_config() -> None:
    """Save and load a custom layer whose get_config returns nothing."""
    import keras

    layer_class = demo_layer_class()
    told = layer_class.get_config
    layer_class.get_config = lambda layer: told(layer) and None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved_model.keras"
        demo_model(layer_class).save(path)
        keras.models.load_model(path, custom_objects={layer_class.__name__: layer_class})


def public_layers() -> dict[str, Any]:
    """Return Keras' layers by name."""
    import keras

    return {
        name: found
        for name, found in vars(keras.layers).items()
        if inspect.isclass(found)
        and issubclass(found, keras.layers.Layer)
        and found is not keras.layers.Layer
    }


def takes_training(layer_class: Any) -> bool:
    """Tell whether a layer's call has an argument ``training``."""
    return "training" in inspect.signature(layer_class.call).parameters


def only_two_look_at_training() -> str | None:
    """List Keras' layers that give something else in training, besides the two that are named."""
    named = {"Dropout", "BatchNormalization"}
    others = {n: c for n, c in public_layers().items() if takes_training(c) and n not in named}
    found = sorted(name for name, layer_class in others.items() if depends_on_training(layer_class))
    said = f"{len(found)} others do (of {len(others)} that take it): {', '.join(found)}"
    return said if found else None


def depends_on_training(layer_class: Any) -> bool:
    """Tell whether a layer that can be made and called gives something else in training."""
    made = called(layer_class)
    if made is None:
        return False
    layer, x = made
    try:
        trained, inferred = (np.asarray(layer(x, training=mode)) for mode in (True, False))
    except Exception:  # noqa: BLE001 - a layer that takes no such array shows nothing
        return False
    return not np.array_equal(trained, inferred)


ARGUMENTS: tuple[tuple[Any, ...], ...] = ((), (0.5,), (2,), (2, 2), (4, 2))
SHAPES = ((2, 4), (2, 4, 4), (2, 4, 4, 3), (2, 2, 4, 4, 3))
"""What a layer is tried with, until it can be made and called."""


def called(layer_class: Any) -> tuple[Any, np.ndarray] | None:
    """Return a layer of a class and the input that it was called on; None where it takes none."""
    import keras

    wrapped = [(keras.layers.Dense(2),), (keras.layers.LSTM(2),), (keras.layers.LSTMCell(2),)]
    for arguments in (*ARGUMENTS, *wrapped):
        for shape in SHAPES:
            x = np.random.default_rng(0).random(shape, np.float32)
            try:
                layer = layer_class(*arguments)
                layer(x)
            except Exception:  # noqa: BLE001, S112 - most combinations are none
                continue
            return layer, x
    return None


def only_batch_normalization_has_untrainable_weights() -> str | None:
    """Make and call every layer that can be; list those with weights that are not trained."""
    found, made = [], 0
    for name, layer_class in public_layers().items():
        tried = called(layer_class)
        made += tried is not None
        if tried and tried[0].non_trainable_weights and name != "BatchNormalization":
            found.append(name)
    if not found:
        return None
    return f"{len(found)} others of {made} that were tried have some: {', '.join(sorted(found))}"


def unbuilt_weights() -> str | None:
    """Ask a Sequential that has seen no input for its weights, and again once it is built."""
    import keras

    model = keras.Sequential([keras.layers.Dense(64), keras.layers.Dense(10)])
    before = len(model.weights)
    model.build(input_shape=(None, 3))
    after = len(model.weights)
    return None if (before, after) == (0, 4) else f"{before} weights before, {after} after"


def summary_before_build() -> str | None:
    """Print the summary of a model that is not built."""
    import keras

    lines: list[str] = []
    model = keras.Sequential([keras.layers.Dense(64)])
    model.summary(print_fn=lines.append)
    return None if "".join(lines).strip() else "nothing is printed"


def metrics_low_level() -> str | None:
    """Use metrics by hand, with state and without, as the chapter does."""
    import keras
    from keras import ops

    metric, mean = keras.metrics.SparseCategoricalAccuracy(), keras.metrics.Mean()
    targets, predictions = ops.array([0, 1, 2]), ops.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    metric.update_state(targets, predictions)
    for value in ops.array([0, 1, 2, 3, 4]):
        mean.update_state(value)
    stateless = metric.stateless_update_state(metric.variables, targets, predictions)
    found = [metric.result(), mean.result(), metric.stateless_result(stateless)]
    metric.stateless_reset_state()
    values = [float(value) for value in found]
    return None if values == [1.0, 2.0, 1.0] else f"{values}, not [1.0, 2.0, 1.0]"
