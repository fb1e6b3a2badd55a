"""Does a learning rate that goes up and down generalise better than one that does not?"""

from dataclasses import replace
from functools import partial

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Claim,
    Experiment,
    Guard,
    Quality,
    Recipe,
    Source,
    arm,
    grid,
    sources,
)
from keras_ab.bench.workloads.classifier import DIGITS

STEPS = 330
"""Three cycles of 110 steps: with batches of 128, half a cycle is two epochs, as is advised."""

FIXED = Recipe(optimizer="sgd_momentum", schedule_steps=STEPS)

SMITH = Source(
    author="L. N. Smith",
    title="Cyclical Learning Rates for Training Neural Networks",
    year=2015,
    url="https://arxiv.org/abs/1506.01186",
)

EXPERIMENT = Experiment(
    name="cyclical_lr",
    question="Does a cyclical learning rate generalise better than a fixed or a decaying one?",
    purpose="quality",
    method=(
        f"A classifier of real digits takes {STEPS} steps of SGD with momentum. The rate is fixed, "
        "goes through three cycles between a quarter of its highest value and that, or decays "
        "along a cosine. Each arm gets the best of four highest rates, by three other seeds and "
        "other digits: the fixed rate is the best of a grid, and the cosine shows whether cycles "
        "do more than any decay would. Quality is the accuracy on digits kept apart, paired by "
        "seed."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, number of steps",
    does_not_show=(
        "Whether cycles make the search for a rate unnecessary; long training; warm restarts; "
        "large models."
    ),
    sources=(SMITH, sources.TEN),
    arms=(
        arm("fixed", DIGITS, FIXED, "one rate"),
        arm("triangular", DIGITS, replace(FIXED, schedule="triangular"), "cycles of equal height"),
        arm(
            "triangular2",
            DIGITS,
            replace(FIXED, schedule="triangular2"),
            "cycles of which each is half as high as the one before",
        ),
        arm("cosine", DIGITS, replace(FIXED, schedule="cosine"), "cosine decay to zero"),
    ),
    backends=KERAS,
    cases=(
        *grid(width=(128,), batch=(128,)),
        *grid(quick=False, gpu=False, width=(1024,), depth=(2,), batch=(128,)),
        *grid(quick=False, width=(1024,), depth=(4,), batch=(128,)),
    ),
    guards=(
        Guard("loss", 1e-6, "same loss from the same weights"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(DIGITS.train_and_score, STEPS),
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(0.01, 0.03, 0.1, 0.3),
        tuning_seeds=(100, 101, 102),
        tune=partial(DIGITS.choosing().train_and_score, STEPS),
    ),
    claims=(
        *(
            Claim(
                id=f"{policy}-generalises-better",
                statement="In certain cases cyclical rates can generalise better: after the same "
                f"steps, test accuracy with the {policy} policy is higher here than with the best "
                "fixed rate.",
                arm=policy,
                metric="test_accuracy",
                at_least=0.0,
                source=sources.TEN,
            )
            for policy in ("triangular", "triangular2")
        ),
        Claim(
            id="costs-nothing",
            statement="Cyclical rates need essentially no additional computation: a step takes at "
            "most 5 % longer.",
            arm="triangular",
            metric="step_time_s",
            at_most=1.05,
        ),
    ),
)
