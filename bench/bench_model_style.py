"""Is a functional, a sequential or a subclassed model faster than the others?"""

from typing import Any

from keras_ab import KERAS, Attempt, Built, Claim, Experiment, Guard, arm, grid, sources, sweep
from keras_ab.bench.workloads import classifier, styles

STEP = Built(classifier.train_data, classifier.test_data)


def subclass_inside_functional() -> None:
    """Train a functional model that has a subclassed one for a layer."""
    import keras
    import numpy as np

    inputs = keras.Input((784,))
    model = keras.Model(inputs, styles.subclass({"depth": 1, "width": 8})(inputs))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.zeros((2, 784), np.float32), np.zeros(2, np.int32))


def functional_inside_subclass() -> None:
    """Train a subclassed model that has a functional one for a layer."""
    import keras
    import numpy as np

    class Outer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = styles.functional({"depth": 1, "width": 8})

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    model = Outer()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.zeros((2, 784), np.float32), np.zeros(2, np.int32))


EXPERIMENT = Experiment(
    name="model_style",
    question="Is a functional, a sequential or a subclassed model faster than the others?",
    method=(
        "The same perceptron is written in Keras' three styles and trained on the same digits. "
        "Timed are building the model, the first step, which traces it, and the steady step. What "
        "each style can do besides being trained is the experiment `capabilities`."
    ),
    held_fixed="layers, first weights, images, batches and their order, optimizer, precision",
    does_not_show=(
        "Eager execution, where each style runs other Python; models so deep that building them "
        "takes minutes."
    ),
    sources=(sources.TIPS, sources.STYLES, sources.DEEP_DIVE),
    arms=(
        arm("functional", STEP, styles.functional, "layers called on symbolic tensors"),
        arm("sequential", STEP, styles.sequential, "a list of layers"),
        arm("subclass", STEP, styles.subclass, "a class with a call method"),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(4,), width=(256,), batch=(128,), optimizer=("sgd",)),
        *sweep("depth", (1, 2, 8, 16), width=256, batch=128, optimizer="sgd"),
        *grid(quick=False, gpu=False, depth=(4,), width=(1024,), batch=(256,)),
        *grid(quick=False, depth=(32,), width=(1024,), batch=(256,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same loss from the same weights"),
        Guard("gradients", 1e-4, "same gradients from the same weights"),
    ),
    attempts=(
        Attempt(
            "subclass_inside_functional",
            "a subclassed model as a layer of a functional one, trained a step",
            subclass_inside_functional,
        ),
        Attempt(
            "functional_inside_subclass",
            "a functional model as a layer of a subclassed one, trained a step",
            functional_inside_subclass,
        ),
    ),
    claims=(
        Claim(
            id="mix-subclass-inside",
            statement="All styles work together: a subclassed model can be a part of a functional "
            "one.",
            arm="",
            attempt="subclass_inside_functional",
            source=sources.DEEP_DIVE,
        ),
        Claim(
            id="mix-functional-inside",
            statement="All styles work together: a functional model can be a part of a subclassed "
            "one.",
            arm="",
            attempt="functional_inside_subclass",
            source=sources.DEEP_DIVE,
        ),
    ),
)
