"""Is L2 regularisation with half the factor the same as weight decay?"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from keras_ab import (
    TEST_ACCURACY,
    Attempt,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Prepared,
    Quality,
    Recipe,
    Source,
    arm,
    backends,
    grid,
    sources,
)
from keras_ab.bench.workloads.by_name import BY_NAME

DECOUPLED = Recipe(decay="decoupled", weight_decay=0.1)
STEPS = 50
"""Steps after which the final weights are compared."""
TRAINED_STEPS = 300
"""Steps after which accuracy is."""

LOSHCHILOV = Source(
    author="I. Loshchilov, F. Hutter",
    title="Decoupled Weight Decay Regularization",
    year=2019,
    url="https://arxiv.org/abs/1711.05101",
)


def trained(model: Any, case: Params) -> np.ndarray:
    """Return the weights of a model after a few steps on the first batches."""
    from keras_ab.bench.workloads.training import cut, flat, step

    size = int(case["batch"])
    images, labels = BY_NAME.data(case)
    training = backends.of_keras().training(model)
    for i in range(STEPS):
        rows = slice(i * size % (len(images) - size), None)
        step(training, cut((images[rows][:size], labels[rows][:size]), 1))
    training.settle()
    return flat(model.trainable_variables)


def decayed(recipe: Recipe, case: Params) -> Prepared:
    """Make one training step ready, and tell how far its weights end from those of weight decay.

    Both are trained here from the same first weights on the same batches.
    """
    decoupled, own = (BY_NAME.compiled(r.of(case), case) for r in (DECOUPLED, recipe))
    for mine, theirs in zip(own.trainable_variables, decoupled.trainable_variables, strict=True):
        mine.assign(theirs)
    reference = trained(decoupled, case)
    distance = np.abs(trained(own, case) - reference).max() / np.abs(reference).max()
    prepared = BY_NAME(recipe, case)
    return replace(
        prepared,
        sizes={**prepared.sizes, "weights_distance": float(distance)},
        observe=lambda: {"reference": reference, "weights": trained(own, case)},
    )


def add_loss_of_a_lambda() -> None:
    """Add the regulariser as a function without arguments, to a layer that is already built."""
    import keras

    layer = keras.layers.Conv2D(2, 3)
    layer.build((None, 8, 8, 1))
    layer.add_loss(lambda: keras.regularizers.L2(0.05)(layer.kernel))


EXPERIMENT = Experiment(
    name="weight_decay",
    question="Is L2 regularisation with half the factor the same as weight decay?",
    purpose="quality",
    method=(
        "The same model is trained with decoupled weight decay, as Keras' optimizers apply it to "
        "every weight, and with an L2 penalty of half the factor on every weight in the loss. How "
        f"far the weights are apart after {STEPS} steps, as a share of the largest weight, says "
        "whether the two are the same. Timed is one step. In full cases both are trained for "
        f"{TRAINED_STEPS} steps as well, paired by seed, each at the best of six learning rates "
        "by three other seeds and other digits, and held against each other by their accuracy on "
        "digits kept apart."
    ),
    held_fixed=(
        "model, first weights, batches and their order, optimizer, factor; and the learning rate, "
        "but for accuracy"
    ),
    does_not_show=(
        "Peaks of memory and the time to build are those of three models, which show how far the "
        "weights end apart. Each form at its own best factor, as the paper compares their "
        "accuracy: under Adam one factor is not the same strength in both. "
        "Decay of some weights only (the source takes kernels, biases and BatchNorm's scale and "
        "offset, which is nearly all). The source's own form, add_loss with a lambda, no longer "
        "runs; `variable.regularizer = keras.regularizers.L2(wd / 2)` is measured in its place."
    ),
    sources=(sources.TIPS, LOSHCHILOV),
    arms=(
        arm("decoupled", decayed, DECOUPLED, "optimizer(weight_decay=wd)"),
        arm("l2", decayed, replace(DECOUPLED, decay="l2"), "variable.regularizer = L2(wd / 2)"),
    ),
    cases=(
        *grid(
            model=("mlp",),
            width=(64,),
            depth=(1,),
            batch=(64,),
            optimizer=("sgd",),
            learning_rate=(0.01,),
        ),
        *grid(
            model=("mlp",),
            width=(64,),
            depth=(1,),
            batch=(64,),
            optimizer=("adam",),
            learning_rate=(1e-3,),
        ),
        *grid(
            quick=False,
            gpu=False,
            model=("mlp",),
            width=(64,),
            depth=(1,),
            batch=(64,),
            optimizer=("sgd_momentum",),
            learning_rate=(1e-3,),
        ),
        *grid(
            quick=False,
            model=("mlp",),
            width=(1024,),
            depth=(4,),
            batch=(256,),
            optimizer=("sgd", "adam"),
            learning_rate=(1e-3,),
        ),
    ),
    guards=(
        Guard("reference", 1e-3, "the same weights, trained with decoupled decay, to compare with"),
        Guard("weights", None, "finite weights after twice as many steps"),
    ),
    metrics=(
        Metric(
            "weights_distance",
            "distance from weight decay's weights",
            "1",
            "less",
            "difference",
            margin=1e-5,
        ),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(BY_NAME.train_and_score, TRAINED_STEPS),
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
        tuning_seeds=(100, 101, 102),
        tune=partial(BY_NAME.choosing().train_and_score, TRAINED_STEPS),
        quick=False,
    ),
    attempts=(
        Attempt(
            "add_loss",
            "layer.add_loss(lambda: keras.regularizers.L2(wd / 2)(layer.kernel))",
            add_loss_of_a_lambda,
            arm="l2",
        ),
    ),
    claims=(
        Claim(
            id="same-weights",
            statement="Weight decay and L2 regularisation differ by a factor of 2 and in nothing "
            "else: the weights end within 0.001 % of each other.",
            arm="l2",
            metric="weights_distance",
            at_most=1e-5,
        ),
        Claim(
            id="documented-form",
            statement="L2 is added to a model's layers with add_loss and a lambda.",
            arm="l2",
            attempt="add_loss",
        ),
        Claim(
            id="decoupled-better",
            statement="With Adam, decoupled decay generalises better than L2: at the same factor, "
            "accuracy under L2 is lower.",
            arm="l2",
            metric="test_accuracy",
            at_most=0.0,
            where={"optimizer": "adam"},
            source=LOSHCHILOV,
        ),
    ),
)
