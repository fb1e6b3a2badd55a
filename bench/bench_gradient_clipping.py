"""Does adaptive gradient clipping stabilise training, and what does it cost?"""

from dataclasses import replace

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


def _accuracy(name: str, title: str) -> Metric:
    return Metric(name, f"test accuracy {title}", "1", "more", "difference", margin=0.01)


SWEEP = {
    "test_accuracy": 1.0,
    "accuracy_at_quarter_rate": 1 / 4,
    "accuracy_at_sixteenth_rate": 1 / 16,
}
"""Outcomes, and the share of the learning rate at which each is trained."""


def over_batch_sizes(
    recipe: Recipe, case: Params, seed: int, learning_rate: float
) -> dict[str, float]:
    """Train at the learning rate and at shares of it; return the accuracy of each."""
    return {
        name: BY_NAME.train_and_score(STEPS, recipe, case, seed, learning_rate * share)
        for name, share in SWEEP.items()
    }


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
        "at most 0.01 of its weights' norm (the paper's equation 3; the head is left out, as in "
        "the paper). Timed is one step at a rate that all survive. Quality is the accuracy on "
        "digits kept apart after 150 steps, paired by seed, at a learning rate of 0.8 that is too "
        "high, at a quarter and at a sixteenth of it."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, learning rates",
    does_not_show=(
        "The batch sizes (4096) and networks without normalisation for which the paper needs it. "
        "The source's own code takes a 1×1×1×N kernel for a vector and clips the head too; what is "
        "measured follows the paper. At its best learning rate, each arm may do as well."
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
            "adaptive clipping, λ = 0.01, all but the head",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(model=("mlp",), width=(128,), depth=(2,), batch=(128,)),
        *sweep("width", (64, 256, 512, 1024), model="mlp", depth=2, batch=128),
        *grid(quick=False, model=("mlp",), width=(2048,), depth=(4,), batch=(256,)),
        *grid(quick=False, model=("chain",), depth=(8,), channels=(32,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-6, "same loss from the same weights"),
        Guard("gradients", 1e-5, "same gradients, before clipping, from the same weights"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=_accuracy("test_accuracy", "at rate 0.8"),
        train=over_batch_sizes,
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(0.8,),
        tuning_seeds=(),
        also=(
            _accuracy("accuracy_at_quarter_rate", "at rate 0.2"),
            _accuracy("accuracy_at_sixteenth_rate", "at rate 0.05"),
        ),
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
            "at a learning rate of 0.8 accuracy is higher by at least 0.1.",
            arm="adaptive",
            metric="test_accuracy",
            at_least=0.1,
            source=sources.TEN,
        ),
        Claim(
            id="no-worse-at-low-rate",
            statement="Where nothing explodes, adaptive clipping costs no accuracy: at a rate of "
            "0.05 it is at most 0.01 lower.",
            arm="adaptive",
            metric="accuracy_at_sixteenth_rate",
            at_least=-0.01,
        ),
    ),
)
