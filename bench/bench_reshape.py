"""Are raw operations lighter than layers, where a model reshapes and where it attends?"""

from typing import Any

from keras_ab import (
    KERAS,
    Attempt,
    Built,
    Claim,
    Experiment,
    Guard,
    Params,
    Source,
    arm,
    built,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads import attending, reshaping

GUARDS = (
    Guard("loss", 1e-5, "same loss from the same weights"),
    Guard("gradients", 1e-4, "same gradients from the same weights"),
)
ZHANG = Source(
    author="H. Zhang, I. Goodfellow, D. Metaxas, A. Odena",
    title="Self-Attention Generative Adversarial Networks",
    year=2018,
    url="https://arxiv.org/abs/1805.08318",
)


def layer(case: Params) -> Any:
    return reshaping.chain(case, reshaping.with_layer)


def operation(case: Params) -> Any:
    return reshaping.chain(case, reshaping.with_operation)


def tensorflow_in_layer(case: Params) -> Any:
    return reshaping.chain(case, reshaping.with_tensorflow)


def in_lambda(case: Params) -> Any:
    return reshaping.chain(case, reshaping.with_lambda)


def tensorflow_reshape() -> None:
    """Call tf.reshape on the output of a layer, as the tips write it."""
    import keras
    import tensorflow as tf

    tf.reshape(keras.Input((4, 4)), (-1, 16))


STEP = Built(sizes=reshaping.summary_lines)

RESHAPE = Experiment(
    name="reshape",
    question="Is a raw reshape lighter than a Reshape layer?",
    method=(
        "A chain of dense layers on digits has a reshape before and after each: written with "
        "keras.layers.Reshape, with keras.ops.reshape, with tf.reshape in a layer of one's own, "
        "and with tf.reshape in a Lambda. Building the model, the first step, which traces it, and "
        "the steady step are timed apart."
    ),
    held_fixed="dense layers, first weights, images, batches and their order, optimizer",
    does_not_show=(
        "Eager execution, which is experiment reshape_eager; whether a reader finds one or the "
        "other more readable. The time to build is all that comes before the first step: the "
        "images, the model, compiling it and counting the lines of its summary."
    ),
    sources=(sources.TIPS, sources.PRINCIPLES),
    arms=(
        arm("layer", STEP, layer, "keras.layers.Reshape"),
        arm("keras_ops", STEP, operation, "keras.ops.reshape"),
        arm(
            "tf_in_layer",
            STEP,
            tensorflow_in_layer,
            "tf.reshape in the call of a custom layer",
        ),
        arm("in_lambda", STEP, in_lambda, "tf.reshape in a Lambda"),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(4,), batch=(64,), optimizer=("sgd",)),
        *sweep("depth", (2, 8, 16, 32), batch=64, optimizer="sgd"),
        *grid(quick=False, depth=(64,), batch=(256,)),
    ),
    guards=GUARDS,
    metrics=(reshaping.SUMMARY_LINES,),
    attempts=(
        Attempt("tf_reshape", "tf.reshape on the symbolic output of a layer", tensorflow_reshape),
    ),
    claims=(
        Claim(
            id="ops-lighter-step",
            statement="Raw operations are lighter than layers: a step takes at least 2 % less "
            "time.",
            arm="keras_ops",
            metric="step_time_s",
            at_most=0.98,
        ),
        Claim(
            id="ops-lighter-build",
            statement="Raw operations are lighter than layers: the model is built in at least 2 % "
            "less time.",
            arm="keras_ops",
            metric="build_time_s",
            at_most=0.98,
        ),
        Claim(
            id="tf-ops-as-layers",
            statement="Most TensorFlow operations can be used as layers.",
            arm="",
            attempt="tf_reshape",
        ),
    ),
)


