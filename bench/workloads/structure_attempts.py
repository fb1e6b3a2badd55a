"""What a model of each style tells of its structure, which control flow it takes, where it goes.

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
from keras_ab.bench.workloads.style_attempts import in_style, small


def branched(style: str) -> Any:
    """Return a model in which a layer's output is added to its input: no mere list of layers."""
    import keras

    dense, add = keras.layers.Dense(8, name="dense"), keras.layers.Add(name="add")
    if style != "subclass":
        return in_style(style, lambda x: add([x, dense(x)]))

    class Branched(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.add = dense, add

        def call(self, inputs: Any) -> Any:
            return self.add([inputs, self.dense(inputs)])

    model = Branched()
    model(keras.Input((8,)))
    return model


def connections(style: str) -> str | None:
    """Print a summary of a model with a branch; it should say what is connected to what."""
    lines: list[str] = []
    branched(style).summary(print_fn=lines.append)
    text = "\n".join(lines)
    if "Connected to" in text:
        return None
    return "the summary is a list of layers; how they are connected it does not say"


def plotted_connections(style: str) -> str | None:
    """Draw a model with a branch; count the connections that are drawn."""
    import keras

    if importlib.util.find_spec("pydot") is None:
        raise NotMeasuredHere(
            "pydot draws a model", "no pydot here", "pip install pydot, install graphviz"
        )
    drawn = keras.utils.model_to_dot(branched(style))
    found = len(drawn.get_edges())
    return None if found == 3 else f"{found} of 3 connections are drawn"


def same_through(style: str, forward: Callable[[Any], Any], wanted: float) -> str | None:
    """Run a forward pass of a style on ones; say what comes out where it is not as wanted."""
    model = in_style(style, forward)
    found = float(np.ravel(model.predict(np.ones((2, 8), np.float32), verbose=0))[0])
    return None if np.isclose(found, wanted) else f"{found:g} comes out, not {wanted:g}"


def doubling() -> Any:
    """Return a layer that doubles its input."""
    import keras

    twice = keras.initializers.Identity(gain=2.0)
    return keras.layers.Dense(8, use_bias=False, kernel_initializer=twice)


def loop_over_layers(style: str) -> str | None:
    """Call a list of layers in a Python for, in the forward pass."""
    layers = [doubling() for _ in range(3)]

    def forward(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return same_through(style, forward, 8.0)


def recursion(style: str) -> str | None:
    """Call one layer again and again, by a function that calls itself."""
    layer = doubling()

    def descend(x: Any, depth: int) -> Any:
        return x if depth == 0 else descend(layer(x), depth - 1)

    return same_through(style, lambda x: descend(x, 3), 8.0)


def loop_on_the_data(style: str) -> str | None:
    """Call a layer until what flows through is large enough, run eagerly."""
    import keras

    layer = doubling()

    def forward(x: Any) -> Any:
        while keras.ops.max(x) < 20.0:
            x = layer(x)
        return x

    model = in_style(style, forward)
    model.compile(run_eagerly=True)
    found = float(np.ravel(model.predict(np.ones((2, 8), np.float32), verbose=0))[0])
    return None if found == 32.0 else f"{found:g} comes out, not 32"


def tflite(style: str) -> str | None:
    """Convert the model for mobile devices, and run it by TensorFlow Lite's interpreter."""
    import tensorflow as tf

    model = small(style)
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    x = np.ones(interpreter.get_input_details()[0]["shape"], np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return None if np.allclose(found, model(x), atol=1e-4) else "other outputs than the model's"


def onnx(style: str) -> None:
    """Export the model to ONNX."""
    if importlib.util.find_spec("tf2onnx") is None:
        raise NotMeasuredHere(
            "tf2onnx turns a model of Keras on TensorFlow into ONNX",
            "no package tf2onnx",
            "pip install tf2onnx onnx",
        )
    with tempfile.TemporaryDirectory() as folder:
        small(style).export(str(Path(folder) / "model.onnx"), format="onnx", verbose=False)


def ticket_model(style: str) -> Any:
    """Return the chapter's model of tickets: two inputs and two outputs, smaller."""
    import keras
    from keras import layers

    join = layers.Concatenate()
    features = layers.Dense(8, activation="relu")
    priority = layers.Dense(1, activation="sigmoid", name="priority")
    department = layers.Dense(4, activation="softmax", name="department")

    def forward(title: Any, tags: Any) -> dict[str, Any]:
        x = features(join([title, tags]))
        return {"priority": priority(x), "department": department(x)}

    if style == "functional":
        title, tags = keras.Input((6,), name="title"), keras.Input((3,), name="tags")
        return keras.Model({"title": title, "tags": tags}, forward(title, tags))
    if style == "sequential":
        return keras.Sequential([keras.Input((6,)), keras.Input((3,)), features, priority])

    class Tickets(keras.Model):
        def call(self, inputs: Any) -> Any:
            return forward(inputs["title"], inputs["tags"])

    return Tickets()


def several_inputs_and_outputs(style: str) -> None:
    """Train a model of several inputs and outputs on dictionaries of data, as the chapter does."""
    rng = np.random.default_rng(0)
    model = ticket_model(style)
    model.compile(
        "adam",
        loss={"priority": "mean_squared_error", "department": "sparse_categorical_crossentropy"},
        metrics={"priority": ["mean_absolute_error"], "department": ["accuracy"]},
    )
    inputs = {"title": rng.random((8, 6)), "tags": rng.random((8, 3))}
    targets = {"priority": rng.random((8, 1)), "department": rng.integers(4, size=(8, 1))}
    model.fit(inputs, targets, verbose=0)
    model.evaluate(inputs, targets, verbose=0)
    model.predict(inputs, verbose=0)
