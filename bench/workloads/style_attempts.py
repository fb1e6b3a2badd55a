"""What the sources say that models of one style can do and others cannot, as things to try.

Each function takes the name of a style, returns None where the thing works, says what happened
where something else did, and raises what Keras raises.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.workloads.styles import CLASSES, PIXELS, STYLES, perceptron_class

SMALL = {"depth": 2, "width": 8}


def small(style: str) -> Any:
    """Return a small perceptron."""
    return STYLES[style](SMALL)


def in_style(style: str, forward: Callable[[Any], Any], size: int = 8) -> Any:
    """Return a model whose whole forward pass is `forward`, written as the style has it.

    The functional style calls it on a symbolic tensor, the sequential style wraps it in a Lambda,
    the subclass calls it in `call`.
    """
    import keras

    if style == "functional":
        inputs = keras.Input((size,))
        return keras.Model(inputs, forward(inputs))
    if style == "sequential":
        return keras.Sequential([keras.Input((size,)), keras.layers.Lambda(forward)])

    class Forward(keras.Model):
        def call(self, inputs: Any) -> Any:
            return forward(inputs)

    return Forward()


def run_it(model: Any, size: int = 8) -> None:
    """Predict once, which traces the forward pass into a graph as training does."""
    model.predict(np.ones((2, size), np.float32), verbose=0)


def summarise(style: str) -> str | None:
    """Print a summary that tells the shape of each layer's output."""
    model = small(style)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    missing = [layer.name for layer in model.layers if layer.name not in text]
    if missing:
        return f"{len(missing)} of {len(model.layers)} layers are not listed"
    return "the layers are listed, the shapes of their outputs not: '?'" if "?" in text else None


def plot(style: str) -> None:
    """Draw the model."""
    import keras

    if importlib.util.find_spec("pydot") is None:
        raise NotMeasuredHere(
            "pydot and Graphviz draw a model",
            "no pydot here",
            "pip install pydot, install graphviz",
        )
    with tempfile.TemporaryDirectory() as folder:
        keras.utils.plot_model(small(style), str(Path(folder) / "model.png"))


def same_outputs(one: Any, other: Any) -> str | None:
    """Say whether two models agree on a batch."""
    x = np.random.default_rng(0).normal(size=(2, PIXELS)).astype(np.float32)
    if np.allclose(one(x), other(x), atol=1e-6):
        return None
    return "the copy gives other outputs"


def rebuild(style: str) -> None:
    """Make the model again from its own configuration."""
    model = small(style)
    type(model).from_config(model.get_config())


def json(style: str) -> None:
    """Make the model again from JSON, without the code that defined it."""
    import keras

    keras.models.model_from_json(small(style).to_json())


def clone(style: str) -> None:
    """Clone the model."""
    import keras

    keras.models.clone_model(small(style))


def saved(style: str, folder: str) -> Any:
    """Save a model; return it and the path."""
    model, path = small(style), Path(folder) / "model.keras"
    model.save(path)
    return model, path


def save(style: str) -> None:
    """Save the whole model."""
    with tempfile.TemporaryDirectory() as folder:
        saved(style, folder)


def load(style: str) -> str | None:
    """Load a saved model without the code that defined it."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        model, path = saved(style, folder)
        return same_outputs(model, keras.models.load_model(path))


def load_with_class(style: str) -> str | None:
    """Load a saved model, given the class that it is of."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        model, path = saved(style, folder)
        known = {"Perceptron": perceptron_class()}
        return same_outputs(model, keras.models.load_model(path, custom_objects=known))


