"""Models that do little but reshape, written with layers, with operations, and in other ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_ab.bench.lab.words.declare import Params, Prepared
from keras_ab.bench.lab.words.metrics import Metric
from keras_ab.bench.workloads import image_sets
from keras_ab.bench.workloads.on_tensorflow import needs_tensorflow

TF_RESHAPE = "tf.reshape works on TensorFlow's tensors"
KERAS_RESHAPE = "keras.ops.reshape works on every backend"

SUMMARY_LINES = Metric("summary_lines", "summary", "lines")
"""What `summary_lines` counts."""

TRACED_OPERATIONS = Metric("traced_operations", "traced operations", "1")
"""What `traced_operations` counts."""

Reshape = Callable[[Any, tuple[int, ...]], Any]


def with_layer(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshape with keras.layers.Reshape."""
    import keras

    return keras.layers.Reshape(shape)(x)


def with_operation(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshape with keras.ops.reshape."""
    import keras

    return keras.ops.reshape(x, (-1, *shape))


def with_tensorflow(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshape with tf.reshape, which takes no symbolic tensor, inside a layer of one's own."""
    needs_tensorflow(TF_RESHAPE, KERAS_RESHAPE)
    import keras
    import tensorflow as tf

    class Reshape(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.reshape(inputs, (-1, *shape))

    return Reshape()(x)


def with_lambda(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshape with tf.reshape inside keras.layers.Lambda."""
    needs_tensorflow(TF_RESHAPE, KERAS_RESHAPE)
    import keras
    import tensorflow as tf

    return keras.layers.Lambda(lambda inputs: tf.reshape(inputs, (-1, *shape)))(x)


def chain(case: Params, reshape: Reshape) -> Any:
    """Return `depth` dense layers on rows of images, with a reshape before and after each."""
    import keras

    height, width, channels = image_sets.image_shape(case)
    size = height * width * channels
    inputs = keras.Input((height, width, channels))
    x = reshape(inputs, (size,))
    for _ in range(int(case["depth"])):
        x = reshape(x, (height, size // height))
        x = keras.layers.Dense(size // height, activation="gelu")(x)
        x = reshape(x, (size,))
    return keras.Model(inputs, keras.layers.Dense(image_sets.classes(case))(x))


def summary_lines(model: Any) -> dict[str, float]:
    """Return how many lines `model.summary()` prints."""
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return {"summary_lines": float(len("\n".join(lines).splitlines()))}


def traced_operations(model: Any, batch: Any) -> float:
    """Return how many operations TensorFlow traces of a forward pass in training."""
    import tensorflow as tf

    traced = tf.function(lambda x: model(x, training=True)).get_concrete_function(batch)
    inner = traced.graph.as_graph_def().library.function
    return float(len(traced.graph.get_operations()) + sum(len(f.node_def) for f in inner))


def run_eagerly(build: Callable[[Params], Any], case: Params) -> Prepared:
    """Make one forward pass ready, run operation by operation: Python's cost is paid each time."""
    import keras

    model = build(case)
    images, _ = image_sets.train_data(case)
    batch = keras.ops.convert_to_tensor(images[: int(case["batch"])])
    return Prepared(
        step=lambda: model(batch, training=True),
        sizes={TRACED_OPERATIONS.name: traced_operations(model, batch)},
        observe=lambda: {"outputs": model(batch, training=True)},
    )
