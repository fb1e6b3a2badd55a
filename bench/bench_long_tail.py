"""Do losses made for long-tailed data help rare classes, and at whose cost?"""

from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from keras_ab import (
    KERAS,
    Claim,
    Experiment,
    Guard,
    Metric,
    Params,
    Quality,
    Recipe,
    Source,
    Workload,
    arm,
    grid,
    metrics,
    sources,
)
from keras_ab.bench.workloads.long_tail import CHOOSING, LONG_TAIL, accuracies

PLAIN = Recipe()
STEPS = 300
LOOK = 5
"""Steps between two looks at the accuracies."""
SWING = 20
"""Steps over which a change of accuracy is a swing."""
TARGET = 0.65
"""Balanced accuracy to be reached."""

ZHANG = Source(
    author="Y. Zhang, B. Kang, B. Hooi, S. Yan, J. Feng",
    title="Deep Long-Tailed Learning: A Survey",
    year=2021,
    url="https://arxiv.org/abs/2110.04596",
)
MENON = Source(
    author="A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar",
    title="Long-Tail Learning via Logit Adjustment",
    year=2020,
    url="https://arxiv.org/abs/2007.07314",
)


def tested(on: Workload, model: Any, case: Params) -> dict[str, float]:
    """Return the accuracies of a model on the examples that a workload tests on."""
    images, labels = on.test(case)
    return accuracies(model.predict_on_batch(images).argmax(axis=-1), labels, case)


def train_and_score(
    recipe: Recipe, case: Params, seed: int, learning_rate: float
) -> dict[str, float]:
    """Train from a seed; return the accuracies on the test digits, how soon, and how steadily.

    A target that is not reached counts as reached after twice the training (PAR2).
    """
    looks = [
        tested(LONG_TAIL, model, case)
        for model in LONG_TAIL.trained(STEPS, LOOK, recipe, case, seed, learning_rate)
    ]
    curve = [look["balanced_accuracy"] for look in looks]
    reached = [number for number, value in enumerate(curve, 1) if value >= TARGET]
    second_half = curve[len(curve) // 2 - 1 :: SWING // LOOK]
    changes = [abs(later - earlier) for earlier, later in pairwise(second_half)]
    return looks[-1] | {
        "steps_to_target": float(LOOK * min(reached, default=2 * len(curve))),
        "target_reached": float(bool(reached)),
        "swing": fmean(changes),
    }


def balanced(recipe: Recipe, case: Params, seed: int, learning_rate: float) -> float:
    """Train from a seed; return the balanced accuracy by which a rate is chosen."""
    model = CHOOSING.train(STEPS, recipe, case, seed, learning_rate)
    return tested(CHOOSING, model, case)["balanced_accuracy"]


def accuracy(name: str, title: str) -> Metric:
    """Return an accuracy as an outcome, two hundredths of which do not matter."""
    return Metric(name, title, "1", "more", "difference", margin=0.02)


EXPERIMENT = Experiment(
    name="long_tail",
    question="Do losses made for long-tailed data help rare classes, and at whose cost?",
    purpose="quality",
    method=(
        "A classifier learns from real digits of which each class is rarer than the one before, "
        f"the last a hundred times rarer than the first. After {STEPS} steps it is tested on "
        "digits of all classes kept apart: accuracy over all classes alike, over the three most "
        "frequent, over the three rarest, and overall as if the test were as long-tailed as the "
        "training. All are paired by seed; each loss gets the best of six learning rates, by the "
        "first of these accuracies on three other seeds and other digits. Told, too, are the steps "
        f"to a balanced accuracy of {TARGET:g}, looked at every {LOOK} steps, and its swing: the "
        f"mean change from one look to one {SWING} steps later, in the second half. A target that "
        "is not reached counts as reached after twice the training (PAR2). Timed is a training "
        "step on a batch that has been drawn."
    ),
    held_fixed=(
        "model, first weights, examples, batches and their order (re-sampling draws others, from "
        "the same seeds), optimizer, steps"
    ),
    does_not_show=(
        "Transfer from head to tail, decoupled training of the head; sets with "
        "thousands of classes; other strengths of each loss than the one its authors begin with. "
        "Margin losses such as LDAM, which need a model whose logits are cosines. Convergence and "
        "swing at one learning rate for all: each loss has its own."
    ),
    sources=(ZHANG, MENON, sources.TEN),
    arms=(
        arm("cross_entropy", LONG_TAIL, PLAIN, "plain cross-entropy"),
        arm(
            "class_balanced",
            LONG_TAIL,
            replace(PLAIN, loss="class_balanced"),
            "weighed by the effective number of examples, β = 0.999",
        ),
        arm("focal", LONG_TAIL, replace(PLAIN, loss="focal"), "focal loss, γ = 2"),
        arm(
            "logit_adjusted",
            LONG_TAIL,
            replace(PLAIN, loss="logit_adjusted"),
            "log priors added to the logits in training, τ = 1",
        ),
        arm(
            "resampled",
            LONG_TAIL,
            replace(PLAIN, sampling="balanced"),
            "batches in which every class is as likely as the others",
        ),
    ),
    backends=KERAS,
    cases=(
        *grid(imbalance=(100,), batch=(64,), width=(256,)),
        *grid(quick=False, gpu=False, imbalance=(10,), batch=(64,), width=(1024,), depth=(2,)),
        *grid(quick=False, imbalance=(100,), batch=(64,), width=(1024,), depth=(2,)),
    ),
    guards=(
        Guard("first_weights", 0.0, "the same first weights"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=accuracy("balanced_accuracy", "balanced accuracy"),
        train=train_and_score,
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2),
        tuning_seeds=(100, 101, 102),
        tune=balanced,
        also=(
            accuracy("head_accuracy", "accuracy on the head"),
            accuracy("tail_accuracy", "accuracy on the tail"),
            accuracy("overall_accuracy", "overall accuracy, long-tailed"),
            Metric("steps_to_target", f"steps to balanced accuracy {TARGET:g}", "1", margin=0.05),
            metrics.TARGET_REACHED,
            Metric("swing", "swing of balanced accuracy", "1", "less", "difference", margin=0.005),
        ),
    ),
    claims=(
        *(
            Claim(
                id=f"{name.replace('_', '-')}-helps-the-tail",
                statement="Re-sampling, re-weighting or re-margining helps rare classes: "
                f"{says} raises the accuracy on the tail.",
                arm=name,
                metric="tail_accuracy",
                at_least=0.0,
            )
            for name, says in (
                ("class_balanced", "class-balanced weighting"),
                ("focal", "focal loss"),
                ("logit_adjusted", "logit adjustment"),
                ("resampled", "re-sampling"),
            )
        ),
        *(
            Claim(
                id=f"{name.replace('_', '-')}-{claim}",
                statement=f"Long-tailed learning {says} ({title}).",
                arm=name,
                metric=metric,
                at_most=at_most,
                source=sources.TEN,
            )
            for name, title in (
                ("logit_adjusted", "logit adjustment"),
                ("resampled", "re-sampling"),
            )
            for claim, says, metric, at_most in (
                ("accelerates", "speeds up convergence", "steps_to_target", 1.0),
                ("stabilises", "stabilises training", "swing", 0.0),
            )
        ),
        Claim(
            id="logit-adjustment-generalises",
            statement="Logit adjustment is made for balanced accuracy, and raises it.",
            arm="logit_adjusted",
            metric="balanced_accuracy",
            at_least=0.0,
            source=MENON,
        ),
    ),
)
