"""Do memory-saving optimizers save memory, and do they speed up training?"""

from dataclasses import replace
from functools import partial

from keras_ab import (
    KERAS,
    TEST_ACCURACY,
    Attempt,
    Claim,
    Experiment,
    Guard,
    Quality,
    Recipe,
    Source,
    arm,
    grid,
    sources,
    sweep,
)
from keras_ab.bench.workloads.classifier import DIGITS

ADAM = Recipe(optimizer="adam")


CHEN = Source(
    author="X. Chen and others",
    title="Symbolic Discovery of Optimization Algorithms",
    year=2023,
    url="https://arxiv.org/abs/2302.06675",
)


def row_and_column_of_zeros() -> str | None:
    """Step Keras' Adafactor with a gradient that has a row and a column of zeros."""
    import keras
    import numpy as np

    weight = keras.Variable(np.ones((4, 4), np.float32))
    gradient = np.ones((4, 4), np.float32)
    gradient[1] = gradient[:, 2] = 0
    optimizer = keras.optimizers.Adafactor(1e-2)
    optimizer.build([weight])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)])
    wrong = int(np.isnan(keras.ops.convert_to_numpy(weight)).sum())
    return f"{wrong} of 16 weights are NaN after one step" if wrong else None


EXPERIMENT = Experiment(
    name="optimizers",
    question="Do Adafactor and SM3 save memory against Adam, and do they speed up training?",
    purpose="memory",
    method=(
        "The same classifier of real digits takes training steps with each optimizer, from the "
        "same weights on the same batches. Bytes of state are counted from the optimizer's "
        "variables. Quality is the accuracy on digits kept apart after 150 steps, paired by seed; "
        "each optimizer's learning rate is the best of the same eight, √10 apart, by three other "
        "seeds and other digits."
    ),
    held_fixed="model, first weights, batches and their order, loss, number of steps, precision",
    does_not_show=(
        "Training to convergence, schedules, weight decay, and models so large that the state "
        "decides whether they fit. Models with ReLU: a unit that is silent for a whole batch gives "
        "Keras 3.15's Adafactor a row and a column of zeros, and NaN in every weight of the layer; "
        "the classifier here uses GELU and centred pixels so that it can be compared at all."
    ),
    backends=KERAS,
    sources=(sources.SHAZEER, sources.ANIL, CHEN, sources.TEN),
    arms=(
        arm("adam", DIGITS, ADAM, "Keras' Adam"),
        arm("adafactor", DIGITS, replace(ADAM, optimizer="adafactor"), "Keras' Adafactor"),
        arm(
            "adafactor_factored",
            DIGITS,
            replace(ADAM, optimizer="adafactor_factored"),
            "Adafactor that keeps row and column means only, as in the paper",
        ),
        arm("sm3", DIGITS, replace(ADAM, optimizer="sm3"), "SM3-II without momentum"),
        arm(
            "sm3_momentum",
            DIGITS,
            replace(ADAM, optimizer="sm3_momentum"),
            "SM3-II with momentum 0.9, as in the paper",
        ),
        arm("lion", DIGITS, replace(ADAM, optimizer="lion"), "Keras' Lion"),
        arm(
            "sgd_momentum",
            DIGITS,
            replace(ADAM, optimizer="sgd_momentum"),
            "Keras' SGD with momentum 0.9",
        ),
    ),
    cases=(
        *grid(width=(128,), depth=(2,), batch=(64,)),
        *sweep("width", (64, 256, 512, 1024), depth=2, batch=64),
        *grid(quick=False, gpu=False, width=(512,), depth=(2,), batch=(128,)),
        *grid(quick=False, width=(4096,), depth=(4,), batch=(256,)),
    ),
    guards=(
        Guard("loss", 1e-6, "same loss from the same weights"),
        Guard("weights", None, "finite weights after a few steps"),
    ),
    quality=Quality(
        metric=TEST_ACCURACY,
        train=partial(DIGITS.train_and_score, 150),
        seeds=(0, 1, 2, 3, 4),
        learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
        tuning_seeds=(100, 101, 102),
        tune=partial(DIGITS.choosing().train_and_score, 150),
    ),
    attempts=(
        Attempt(
            "zeros",
            "a step with a gradient of which a row and a column are zeros",
            row_and_column_of_zeros,
            arm="adafactor",
        ),
    ),
    claims=(
        Claim(
            id="adafactor-sublinear",
            statement="Adafactor's state is sublinear: at most a tenth of Adam's.",
            arm="adafactor",
            metric="optimizer_state_bytes",
            at_most=0.1,
            source=sources.SHAZEER,
        ),
        Claim(
            id="adafactor-factored-sublinear",
            statement="Kept as in the paper, Adafactor's state is at most a tenth of Adam's.",
            arm="adafactor_factored",
            metric="optimizer_state_bytes",
            at_most=0.1,
            source=sources.SHAZEER,
        ),
        Claim(
            id="sm3-saves-memory",
            statement="SM3, with momentum as in the paper, keeps about half of Adam's state.",
            arm="sm3_momentum",
            metric="optimizer_state_bytes",
            at_most=0.55,
            source=sources.ANIL,
        ),
        Claim(
            id="sm3-accumulators-sublinear",
            statement="What SM3 keeps of second moments is sublinear: without momentum, its state "
            "is at most a tenth of Adam's.",
            arm="sm3",
            metric="optimizer_state_bytes",
            at_most=0.1,
            source=sources.ANIL,
        ),
        *(
            Claim(
                id=f"{name.replace('_', '-')}-as-good",
                statement=f"Trained by {title} a model is as good as by Adam: each at its own best "
                "rate, accuracy is at most 0.01 lower.",
                arm=name,
                metric="test_accuracy",
                at_least=-0.01,
                source=source,
            )
            for name, title, source in (
                ("adafactor_factored", "Adafactor", sources.SHAZEER),
                ("sm3_momentum", "SM3", sources.ANIL),
            )
        ),
        *(
            Claim(
                id=f"{name.replace('_', '-')}-faster",
                statement=f"{title} speeds up training: its step takes less time than Adam's.",
                arm=arm_name,
                metric="step_time_s",
                at_most=1.0,
                source=sources.TEN,
            )
            for name, arm_name, title in (
                ("adafactor", "adafactor", "Adafactor, as Keras has it,"),
                ("adafactor_factored", "adafactor_factored", "Adafactor, as in the paper,"),
                ("sm3", "sm3_momentum", "SM3"),
            )
        ),
        Claim(
            id="lion-saves-memory",
            statement="Lion keeps momentum only: about half of Adam's state.",
            arm="lion",
            metric="optimizer_state_bytes",
            at_most=0.55,
            source=CHEN,
        ),
    ),
)
