"""Is Extended Batch Normalization better than BatchNorm where batches are small?"""

from collections.abc import Mapping
from typing import Any

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Attempt,
    Built,
    Claim,
    Experiment,
    Guard,
    Params,
    Quality,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads import convolving

TRAINED_EXAMPLES = 16_000
"""Of either arm, whatever the batch: a small batch is not to have seen less."""


def batch_norm(case: Params) -> Any:
    return convolving.network(case, convolving.normalised)


def extended(case: Params) -> Any:
    return convolving.network(case, convolving.extended_normalised)


def observed(model: Any) -> Mapping[str, Any]:
    """Return the first kernels, and how far a normalised batch lies from the formula."""
    import keras
    import numpy as np

    from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization, reference_moments

    error = 0.0
    if any(isinstance(layer, ExtendedBatchNormalization) for layer in model.layers):
        x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 5, 6)).astype(np.float32)
        layer = ExtendedBatchNormalization()
        moments = reference_moments(x)
        wanted = (x - moments.mean) / np.sqrt(moments.variance + layer.epsilon)
        found = keras.ops.convert_to_numpy(layer(x, training=True))
        error = float(np.abs(found - wanted).max())
    return {**convolving.kernels(model), "formula_error": error}


def import_the_base() -> str:
    """Import the class that the source's code inherits from."""
    from keras.layers.normalization.batch_normalization import BatchNormalizationBase

    return f"found {BatchNormalizationBase.__name__}"


def train(model: Any, case: Params, seed: int, learning_rate: float) -> float:
    """Train on the same number of examples whatever the batch; return the accuracy."""
    steps = TRAINED_EXAMPLES // int(case["batch"])
    return STEP.train_and_score(steps, model, case, seed, learning_rate)


def better_at(batch: int) -> Claim:
    """Return the source's claim about one size of batch."""
    return Claim(
        id=f"better-at-{batch}",
        statement=f"With {batch} examples in a batch, where BatchNorm's statistics are poor, the "
        "extended form learns better: the accuracy is at least one point higher.",
        arm="extended",
        metric="test_accuracy",
        at_least=0.01,
        where={"batch": batch},
        source=sources.LUO,
    )


STEP = Built(observe=observed)

EXPERIMENT = Experiment(
    name="extended_batch_norm",
    question="Is Extended Batch Normalization better than BatchNorm at small batches?",
    purpose="quality",
    method=(
        "A plain stack of convolutions learns digits, with BatchNorm after every convolution or "
        "with its extended form, which takes the mean of each channel but one standard deviation "
        "for all. The formula is the one in the paper's abstract; the source's code averages the "
        "channels' variances instead."
    ),
    held_fixed="first kernels, images, batches and their order, optimizer, precision",
    does_not_show="Other normalisers for small batches, such as group normalisation.",
    sources=(sources.TEN, sources.LUO),
    arms=(
        arm("batch_norm", STEP, batch_norm, "keras.layers.BatchNormalization"),
        arm(
            "extended",
            STEP,
            extended,
            "keras_ab.kernels.extended_batch_norm.ExtendedBatchNormalization",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(2,), channels=(16,), batch=(4,), optimizer=("sgd",)),
        *sweep("batch", (2, 8, 16, 32), depth=2, channels=16, optimizer="sgd"),
        *grid(quick=False, depth=(4,), channels=(32,), batch=(2, 4, 32)),
    ),
    guards=(
        Guard("kernels", 1e-6, "same first kernels"),
        Guard("formula_error", 1e-4, "a batch is normalised as the paper's formula says"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=train,
        seeds=(11, 12, 13, 14, 15),
        learning_rates=(3e-4, 1e-3, 3e-3),
        tuning_seeds=(1, 2, 3),
        quick=False,
    ),
    attempts=(
        Attempt(
            "import_base", "import BatchNormalizationBase, as the source does", import_the_base
        ),
    ),
    claims=(better_at(2), better_at(4)),
)
