"""Is Extended Batch Normalization better than BatchNorm where batches are small?"""

from collections.abc import Mapping
from functools import partial
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
    return convolving.network(case, partial(convolving.normalised, momentum=0.99))


def extended(case: Params) -> Any:
    return convolving.network(case, convolving.extended_normalised)


def extended_as_written(case: Params) -> Any:
    block = partial(convolving.extended_normalised, deviations="channel_means")
    return convolving.network(case, block)


def observed(model: Any) -> Mapping[str, Any]:
    """Return the first kernels, and how far a normalised batch lies from the formula."""
    import keras
    import numpy as np

    from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization, reference_moments

    error = 0.0
    extended = [m for m in model.layers if isinstance(m, ExtendedBatchNormalization)]
    if extended:
        x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 5, 6)).astype(np.float32)
        layer = ExtendedBatchNormalization(deviations=extended[0].deviations)
        moments = reference_moments(x, layer.deviations)
        wanted = (x - moments.mean) / np.sqrt(moments.variance + layer.epsilon)
        found = keras.ops.convert_to_numpy(layer(x, training=True))
        error = float(np.abs(found - wanted).max())
    return {**convolving.kernels(model), "formula_error": error}


def import_the_base() -> str:
    """Import the class that the source's code inherits from."""
    from keras.layers.normalization.batch_normalization import BatchNormalizationBase

    return f"found {BatchNormalizationBase.__name__}"


def train(on: Built, model: Any, case: Params, seed: int, learning_rate: float) -> float:
    """Train on the same number of examples whatever the batch; return the accuracy."""
    steps = TRAINED_EXAMPLES // int(case["batch"])
    return on.train_and_score(steps, model, case, seed, learning_rate)


def better_at(batch: int, name: str, form: str) -> Claim:
    """Return the paper's claim about one size of batch, for a form of the formula."""
    return Claim(
        id=f"{name.replace('_', '-')}-better-at-{batch}",
        statement=f"With {batch} examples in a batch, where BatchNorm's statistics are poor, the "
        f"extended form {form} learns better: the accuracy is at least one point higher.",
        arm=name,
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
        "for all. Two forms are tried: `extended` takes the paper's abstract at its word, the "
        "deviation of all elements from their common mean; `extended_as_written` is the source's "
        "code, the mean of the channels' variances. Which of them the paper's body means is not "
        "established: it was not at hand."
    ),
    held_fixed="first kernels and head, images, batches and their order, optimizer, precision",
    does_not_show="Other normalisers for small batches, such as group normalisation.",
    sources=(sources.TEN, sources.LUO),
    arms=(
        arm("batch_norm", STEP, batch_norm, "keras.layers.BatchNormalization"),
        arm(
            "extended",
            STEP,
            extended,
            "ExtendedBatchNormalization: deviations from the common mean, as in the abstract",
        ),
        arm(
            "extended_as_written",
            STEP,
            extended_as_written,
            "ExtendedBatchNormalization: the channels' mean variance, as in the source's code",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(depth=(2,), channels=(16,), batch=(4,), optimizer=("sgd",)),
        *sweep("batch", (2, 8, 16, 32), depth=2, channels=16, optimizer="sgd"),
        *grid(quick=False, depth=(4,), channels=(32,), batch=(2,)),
        *grid(quick=False, gpu=False, depth=(4,), channels=(32,), batch=(32, 4)),
    ),
    guards=(
        Guard("kernels", 1e-6, "same first kernels and head"),
        Guard("formula_error", 1e-4, "a batch is normalised as the arm's formula says"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(train, STEP),
        seeds=(11, 12, 13, 14, 15),
        learning_rates=(3e-4, 1e-3, 3e-3, 1e-2),
        tuning_seeds=(1, 2, 3),
        tune=partial(train, STEP.choosing()),
        quick=False,
    ),
    attempts=(
        Attempt(
            "import_base", "import BatchNormalizationBase, as the source does", import_the_base
        ),
    ),
    claims=(
        *(
            better_at(batch, name, form)
            for batch in (2, 4)
            for name, form in (
                ("extended", "of the abstract"),
                ("extended_as_written", "of the code"),
            )
        ),
        Claim(
            id="as-written-works",
            statement="Extended batch normalisation is simple and works: as the source's code has "
            "it, it learns better than BatchNorm.",
            arm="extended_as_written",
            metric="test_accuracy",
            at_least=0.0,
            source=sources.TEN,
        ),
    ),
)
