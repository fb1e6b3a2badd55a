"""Do asymmetric convolution blocks train better, and are they free once they are fused?"""

import gc
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Arm,
    Built,
    Claim,
    Experiment,
    Guard,
    Params,
    Prepared,
    Quality,
    Source,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads import convolving, image_sets, training

DING = Source(
    author="X. Ding, Y. Guo, G. Ding, J. Han",
    title="ACNet: Strengthening the Kernel Skeletons for Powerful CNN via Asymmetric Convolution "
    "Blocks",
    year=2019,
    url="https://arxiv.org/abs/1908.03930",
)
TRAINED_STEPS = 300

Make = Callable[[Params], Any]
Convert = Callable[[Any, Params], Any]


def one_kernel(case: Params) -> Any:
    return convolving.network(case, convolving.normalised)


def three_branches(case: Params) -> Any:
    return convolving.network(case, convolving.asymmetric)


STEP = Built(observe=convolving.kernels)

TRAINING = Experiment(
    name="acnet",
    question="Do asymmetric convolution blocks train better, and what does training cost?",
    purpose="quality",
    method=(
        "A plain stack of 3×3 convolutions with BatchNorm learns digits. In the other arm every "
        "convolution is the sum of a 3×3, a 1×3 and a 3×1 one, each with its BatchNorm."
    ),
    held_fixed="first 3×3 kernels and head, images, batches and their order, optimizer, precision",
    does_not_show=(
        "Networks and images of the paper's size. Other momenta of the moving statistics than "
        f"{convolving.MOMENTUM}: at Keras' 0.99 they are too far behind after {TRAINED_STEPS} "
        "steps."
    ),
    sources=(DING, sources.TEN),
    arms=(
        arm("one_kernel", STEP, one_kernel, "Conv2D 3×3 and BatchNormalization"),
        arm(
            "three_branches",
            STEP,
            three_branches,
            "keras_ab.kernels.asymmetric_convolution.AsymmetricConvolution2D",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(2,), channels=(16,), batch=(32,), optimizer=("sgd",)),
        *sweep("channels", (4, 8, 32, 64), depth=2, batch=32, optimizer="sgd"),
        *grid(quick=False, gpu=False, depth=(4,), channels=(32,), batch=(64,)),
        *grid(quick=False, depth=(8,), channels=(64,), batch=(64,)),
    ),
    guards=(
        Guard("kernels", 1e-6, "same first 3×3 kernels and head"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=replace(TEST_ACCURACY, margin=0.005),
        train=partial(STEP.train_and_score, TRAINED_STEPS),
        seeds=(11, 12, 13, 14, 15),
        learning_rates=(3e-4, 1e-3, 3e-3, 1e-2),
        tuning_seeds=(1, 2, 3),
        tune=partial(STEP.choosing().train_and_score, TRAINED_STEPS),
        quick=False,
    ),
    claims=(
        Claim(
            id="trains-better",
            statement="Asymmetric blocks raise the accuracy over square kernels alone.",
            arm="three_branches",
            metric="test_accuracy",
            at_least=0.0,
        ),
    ),
)


def trained(case: Params) -> Any:
    """Return the three-branch network with statistics as a training would leave them."""
    import keras
    import numpy as np

    model = three_branches(case)
    rng = np.random.default_rng(0)
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for norm in norms:
        size = norm.gamma.shape
        norm.moving_mean.assign(rng.normal(0, 0.1, size))
        norm.moving_variance.assign(rng.uniform(0.5, 1.5, size))
        norm.gamma.assign(rng.uniform(0.5, 1.5, size))
        norm.beta.assign(rng.normal(0, 0.1, size))
    return model


def fuse(model: Any, case: Params) -> Any:
    """Return the network with every block fused into one convolution, the rest copied by name."""
    from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D

    blocks = iter([b.fuse() for b in model.layers if isinstance(b, AsymmetricConvolution2D)])
    fused = convolving.network(case, lambda x, _filters, _stride: next(blocks)(x))
    fused.get_layer("head").set_weights(model.get_layer("head").get_weights())
    return fused


def plain(case: Params) -> Any:
    """Return the plain network as it is used: normalisation folded into kernels and biases."""
    return convolving.network(case, convolving.plain)


def as_it_is(model: Any, _case: Params) -> Any:
    """Predict with the network itself."""
    return model


def predicting(make: Make, convert: Convert, case: Params) -> Prepared:
    """Make the prediction of one batch ready to be timed; what it was made from is gone by then."""
    import numpy as np
    import tensorflow as tf

    model = make(case)
    images = tf.constant(image_sets.test_data(case)[0][: int(case["batch"])])
    used = convert(model, case)
    wanted = None if used is model else np.asarray(model(images, training=False))
    del model
    gc.collect()  # a model refers to itself
    predict = tf.function(lambda: used(images, training=False))

    def observe() -> Mapping[str, Any]:
        outputs, error = np.asarray(predict()), 0.0
        if wanted is not None:
            error = float(np.abs(outputs - wanted).max() / np.abs(wanted).max())
        return {"fusion_error": error, "outputs": outputs}

    return Prepared(predict, {"weights_bytes": training.nbytes(used.weights)}, observe)


def inference_arm(name: str, make: Make, convert: Convert, says: str) -> Arm:
    """Return the arm that predicts with a network after its conversion."""
    shown: Callable[..., Any] = make if convert is as_it_is else convert
    return Arm(name, partial(predicting, make, convert), says, recipe=shown)


INFERENCE = Experiment(
    name="acnet_inference",
    question="Are asymmetric convolution blocks free once they are fused?",
    method=(
        "The network of `acnet` predicts: as plain convolutions, with its three branches, and "
        "with every block fused into one convolution. Kernels are as drawn; the statistics of the "
        "normalisations are drawn too, so that fusing has something to fold in."
    ),
    held_fixed="images, batch, precision; layers but for the blocks",
    does_not_show="Converters that fold BatchNorm by themselves.",
    sources=(DING, sources.TEN),
    arms=(
        inference_arm("plain", plain, as_it_is, "Conv2D 3×3, normalisation folded in"),
        inference_arm("three_branches", trained, as_it_is, "AsymmetricConvolution2D"),
        inference_arm("fused", trained, fuse, "AsymmetricConvolution2D.fuse()"),
    ),
    cases=(
        *grid(depth=(4,), channels=(32,), batch=(64,)),
        *grid(quick=False, depth=(8,), channels=(128,), batch=(256,)),
    ),
    guards=(
        Guard("fusion_error", 1e-5, "the fused network predicts what its branches did"),
        Guard("outputs", None, "finite outputs"),
    ),
    claims=(
        Claim(
            id="fused-is-free",
            statement="Once fused, a block costs no more than the convolution that it stands for: "
            "the time is within 2 % of the plain network's.",
            arm="fused",
            metric="step_time_s",
            at_least=0.98,
            at_most=1.02,
        ),
        Claim(
            id="no-more-weights",
            statement="Once fused, a block has as many weights as the convolution that it stands "
            "for.",
            arm="fused",
            metric="weights_bytes",
            at_most=1.0,
        ),
    ),
)
