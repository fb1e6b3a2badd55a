"""Make one computation wait for another, in every compiler."""

from typing import Any

from keras import ops


def zero_after(tensor: Any) -> Any:
    """Return an int32 0 that is known only once the tensor is.

    n² + n is even for every integer n, which no compiler in use proves, so that what is computed
    from the result can be neither started before the tensor is there, nor shared with an equal
    computation that does not wait. XLA heeds no control dependency, and TensorFlow's own executor
    no optimisation barrier; both heed this.

    Args:
        tensor: Any shape and dtype; its first element is looked at.
    """
    first = ops.sum(ops.reshape(tensor, (-1,))[:1])
    n = ops.cast(ops.cast(first, "float32") > 0.0, "int32")
    return ops.bitwise_and(n * n + n, 1)
