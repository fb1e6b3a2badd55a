"""Tensors that are no more than that: not a variable that changes, not rows with their indices."""

from typing import Any

import keras
from keras import ops


def plain_tensor(value: Any) -> Any:
    """Return a tensor for a Keras variable, an array or a tensor, in its compute dtype.

    On TensorFlow, ``ops.convert_to_tensor`` hands out a variable itself where no cast is due. It
    would show later assignments, and ``tf.custom_gradient`` refuses to see one inside.

    Args:
        value: What ``keras.ops.convert_to_tensor`` takes.
    """
    tensor = ops.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)
    return tensor.value() if hasattr(tensor, "read_value") else tensor


def dense(gradient: Any) -> Any:
    """Return a gradient as one tensor: an embedding's comes as rows and their indices.

    A row whose index occurs twice is the sum of both, which no function but a linear one may be
    taken of row by row.
    """
    if hasattr(gradient, "dense_shape") and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras takes IndexedSlices for a tensor, and leaves them as they are.
        return tf.convert_to_tensor(gradient)
    return ops.convert_to_tensor(gradient, sparse=False)


class SumsRows:
    """A mixin, before a Keras optimizer: a row that came twice is summed before it is clipped.

    Keras clips each of the two by itself, to another norm than that of their sum.
    """

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        return super()._clip_gradients([dense(g) for g in grads])  # type: ignore[misc]
