"""How much faster than eager execution is a compiled training step?"""

from dataclasses import asdict, dataclass
from functools import partial
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


EAGER, GRAPH, XLA = Mode(run_eagerly=True), Mode(), Mode(jit_compile=True)


EXPERIMENT = Experiment(
    name="eager",
    question="How much faster than eager execution is a compiled training step?",
    method=(
        "A small classifier of real digits is trained with `train_on_batch`, compiled with "
        "run_eagerly=True, as a graph, and as a graph that XLA compiles. The slow arm is the "
        "baseline: its step decides how many steps make a sample. The first step of the other arms "
        "holds their compilation."
    ),
    held_fixed="model, first weights, batch, optimizer, precision, Python around the step",
    does_not_show=(
        "Large models, whose arithmetic hides the cost of eager execution, and the time that a "
        "person saves who can look at values."
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
            id="eager-shows-values",
            statement="In eager mode errors are easy to find: Python sees the values.",
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
    attempts=tuple(
        Attempt("look", "float(tensor) inside a loss", partial(look, mode), arm=name)
        for name, mode in (("eager", EAGER), ("graph", GRAPH))
    ),
)
