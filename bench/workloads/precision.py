"""Which types a model is made and run with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keras_ab.bench.workloads.on_tensorflow import needs_tensorflow


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Give the layers that are made inside a dtype policy."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def switch_on(rewrite: str) -> None:
    """Switch an option of TensorFlow's graph optimizer on, for the rest of this process."""
    if not rewrite:
        return
    needs_tensorflow(
        f"{rewrite} is an option of TensorFlow's graph optimizer",
        "dtype policies work on all",
    )
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({rewrite: True})
