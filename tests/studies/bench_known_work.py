"""Work of a known amount as an experiment: the same again, 3 % more, 10 % more."""

from keras_ab import Arm, Case, Experiment, Prepared, Source
from tests.studies.known_work import PASSES, stepping


def rooting(passes):
    return lambda _case: Prepared(stepping(passes))


EXPERIMENT = Experiment(
    name="known_work",
    question="Is more work found?",
    method="Square roots of the same numbers, in more passes or fewer.",
    sources=(Source("keras-ab", "Known work", 2026, "https://example.org"),),
    arms=tuple(Arm(name, rooting(count), f"{count} passes") for name, count in PASSES.items()),
    cases=(Case({}),),
    backends=("plain",),
)
