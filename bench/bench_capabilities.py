"""What can a functional, a sequential and a subclassed model do on the installed versions?"""

from functools import partial

from keras_ab.bench.lab.words.declare import Attempt, Case, Claim, Experiment, Guard, Source
from keras_ab.bench.sources import DEEP_DIVE, PRINCIPLES, STYLES, TIPS
from keras_ab.bench.workloads import built, classifier, style_attempts
from keras_ab.bench.workloads import styles as written
from keras_ab.bench.workloads.built import Built

TRIED = (
    ("summarise", "a summary with the shape of each layer's output"),
    ("plot", "plot_model"),
    ("rebuild", "get_config, and from_config"),
    ("json", "to_json, and model_from_json"),
    ("clone", "clone_model"),
    ("save", "save the whole model"),
    ("load", "load it without the code that defined it"),
    ("load_with_class", "load it, given its class"),
    ("weights", "save the weights and load them into a second model"),
    ("export", "export a SavedModel"),
    ("features", "a model of an inner layer's output"),
    ("inputs", "be asked for the shape of the inputs"),
    ("misfit", "be refused, while being defined, for layers that do not fit"),
    ("numpy_function", "np.amax in the forward pass"),
    ("tensorflow_function", "tf.concat in the forward pass"),
    ("keras_function", "keras.ops.concatenate in the forward pass"),
    ("skip_connection", "a skip connection"),
    ("control_flow", "a Python if on the data"),
    ("weights_in_call", "a layer with weights that is made in the forward pass, trained"),
    ("eager_tensor", "an embedded eager tf.range in the forward pass, its weights tracked"),
)
"""Functions of `style_attempts`, and what they try."""


TRIED_ON_CLASSES = (
    ("save_bare", "save a model whose class takes no arguments"),
    ("load_bare", "load it without the code that defined it"),
)


def attempts() -> tuple[Attempt, ...]:
    """Return everything that is tried: most on every style."""
    cells = [(name, says, style) for name, says in TRIED for style in written.STYLES]
    cells += [(name, says, "subclass") for name, says in TRIED_ON_CLASSES]
    return tuple(
        Attempt(name, says, partial(getattr(style_attempts, name), style), style)
        for name, says, style in cells
    )


def claim(style: str, attempt: str, works: bool, source: Source, statement: str) -> Claim:
    """Return what a source says of one cell of the table."""
    name = f"{style}-{attempt}".replace("_", "-")
    return Claim(name, statement, style, attempt=attempt, works=works, source=source)


CLAIMS = (
    claim("functional", "summarise", True, STYLES, "A symbolic model can be summarised."),
    claim(
        "subclass", "summarise", False, STYLES, "The summary of an imperative one is but a list."
    ),
    claim("functional", "plot", True, PRINCIPLES, "plot_model shows the whole structure."),
    claim("functional", "rebuild", True, STYLES, "get_config describes a symbolic model."),
    claim("sequential", "rebuild", True, STYLES, "get_config describes a symbolic model."),
    claim("subclass", "rebuild", False, STYLES, "get_config does not suit a subclassed model."),
    claim("functional", "json", True, STYLES, "to_json gives the model without its code."),
    claim("functional", "clone", True, STYLES, "A symbolic model is easily cloned."),
    claim("subclass", "clone", False, STYLES, "clone_model does not suit a subclassed model."),
    claim("functional", "load", True, STYLES, "save gives the model without its code."),
    claim("sequential", "load", True, STYLES, "save gives the model without its code."),
    claim("subclass", "save", False, STYLES, "save does not suit a subclassed model."),
    claim("subclass", "load", False, TIPS, "Loading a subclassed model has limited support."),
    claim("functional", "features", True, DEEP_DIVE, "Inner outputs can be had from the graph."),
    claim("subclass", "features", False, DEEP_DIVE, "There is no graph to take features from."),
    claim("functional", "misfit", True, STYLES, "Most errors are found when layers are connected."),
    claim("subclass", "misfit", False, STYLES, "Errors are found when the model is run."),
    claim("functional", "numpy_function", False, PRINCIPLES, "NumPy cannot take symbolic tensors."),
    claim("functional", "tensorflow_function", True, PRINCIPLES, "Use tf.concat instead of NumPy."),
    claim("sequential", "skip_connection", False, TIPS, "Sequential models have no branches."),
    claim("subclass", "control_flow", True, STYLES, "Any control flow can be written in a class."),
    claim("subclass", "weights_in_call", False, PRINCIPLES, "Weights made in call fail training."),
    claim(
        "functional", "weights_in_call", False, PRINCIPLES, "Weights made in call fail training."
    ),
    claim("functional", "eager_tensor", False, PRINCIPLES, "An eager tensor needs a layer around."),
)

EXPERIMENT = Experiment(
    name="capabilities",
    question="What can a functional, a sequential and a subclassed model do?",
    method=(
        "A small perceptron is written in the three styles. What the sources promise of a style, "
        "or warn of, is tried once on each of the three, in a fresh process, and what happens is "
        "recorded with the exact error. A forward pass of one's own is called on a symbolic tensor "
        "in the functional style, in a Lambda in the sequential style, and in `call` in the "
        "subclass. The result is the table of what was tried; nothing is timed."
    ),
    held_fixed="layers and their sizes, the versions installed",
    does_not_show=(
        "Distributed training; other ways of writing the same thing, of which some work where the "
        "one that was tried does not."
    ),
    sources=(STYLES, TIPS, PRINCIPLES, DEEP_DIVE),
    arms=tuple(
        built.arm(style, Built(model, classifier.train_data), f"the {style} style")
        for style, model in written.STYLES.items()
    ),
    cases=(Case({"depth": 2, "width": 8, "batch": 32}),),
    guards=(Guard("loss", 1e-5, "the three styles are the same model"),),
    attempts=attempts(),
    claims=CLAIMS,
    timed=False,
)
