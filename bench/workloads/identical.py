"""Two identical arms: what `keras-ab doctor` measures the noise floor with."""

from collections.abc import Callable

from keras_ab import Arm, Case, Experiment, Params, Prepared, Recipe, Source
from keras_ab.bench.lab.words.backend_names import NAMES
from keras_ab.bench.workloads.classifier import MANY_CLASSES


def training_step(case: Params) -> Prepared:
    """Return one training step of a small classifier of digits."""
    return MANY_CLASSES(Recipe(), {"batch": 128, "width": 512, **case})


def sums(_: Params) -> Prepared:
    """Return a step that needs no framework."""
    return Prepared(lambda: float(sum(range(1000))))


def identical(name: str, build: Callable[[Params], Prepared], says: str) -> Experiment:
    """Return an experiment whose two arms are the same function."""
    return Experiment(
        name=name,
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
        arms=(Arm("same", build, says), Arm("again", build, "the same")),
        cases=(Case({}),),
        backends=NAMES,
    )


TRAINING = identical("identical_training", training_step, "a training step")
SUMS = identical("identical_sums", sums, "a sum")
