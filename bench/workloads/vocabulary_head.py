"""A linear head over a vocabulary: losses and gradients from logits held whole or in chunks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_ab.bench.lab.words.declare import Params, Prepared

Losses = Callable[[Any, Any, Any, Any, int], Any]


def whole(hidden: Any, kernel: Any, labels: Any, bias: Any, chunk: int) -> Any:
    """Return the losses from the logits of all words at once."""
    from keras import ops

    logits = ops.matmul(hidden, kernel) + bias
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def chunked(hidden: Any, kernel: Any, labels: Any, bias: Any, chunk: int) -> Any:
    """Return the losses from the logits of one chunk of words at a time."""
    from keras_ab.kernels.chunked_cross_entropy import chunked_cross_entropy

    return chunked_cross_entropy(hidden, kernel, labels, bias, chunk)


def prepare(losses: Losses, case: Params) -> Prepared:
    """Make a step ready: the losses of ``examples`` hidden states and all gradients, under XLA."""
    import keras
    import tensorflow as tf

    examples, width, words = (int(case[name]) for name in ("examples", "width", "vocabulary"))
    random = partial(keras.random.normal, stddev=0.5)
    inputs = [tf.Variable(random(shape)) for shape in ((examples, width), (width, words), (words,))]
    classes = keras.random.randint((examples,), 0, words)
    # TensorFlow keeps variables of int32 on the host, where no step on a GPU can read them.
    labels = tf.Variable(tf.cast(classes, tf.int64), trainable=False)

    @tf.function(jit_compile=True)
    def step() -> dict[str, Any]:
        hidden, kernel, bias = (tf.convert_to_tensor(x) for x in inputs)
        with tf.GradientTape() as tape:
            tape.watch([hidden, kernel, bias])
            each = losses(hidden, kernel, labels.value(), bias, int(case["chunk"]))
        names = ("hidden_gradient", "kernel_gradient", "bias_gradient")
        gradients = tape.gradient(each, (hidden, kernel, bias))
        return {"losses": each, **dict(zip(names, gradients, strict=True))}

    return Prepared(step=lambda: step()["losses"], observe=lambda: dict(step()))