EAGER = Experiment(
    name="reshape_eager",
    question="Are raw reshapes lighter than Reshape layers where nothing is compiled?",
    method=(
        "The forward pass of the models of experiment reshape, run eagerly, so that Python's cost "
        "is paid in every pass; and the operations that TensorFlow traces of it, counted in the "
        "graph before it is optimised."
    ),
    held_fixed="dense layers, first weights, the batch of images",
    does_not_show="The backward pass; what is left of the operations once a graph is optimised.",
    sources=(sources.TIPS, sources.PRINCIPLES),
    arms=(
        arm("layer", reshaping.run_eagerly, layer, "keras.layers.Reshape"),
        arm("keras_ops", reshaping.run_eagerly, operation, "keras.ops.reshape"),
        arm(
            "tf_in_layer",
            reshaping.run_eagerly,
            tensorflow_in_layer,
            "tf.reshape in the call of a custom layer",
        ),
    ),
    cases=(
        *grid(depth=(4,), batch=(64,)),
        *grid(quick=False, depth=(64,), batch=(256,)),
    ),
    guards=(Guard("outputs", 1e-5, "the same outputs from the same weights"),),
    metrics=(reshaping.TRACED_OPERATIONS,),
    claims=(
        Claim(
            id="ops-lighter-eagerly",
            statement="Raw operations are lighter than layers: run eagerly, a forward pass takes "
            "at least 2 % less time.",
            arm="keras_ops",
            metric="step_time_s",
            at_most=0.98,
        ),
        Claim(
            id="ops-trace-less",
            statement="Raw operations are lighter than layers: fewer operations are traced.",
            arm="keras_ops",
            metric="traced_operations",
            at_most=0.98,
        ),
    ),
)


def layers(case: Params) -> Any:
    return attending.network(case, attending.with_layers)


def operations(case: Params) -> Any:
    return attending.network(case, attending.with_operations)


def attention_layer(case: Params) -> Any:
    return attending.network(case, attending.with_attention_layer)


def one_layer(case: Params) -> Any:
    return attending.network(case, attending.in_one_layer)


def tensorflow_attention() -> None:
    """Attend with TensorFlow's operations on symbolic tensors, as the tips write it."""
    import keras
    import tensorflow as tf

    query, key = keras.Input((16, 4)), keras.Input((16, 4))
    tf.math.softmax(tf.matmul(query, key, transpose_b=True))


ATTENTION = Experiment(
    name="attention_2d",
    question="Is 2-D attention lighter when it is written with raw operations?",
    method=(
        "Self-attention over the positions of small images, its projections 1×1 convolutions: "
        "written with Reshape, Dot and Activation layers, with keras.ops, with "
        "keras.layers.Attention between reshapes, and as one custom layer."
    ),
    held_fixed="projections, first weights, images, batches and their order, optimizer",
    does_not_show="Images so large that the scores no longer fit; fused attention kernels.",
    sources=(sources.TIPS, ZHANG),
    arms=(
        arm("layers", built, layers, "Reshape, Dot and Activation layers"),
        arm("keras_ops", built, operations, "keras.ops"),
        arm("attention_layer", built, attention_layer, "keras.layers.Attention"),
        arm("one_layer", built, one_layer, "keras_ab.kernels.attention_2d.Attention2D"),
    ),
    backends=KERAS,
    cases=(
        *grid(blocks=(1,), filters=(32,), batch=(64,), optimizer=("sgd",)),
        *grid(quick=False, blocks=(4,), filters=(128,), stride=(1,), batch=(64,)),
    ),
    guards=GUARDS,
    attempts=(
        Attempt(
            "tf_attention",
            "tf.matmul and tf.math.softmax on the symbolic outputs of layers",
            tensorflow_attention,
        ),
    ),
    claims=(
        Claim(
            id="ops-lighter-step",
            statement="Raw operations are lighter than layers: a step takes at least 2 % less "
            "time.",
            arm="keras_ops",
            metric="step_time_s",
            at_most=0.98,
        ),
        Claim(
            id="tf-ops-as-layers",
            statement="Attention can be written with TensorFlow's operations between layers.",
            arm="",
            attempt="tf_attention",
        ),
    ),
)
