"""Two identical arms: what `keras-ab doctor` measures the noise floor with."""

from keras_ab import Arm, Case, Experiment, Params, Prepared, Recipe, Source
from keras_ab.bench.workloads.classifier import MANY_CLASSES


def training_step(case: Params) -> Prepared:
    """Return one training step of a small classifier of digits."""
    return MANY_CLASSES(Recipe(), {"batch": 128, "width": 512, **case})


EXPERIMENT = Experiment(
    name="identical",
    question="How far apart are two identical arms on this machine?",
    method="An A/A trial: both arms are the same function.",
    sources=(
        Source(
            "R. Kohavi, R. Longbotham",
            "Online Controlled Experiments and A/B Testing",
            2017,
            "https://doi.org/10.1007/978-1-4899-7687-1_891",
        ),
    ),
    arms=(Arm("same", training_step, "a training step"), Arm("again", training_step, "the same")),
    cases=(Case({}),),
)
