"""One perceptron in Keras' three styles: functional, sequential, subclass."""

from __future__ import annotations

from typing import Any

from keras_ab.bench.lab.words.declare import Params

PIXELS = 784
CLASSES = 10


def functional(case: Params) -> Any:
    """Return the perceptron as a graph of layers, each called on a symbolic tensor."""
    import keras

    inputs = keras.Input((PIXELS,))
    x = inputs
    for _ in range(int(case["depth"])):
        x = keras.layers.Dense(int(case["width"]), activation="gelu")(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def sequential(case: Params) -> Any:
    """Return the perceptron as a list of layers."""
    import keras

    model = keras.Sequential([keras.Input((PIXELS,))])
    for _ in range(int(case["depth"])):
        model.add(keras.layers.Dense(int(case["width"]), activation="gelu"))
    model.add(keras.layers.Dense(CLASSES))
    return model


def subclass(case: Params) -> Any:
    """Return the perceptron as a class whose `call` says how the layers follow each other."""
    import keras

    model = perceptron_class()(int(case["depth"]), int(case["width"]))
    model(keras.Input((PIXELS,)))  # Model.build would leave the layers without their weights
    return model


def perceptron_class() -> Any:
    """Return the class behind `subclass`, as the sources write it: without `get_config`."""
    import keras

    class Perceptron(keras.Model):
        def __init__(self, depth: int, width: int) -> None:
            super().__init__()
            self.hidden = [keras.layers.Dense(width, activation="gelu") for _ in range(depth)]
            self.logits = keras.layers.Dense(CLASSES)

        def call(self, inputs: Any) -> Any:
            x = inputs
            for layer in self.hidden:
                x = layer(x)
            return self.logits(x)

    return Perceptron


STYLES = {"functional": functional, "sequential": sequential, "subclass": subclass}
