"""How much faster than eager execution is a compiled training step?"""

from dataclasses import asdict, dataclass
from functools import partial
from traceback import extract_tb
from typing import Any

from keras_ab import (
    Attempt,
    Claim,
    Experiment,
    Guard,
    Params,
    Prepared,
    Recipe,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads.classifier import MANY_CLASSES

STEPS = 4
"""Training steps that the guards look at."""


@dataclass(frozen=True)
class Mode:
    """How Keras runs a training step: the two arguments of `compile` that say so."""

    run_eagerly: bool = False
    jit_compile: bool = False


def prepare(mode: Mode, case: Params) -> Prepared:
    """Make `train_on_batch` ready in one mode, on one batch."""
    model = MANY_CLASSES.compiled(Recipe(), case)
    model.compile(optimizer=model.optimizer, loss=model.loss, **asdict(mode))
    images, labels = (part[: int(case["batch"])] for part in MANY_CLASSES.data(case))
    step = partial(model.train_on_batch, images, labels)
    return Prepared(step=step, observe=partial(observe, model, step))


def observe(model: Any, step: Any) -> dict[str, Any]:
    """Return the losses of the first steps, and the weights after them."""
    import numpy as np

    losses = [step() for _ in range(STEPS)]
    return {
        "losses": np.asarray(losses, dtype=np.float64),
        "weights": np.concatenate([np.ravel(weights) for weights in model.get_weights()]),
    }


def look(mode: Mode) -> str | None:
    """Use the value of a tensor in Python, in a loss."""
    import keras
    import numpy as np

    seen = []

    def loss(truth: Any, predicted: Any) -> Any:
        seen.append(float(keras.ops.max(predicted)))
        return keras.ops.mean(keras.ops.square(predicted - truth))

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, **asdict(mode))
    model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    return None if seen else "the loss was never called with values"


def misfit(mode: Mode, wrong: str) -> str | None:
    """Make a mistake in a loss; look whether the error names both sides and leads to its line.

    Args:
        mode: how Keras runs the step.
        wrong: ``shape`` or ``dtype``: what does not fit.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    def loss(_truth: Any, predicted: Any) -> Any:
        other = tf.ones((7,)) if wrong == "shape" else tf.ones((), tf.int64)
        return tf.reduce_mean(tf.raw_ops.Sub(x=predicted, y=other))

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])
    model.compile("sgd", loss, **asdict(mode))
    try:
        model.train_on_batch(np.ones((4, 2)), np.ones((4, 5)))
    except Exception as error:  # noqa: BLE001 - which one it is, is what is looked at
        lines = [line.name for line in extract_tb(error.__traceback__) if line.filename == __file__]
        sides = ("5", "7") if wrong == "shape" else ("float", "int64")
        if loss.__name__ in lines and all(side in str(error) for side in sides):
            return None
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "no error"


def graph_by_default() -> str | None:
    """Count how often Python runs a loss in eight steps of a model that is compiled as it comes."""
    import keras
    import numpy as np

    calls = []

    def loss(truth: Any, predicted: Any) -> Any:
        calls.append(1)
        return keras.ops.mean(keras.ops.square(predicted - truth))

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss)
    for _ in range(8):
        model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    return None if len(calls) < 8 else "Python runs it in every step"


EAGER, GRAPH, XLA = Mode(run_eagerly=True), Mode(), Mode(jit_compile=True)


EXPERIMENT = Experiment(
    name="eager",
    question="How much faster than eager execution is a compiled training step?",
    method=(
        "A classifier of real digits is trained with `train_on_batch`, compiled with "
        "run_eagerly=True, as a graph, and as a graph that XLA compiles. The slow arm is the "
        "baseline: its step decides how many steps make a sample. The first step of the other arms "
        "holds their compilation."
    ),
    held_fixed="model, first weights, batch, optimizer, precision, Python around the step",
    does_not_show=(
        "Models larger than the case's, whose arithmetic hides the cost of eager execution, and "
        "the time that a person saves who can look at values."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES),
    arms=(
        arm("eager", prepare, EAGER, "compile(run_eagerly=True)"),
        arm("graph", prepare, GRAPH, "compile(jit_compile=False): a tf.function"),
        arm("graph_xla", prepare, XLA, "compile(jit_compile=True): a tf.function under XLA"),
    ),
    cases=(
        *grid(width=(128,), depth=(2,), batch=(64,)),
        *sweep("width", (32, 64, 256, 512, 1024), depth=2, batch=64),
        *grid(quick=False, width=(2048,), depth=(4,), batch=(256,)),
    ),
    guards=(
        Guard("losses", 1e-5, "same losses in the first steps"),
        Guard("weights", 1e-3, "same weights after them"),
    ),
    claims=(
        Claim(
            id="graph-is-fast",
            statement="Training belongs in graph mode because it keeps a model fast: a step takes "
            "less time than in eager mode.",
            arm="graph",
            metric="step_time_s",
            at_most=1.0,
            source=sources.PRINCIPLES,
        ),
        Claim(
            id="graph-by-default",
            statement="Keras runs models as graphs by default.",
            arm="",
            attempt="by_default",
            source=sources.PRINCIPLES,
        ),
        *(
            Claim(
                id=f"eager-finds-{wrong}s",
                statement=f"Errors of {wrong} are easy to find in eager mode: one names both sides "
                "and leads to its line.",
                arm="eager",
                attempt=wrong,
            )
            for wrong in ("shape", "dtype")
        ),
        Claim(
            id="eager-shows-values",
            statement="Eager mode helps to trace errors: Python sees the values.",
            arm="eager",
            attempt="look",
        ),
        Claim(
            id="graph-hides-values",
            statement="In graph mode Python does not see them.",
            arm="graph",
            attempt="look",
            works=False,
        ),
    ),
    attempts=(
        Attempt("by_default", "compile without run_eagerly; eight steps", graph_by_default),
        *(
            Attempt(what, says, partial(tries, mode), arm=name)
            for name, mode in (("eager", EAGER), ("graph", GRAPH))
            for what, says, tries in (
                ("look", "float(tensor) inside a loss", look),
                ("shape", "subtract 7 numbers from 5 in a loss", partial(misfit, wrong="shape")),
                ("dtype", "subtract int64 from float32 in a loss", partial(misfit, wrong="dtype")),
            )
        ),
    ),
)