def bare_class() -> Any:
    """Return a model class that takes no arguments."""
    import keras

    class Bare(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.logits = keras.layers.Dense(CLASSES)

        def call(self, inputs: Any) -> Any:
            return self.logits(inputs)

    return Bare


def save_bare(_style: str, *, load: bool = False) -> None:
    """Save a model whose class takes no arguments, and load it without the class."""
    import keras

    model = bare_class()()
    model(keras.Input((PIXELS,)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        if load:
            keras.models.load_model(path)


def load_bare(style: str) -> None:
    """Load a model whose class takes no arguments, without the class."""
    save_bare(style, load=True)


def weights(style: str) -> str | None:
    """Save the weights, and load them into a second model of the same code."""
    model, other = small(style), small(style)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        other.load_weights(path)
    return same_outputs(model, other)


def export(style: str) -> None:
    """Export a SavedModel, from which other runtimes are fed."""
    with tempfile.TemporaryDirectory() as folder:
        small(style).export(str(Path(folder) / "exported"), verbose=False)


def features(style: str) -> None:
    """Make a model of an inner layer's output."""
    import keras

    model = small(style)
    inner = keras.Model(model.inputs, model.layers[-2].output)
    run_it(inner, PIXELS)


def inputs(style: str) -> str | None:
    """Ask a model what it takes."""
    shape = small(style).input_shape
    return None if shape == (None, PIXELS) else f"it says {shape}"


def misfit(style: str) -> str | None:
    """Be told of layers that do not fit together while the model is defined."""
    import keras

    layers = [keras.layers.Dense(4), keras.layers.Conv2D(3, 2)]
    try:
        if style == "sequential":
            model = keras.Sequential([keras.Input((8,)), *layers])
        else:
            model = in_style(style, lambda x: layers[1](layers[0](x)))
    except ValueError:
        return None
    try:
        run_it(model)
    except Exception as error:  # noqa: BLE001 - what the first call raises is the result
        return f"defined without complaint; its first call raised {type(error).__name__}: {error}"
    return "defined and run without complaint"


def numpy_function(style: str) -> None:
    """Use a NumPy function on what flows through the model."""
    run_it(in_style(style, lambda x: np.amax(x, axis=-1)))


def tensorflow_function(style: str) -> None:
    """Use a TensorFlow function on what flows through the model."""
    import tensorflow as tf

    run_it(in_style(style, lambda x: tf.concat([x, x], axis=-1)))


def keras_function(style: str) -> None:
    """Use a function of keras.ops on what flows through the model."""
    import keras

    run_it(in_style(style, lambda x: keras.ops.concatenate([x, x], axis=-1)))


def skip_connection(style: str) -> None:
    """Add a layer's output to its input."""
    import keras

    dense = keras.layers.Dense(8)
    if style == "sequential":
        model = keras.Sequential([keras.Input((8,)), dense, keras.layers.Add()])
    else:
        model = in_style(style, lambda x: keras.layers.Add()([x, dense(x)]))
    run_it(model)


def control_flow(style: str) -> None:
    """Branch on the data with a Python if."""
    import keras

    run_it(in_style(style, lambda x: x if keras.ops.sum(x) > 0 else -x))


def weights_in_call(style: str) -> None:
    """Make a layer with weights inside the forward pass, and train two steps."""
    import keras

    class Careless(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return keras.layers.Dense(CLASSES)(inputs)

    layer = Careless()
    if style == "sequential":
        model = keras.Sequential([keras.Input((8,)), layer])
    else:
        model = in_style(style, layer if style == "functional" else layer.call)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones((4, 8), np.float32), np.zeros(4, np.int32), batch_size=2, verbose=0)


def eager_tensor(style: str) -> str | None:
    """Add the embedding of a range of positions, which is an eager tensor, outside of a layer."""
    import keras
    import tensorflow as tf

    embedding = keras.layers.Embedding(8, 1)
    positions = tf.range(8)

    def forward(x: Any) -> Any:
        return x + keras.ops.reshape(embedding(positions), (1, 8))

    if style == "subclass":

        class WithPositions(keras.Model):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = embedding

            def call(self, inputs: Any) -> Any:
                return forward(inputs)

        model: Any = WithPositions()
    else:
        model = in_style(style, forward)
    run_it(model)
    tracked = len(model.trainable_weights)
    return None if tracked == 1 else f"runs; {tracked} of 1 weights are tracked, none is trained"
