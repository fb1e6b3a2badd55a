"""What can a functional, a sequential and a subclassed model do on the installed versions?"""

from collections.abc import Iterator
from functools import partial

from keras_ab import Attempt, Built, Case, Claim, Experiment, Guard, Source, arm, sources
from keras_ab.bench.workloads import classifier, structure_attempts, style_attempts, styles

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
    ("control_flow", "a Python if on the data, traced to a graph"),
    ("weights_in_call", "a layer with weights that is made in the forward pass, trained two steps"),
    ("eager_tensor", "an embedded eager tf.range in the forward pass, its weights tracked"),
)
"""Functions of `style_attempts`, and what they try."""


STRUCTURE = (
    ("connections", "a summary that says what is connected to what, of a model with a branch"),
    ("plotted_connections", "its three connections drawn"),
    ("loop_over_layers", "a Python for over layers in the forward pass"),
    ("recursion", "a function that calls itself around a layer"),
    ("loop_on_the_data", "a Python while on the data, run eagerly"),
    ("several_inputs_and_outputs", "trained on dictionaries of several inputs and targets"),
    ("tflite", "converted for mobile devices, and run there"),
    ("onnx", "exported to ONNX"),
)
"""Functions of `structure_attempts`, and what they try."""


TRIED_ON_CLASSES = (
    ("save_bare", "save a model whose class takes no arguments"),
    ("load_bare", "load it without the code that defined it"),
)


def attempts() -> tuple[Attempt, ...]:
    """Return everything that is tried: most on every style."""
    own, structure = style_attempts, structure_attempts
    cells = [(own, name, says, style) for name, says in TRIED for style in styles.STYLES]
    cells += [(own, name, says, "subclass") for name, says in TRIED_ON_CLASSES]
    cells += [(structure, name, says, style) for name, says in STRUCTURE for style in styles.STYLES]
    return tuple(
        Attempt(name, says, partial(getattr(module, name), style), style)
        for module, name, says, style in cells
    )


def claims(source: Source, *cells: tuple[str, str, bool, str]) -> Iterator[Claim]:
    """Yield what a source says of cells of the table: style, attempt, whether it works, words."""
    for style, attempt, works, statement in cells:
        name = f"{style}-{attempt}".replace("_", "-")
        yield Claim(name, statement, style, attempt=attempt, works=works, source=source)


CLAIMS = (
    *claims(
        sources.STYLES,
        ("functional", "summarise", True, "A symbolic model can be summarised."),
        ("functional", "connections", True, "It can be inspected: how its layers connect."),
        (
            "subclass",
            "connections",
            False,
            "The summary of an imperative one is but a list: how its layers connect is not in it.",
        ),
        ("functional", "rebuild", True, "get_config describes a symbolic model."),
        ("sequential", "rebuild", True, "get_config describes a symbolic model."),
        ("subclass", "rebuild", False, "get_config does not suit a subclassed model."),
        ("functional", "json", True, "to_json gives the model without its code."),
        ("functional", "clone", True, "A symbolic model is easily cloned."),
        ("subclass", "clone", False, "clone_model does not suit a subclassed model."),
        ("functional", "load", True, "save gives the model without its code."),
        ("sequential", "load", True, "save gives the model without its code."),
        ("subclass", "save", False, "save does not suit a subclassed model."),
        ("functional", "misfit", True, "Most errors are found when layers are connected."),
        ("subclass", "misfit", False, "Errors are found when the model is run."),
        ("subclass", "loop_on_the_data", True, "Any control flow can be written in a class."),
        ("subclass", "control_flow", True, "Any control flow, also where it is traced to a graph."),
        ("functional", "loop_on_the_data", False, "Dynamic networks do not suit symbolic APIs."),
    ),
    *claims(
        sources.PRINCIPLES,
        ("functional", "plot", True, "plot_model shows the whole structure."),
        ("functional", "plotted_connections", True, "plot_model shows how layers connect."),
        ("functional", "numpy_function", False, "NumPy cannot take symbolic tensors."),
        ("functional", "tensorflow_function", True, "Use tf.concat instead of NumPy."),
        ("subclass", "weights_in_call", False, "Weights made in call fail training."),
        ("functional", "weights_in_call", False, "Weights made in call fail training."),
        ("functional", "eager_tensor", False, "An eager tensor needs a layer around."),
    ),
    *claims(
        sources.TIPS,
        ("subclass", "load", False, "Loading a subclassed model has limited support."),
        ("sequential", "skip_connection", False, "Sequential models have no branches."),
        ("functional", "tflite", True, "Models are best ported to mobile when functional."),
        ("functional", "onnx", True, "Models are best ported elsewhere when functional."),
    ),
    *claims(
        sources.DEEP_DIVE,
        ("functional", "features", True, "Inner outputs can be had from the graph."),
        ("subclass", "features", False, "There is no graph to take features from."),
        (
            "subclass",
            "plotted_connections",
            False,
            "plot_model cannot draw the topology of a subclass.",
        ),
        ("subclass", "loop_over_layers", True, "call may use layers in a for loop."),
        ("functional", "loop_over_layers", False, "A graph of layers has no for loop over them."),
        ("subclass", "recursion", True, "call may use layers recursively."),
        ("functional", "recursion", False, "A graph of layers is not made recursively."),
        (
            "functional",
            "several_inputs_and_outputs",
            True,
            "Several inputs and outputs are trained on, by name.",
        ),
        (
            "subclass",
            "several_inputs_and_outputs",
            True,
            "A subclass is trained on several inputs and outputs alike.",
        ),
        (
            "sequential",
            "several_inputs_and_outputs",
            False,
            "A Sequential model has one input and one output.",
        ),
    ),
)

STEP = Built(classifier.train_data, classifier.test_data)

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
    sources=(sources.STYLES, sources.TIPS, sources.PRINCIPLES, sources.DEEP_DIVE),
    arms=tuple(
        arm(style, STEP, model, f"the {style} style") for style, model in styles.STYLES.items()
    ),
    cases=(Case({"depth": 2, "width": 8, "batch": 32}, gpu=False),),
    guards=(Guard("loss", 1e-5, "the three styles are the same model"),),
    attempts=attempts(),
    claims=CLAIMS,
    timed=False,
)
