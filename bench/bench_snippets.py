"""Do the sources' own lines, and what they say of Keras' layers, hold on the installed version?"""

from functools import partial

from keras_ab import Attempt, Built, Case, Claim, Experiment, Guard, Source, arm, sources
from keras_ab.bench.workloads import classifier, source_snippets, styles

TRIED = (
    ("residual_block", "the tips' ResBlock, all of whose convolutions are used"),
    ("attention_by_dot", "Dot(axes=(1, 1)) of scores and values, held against their product"),
    ("attention_by_operations", "the tips' attention by tf.matmul, with its last two lines"),
    ("attention_by_layer", "keras.layers.Attention, held against softmax(q kᵀ) v"),
    ("training_argument", "Dropout called with training=True, and with False"),
    ("traversal", "the tips' recursion through nested models finds every layer"),
    ("flat_traversal", "model.layers alone finds every layer"),
    ("regularised_submodels", "a regulariser set by that recursion counts in the loss"),
    ("layer_without_weights_made_in_call", "a layer that makes its Dropout in call, trained"),
    ("without_returned_config", "a custom layer whose get_config returns nothing"),
    ("only_two_look_at_training", "the layers of Keras whose call takes training"),
    (
        "only_batch_normalization_has_untrainable_weights",
        "the layers of Keras that have weights which are not trained",
    ),
    ("unbuilt_weights", "the weights of a Sequential, before and after build"),
    ("summary_before_build", "the summary of a model that is not built, printed"),
    ("metrics_low_level", "metrics updated by hand, and without state"),
)
"""Functions of `source_snippets`, and what they try."""

SAVED = tuple(
    (f"{'with' if named else 'without'}_class_{ending[1:]}", ending, named)
    for ending in (".h5", ".keras")
    for named in (True, False)
)
"""Attempts to save and load a custom layer: name, ending, whether the class is given."""


def attempts() -> tuple[Attempt, ...]:
    """Return all that is tried."""
    tried = [Attempt(name, says, getattr(source_snippets, name)) for name, says in TRIED]
    for name, ending, named in SAVED:
        says = f"a custom layer saved as {ending}, loaded with{'' if named else 'out'} its class"
        tried.append(
            Attempt(name, says, partial(source_snippets.saved_and_loaded, ending, named=named))
        )
    return tuple(tried)


def said(source: Source, attempt: str, statement: str, *, works: bool = True) -> Claim:
    """Return what a source says of one of the attempts."""
    name = attempt.replace("_", "-")
    return Claim(name, statement, "", attempt=attempt, works=works, source=source)


STEP = Built(classifier.train_data, classifier.test_data)

EXPERIMENT = Experiment(
    name="snippets",
    question="Do the sources' own lines, and what they say of Keras' layers, hold?",
    method=(
        "What the sources write is run as it is written, once, in a fresh process, and what they "
        "say of all of Keras' layers is looked up in all of them: each that can be made and called "
        "with the usual arguments. What happens is recorded; nothing is timed. The arms are there "
        "to show that the installed Keras computes the same in two styles."
    ),
    held_fixed="the versions installed",
    does_not_show=(
        "Layers that need arguments of their own, which are left out and counted. TensorFlow "
        "Addons, whose mish and GELU one source takes, is no longer developed; Keras has both."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES, sources.DEEP_DIVE),
    arms=tuple(
        arm(style, STEP, styles.STYLES[style], f"the {style} style")
        for style in ("functional", "sequential")
    ),
    cases=(Case({"depth": 1, "width": 8, "batch": 32}, gpu=False),),
    guards=(Guard("loss", 1e-5, "the two styles are the same model"),),
    attempts=attempts(),
    claims=(
        said(
            sources.TIPS,
            "residual_block",
            "A closure returns the typical residual block: two convolutions and a shortcut.",
        ),
        said(
            sources.TIPS,
            "attention_by_dot",
            "The output of attention is Dot(axes=(1, 1)) of scores and values.",
        ),
        said(
            sources.TIPS,
            "attention_by_operations",
            "The same attention is written with TensorFlow's operations.",
        ),
        said(
            sources.TIPS,
            "attention_by_layer",
            "The lines that attend can be replaced by the built-in Attention layer.",
        ),
        said(
            sources.DEEP_DIVE,
            "training_argument",
            "Some layers, such as Dropout, do one thing in training and another in inference.",
        ),
        said(sources.TIPS, "traversal", "A depth-first recursion goes through all submodels."),
        said(
            sources.TIPS,
            "flat_traversal",
            "Do not forget to iterate submodels: model.layers alone leaves their layers out.",
            works=False,
        ),
        said(
            sources.TIPS,
            "regularised_submodels",
            "By such a traversal, regularisation is added to all layers of a model.",
        ),
        said(
            sources.PRINCIPLES,
            "layer_without_weights_made_in_call",
            "A layer without trainable parameters, like Dropout, may be made in call.",
        ),
        said(
            sources.PRINCIPLES,
            "with_class_h5",
            "A model saved as .h5 is loaded with its custom layer's class in custom_objects, the "
            "arguments kept by get_config.",
        ),
        said(
            sources.PRINCIPLES,
            "without_returned_config",
            "Without the line that returns config, a custom layer's arguments cannot be had when "
            "it is loaded.",
            works=False,
        ),
        said(
            sources.PRINCIPLES,
            "only_two_look_at_training",
            "Dropout and BatchNormalization are the only layers that need training.",
        ),
        said(
            sources.DEEP_DIVE,
            "only_batch_normalization_has_untrainable_weights",
            "BatchNormalization is the only built-in layer with weights that are not trained.",
        ),
        said(
            sources.DEEP_DIVE,
            "unbuilt_weights",
            "A Sequential has no weights until it is built or called.",
        ),
        said(
            sources.DEEP_DIVE,
            "summary_before_build",
            "Before a model is built, its summary cannot be printed.",
            works=False,
        ),
        said(
            sources.DEEP_DIVE,
            "metrics_low_level",
            "Metrics are used by hand: update_state, result, and their stateless forms.",
        ),
    ),
    timed=False,
)
