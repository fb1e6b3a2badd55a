"""Arms whose cost is known by their names; their steps are timed on a fake clock."""

from keras_ab import Arm, Case, Experiment, Prepared, Source, sweep

NAMES = ("quadratic", "linear", "linearithmic")

EXPERIMENT = Experiment(
    name="growth",
    question="How does each arm grow?",
    method="Steps that take n², n or n log n of a fake clock's ticks.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=tuple(Arm(name, lambda case: Prepared(lambda: case["n"]), name) for name in NAMES),
    cases=(
        *sweep("n", (1024, 2048, 4096, 8192, 16384, 32768, 65536), kind="a"),
        Case({"n": 1024, "kind": "b"}),
    ),
    backends=("plain",),
)
