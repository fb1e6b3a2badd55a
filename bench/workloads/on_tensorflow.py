"""What works on TensorFlow alone, in experiments that run on Keras' other backends too."""

from __future__ import annotations

from keras_ab.bench.lab.words.errors import NotMeasuredHere


def needs_tensorflow(what: str, instead: str = "") -> None:
    """Raise `NotMeasuredHere` unless Keras runs on TensorFlow.

    Args:
        what: what must hold, such as "tf.reshape works on TensorFlow's tensors".
        instead: what does the same on every backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise NotMeasuredHere(
            what,
            f"Keras runs on {keras.backend.backend()}",
            "run with --ab-backend tensorflow" + (f"; {instead}" if instead else ""),
        )
