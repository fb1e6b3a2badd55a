"""A baseline with nothing wrong, and treatments that cannot be built."""

from keras_ab.bench.lab.words.declare import Arm, Case, Experiment, Prepared, Source


def good(_case):
    return Prepared(lambda: float(sum(range(200))))


def raises(_case):
    raise ValueError("this arm cannot be built")


EXPERIMENT = Experiment(
    name="treatments_fail",
    question="Whose failure is it?",
    method="Only the treatment raises.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("innocent", good, "works"), Arm("guilty", raises, "raises")),
    cases=(Case({}),),
    backends=("plain",),
)
