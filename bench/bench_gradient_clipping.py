"""Does adaptive gradient clipping stabilise training, and what does it cost?"""

from dataclasses import replace
from functools import cache, partial
from statistics import fmean
from typing import Any

from keras_ab import (
    KERAS,
    Attempt,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Quality,
    Recipe,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads.by_name import BY_NAME

UNCLIPPED = Recipe(optimizer="sgd_momentum", learning_rate=1e-3)
STEPS = 150
Setting = tuple[tuple[str, Any], ...]
"""A case's parameters as pairs, which can be kept by."""


RATES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Learning rates over which stability is told, each twice the one before; the last is too high."""
LOWER = (0.00625, 0.0125)
"""Those that an arm may be at its best at beside them."""


def _accuracy(name: str, title: str) -> Metric:
    return Metric(name, f"test accuracy {title}", "1", "more", "difference", margin=0.01)


@cache
def accuracy_at(recipe: Recipe, case: Setting, seed: int, rate: float) -> float:
    """Train at a rate and return the accuracy: kept, since the best is one of those tried."""
    return BY_NAME.train_and_score(STEPS, recipe, dict(case), seed, rate)


def over_rates(recipe: Recipe, case: Params, seed: int, learning_rate: float) -> dict[str, float]:
    """Return the accuracy at the learning rate, and its mean over all rates of the ladder.

    The mean is the area under the curve of accuracy over the logarithm of the rate.
    """
    ladder = [accuracy_at(recipe, tuple(case.items()), seed, rate) for rate in RATES]
    best = accuracy_at(recipe, tuple(case.items()), seed, learning_rate)
    return {"test_accuracy": best, "accuracy_over_rates": fmean(ladder)}


def squeezed_norm() -> str | None:
    """Take the norm of a 1×1 convolution's kernel as the source's code does, squeezed first."""
    import tensorflow as tf

    kernel = tf.ones((1, 1, 1, 8))
    vector = len(tf.squeeze(kernel).shape) <= 1
    norm = tf.sqrt(tf.reduce_sum(tf.square(kernel), None if vector else [0, 1, 2], not vector))
    if norm.shape.num_elements() == 8:
        return None
    return (
        f"a 1×1×1×8 kernel has {norm.shape.num_elements()} norm in place of 8: squeezed, it is "
        "taken for a vector, and its outputs are clipped together"
    )


EXPERIMENT = Experiment(
    name="gradient_clipping",
    question="Does adaptive gradient clipping stabilise training, and what does it cost?",
    purpose="quality",
    method=(
        "The same network without normalisation is trained by SGD with momentum: unclipped, with "
        "the whole gradient scaled to a norm of at most 1, and with each unit's gradient scaled to "
        "at most λ of its weights' norm (the paper's equation 3; the head is left out, as in the "
        "paper). λ follows the batch, as the paper advises: 0.01 for batches of thousands, and for "
        "small ones 0.16, the largest that it tries. Timed is one step at a rate that all survive. "
        f"Quality is the accuracy on digits kept apart after {STEPS} steps, paired by seed, each "
        "arm at its own best of eight learning rates from 0.00625 on, by three other seeds and "
        "other digits; stability is the mean of the accuracies at the last six, from 0.025 to 0.8."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, rates that are tried",
    does_not_show=(
        "The networks without normalisation, on images in the millions, for which the paper needs "
        "it. The source's own code takes a 1×1×1×N kernel for a vector, clips the head too and has "
        "λ fixed at 0.01; what is measured follows the paper."
    ),
    sources=(sources.BROCK, sources.TEN),
    arms=(
        arm("unclipped", BY_NAME, UNCLIPPED, "SGD with momentum 0.9"),
        arm(
            "global_norm",
            BY_NAME,
            replace(UNCLIPPED, clipping="global_norm"),
            "global_clipnorm=1",
        ),
        arm(
            "adaptive",
            BY_NAME,
            replace(UNCLIPPED, clipping="adaptive"),
            "adaptive clipping, λ of the case (clip), all but the head",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(model=("mlp",), width=(128,), depth=(2,), batch=(128,), clip=(0.16,)),
        *sweep("width", (64, 256, 512, 1024), model="mlp", depth=2, batch=128, clip=0.16),
        *grid(quick=False, model=("mlp",), width=(2048,), depth=(4,), batch=(2048,), clip=(0.01,)),
        *grid(
            quick=False, model=("chain",), depth=(8,), channels=(32,), batch=(128,), clip=(0.16,)
        ),
    ),
    guards=(
        Guard("loss", 1e-6, "same loss from the same weights"),
        Guard("gradients", 1e-5, "same gradients, before clipping, from the same weights"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=_accuracy("test_accuracy", "at the best rate"),
        train=over_rates,
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(*LOWER, *RATES),
        tuning_seeds=(100, 101, 102),
        tune=partial(BY_NAME.choosing().train_and_score, STEPS),
        also=(_accuracy("accuracy_over_rates", "over all rates"),),
    ),
    attempts=(
        Attempt(
            "squeeze",
            "the source's unitwise_norm, which squeezes a kernel before it counts its axes",
            squeezed_norm,
            arm="adaptive",
        ),
    ),
    claims=(
        Claim(
            id="stabilises",
            statement="Adaptive clipping keeps gradients from exploding and stabilises training: "
            "over rates from 0.025 to 0.8, the mean accuracy is higher by at least 0.05.",
            arm="adaptive",
            metric="accuracy_over_rates",
            at_least=0.05,
            source=sources.TEN,
        ),
        Claim(
            id="better-at-the-best-rate",
            statement="Networks with adaptive clipping are better: each at its own best rate, "
            "accuracy is higher than without.",
            arm="adaptive",
            metric="test_accuracy",
            at_least=0.0,
        ),
    ),
)
