"""Does training on several batches in one call of fit's function save wall time?"""

from dataclasses import replace
from typing import Any

from keras_ab import Claim, Experiment, Guard, Params, Prepared, Recipe, arm, grid, sources, sweep
from keras_ab.bench.workloads import by_name, image_files

BATCHES = 64
"""Batches in one step of the lab."""


ONE = Recipe(steps_per_execution=1)


def made_when_asked_for(examples: Any, size: int) -> Any:
    """Return batches without end, none made ahead: what making them takes is in the step."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(examples).repeat()
    return batches.batch(size, drop_remainder=True).with_options(image_files.nothing_ahead())


def through_fit(recipe: Recipe, case: Params) -> Prepared:
    """Make 64 batches ready to be timed, through the function that `fit` makes and calls.

    Keras' own `train_function` is called 64, 8 or 1 times on an iterator over batches.
    """
    from keras_ab.bench.workloads.training import flat

    model = by_name.BY_NAME.compiled(recipe, case)
    iterator = iter(made_when_asked_for(by_name.BY_NAME.data(case), int(case["batch"])))
    model.make_train_function()
    calls = BATCHES // recipe.steps_per_execution

    def step() -> Any:
        for _ in range(calls):
            logs = model.train_function(iterator)
        return logs["loss"]

    def observe() -> dict[str, Any]:
        return {"loss": step(), "weights": flat(model.trainable_variables)}

    return Prepared(step, observe=observe)


EXPERIMENT = Experiment(
    name="steps_per_execution",
    question="Does training on several batches in one call of fit's function save wall time?",
    method=(
        "The function that model.fit makes and calls is called on an iterator over batches of real "
        "digits. It trains on one batch a call, Keras' default, or on 8 or 64 in a loop inside the "
        "graph. A step of this experiment is 64 batches in every arm."
    ),
    held_fixed="model, first weights, batches and their order, optimizer, input pipeline",
    does_not_show=(
        "What fit does beside its function: callbacks and the progress bar, which also run once a "
        "call and so less often. Metrics and callbacks at single batches, which are given up."
    ),
    sources=(sources.KERAS_TRAINING,),
    arms=(
        arm("batches_1", through_fit, ONE, "steps_per_execution=1: a call for every batch"),
        arm("batches_8", through_fit, replace(ONE, steps_per_execution=8), "8 batches a call"),
        arm("batches_64", through_fit, replace(ONE, steps_per_execution=64), "64 batches a call"),
    ),
    cases=(
        *grid(model=("mlp",), width=(32,), depth=(1,), batch=(64,)),
        *sweep("width", (64, 128, 256, 512), model="mlp", depth=1, batch=64),
        *grid(quick=False, model=("mlp",), width=(256,), depth=(2,), batch=(64,)),
        *grid(quick=False, gpu=False, model=("mlp",), width=(256,), depth=(2,), batch=(256,)),
        *grid(quick=False, gpu=False, model=("resnet",), blocks=(1,), channels=(8,), batch=(64,)),
    ),
    guards=(
        Guard("loss", 1e-5, "same mean loss over 64 batches"),
        Guard("weights", 1e-4, "same weights after 64 batches"),
    ),
    claims=(
        Claim(
            id="faster-small-models",
            statement="Several batches in one call of the compiled function can greatly improve "
            "the performance of small models: 64 take at most two thirds of the time.",
            arm="batches_64",
            metric="step_time_s",
            at_most=2 / 3,
            where={"width": 32},
        ),
    ),
)
