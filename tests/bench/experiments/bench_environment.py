"""Arms that differ in their processes: environment variables, and the backend."""

import os

from keras_ab import Arm, Attempt, Case, Experiment, Guard, Prepared, Source

VARIABLE = "KERAS_AB_TEST_SWITCH"


def build(case):
    return Prepared(
        step=lambda: None,
        sizes={"weights_bytes": float(os.environ.get(VARIABLE, 0))},
        observe=lambda: {"variables": sorted(name == VARIABLE for name in os.environ)[-1:]},
    )


def seen():
    return f"{VARIABLE}={os.environ.get(VARIABLE)}"


EXPERIMENT = Experiment(
    name="environment",
    question="Does each arm run in the environment that it declares?",
    method="A variable is read in each process.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(
        Arm("inherited", build, "the environment of the run"),
        Arm("two", build, "a switch at 2", environment={VARIABLE: "2"}),
        Arm("three", build, "a switch at 3", environment={VARIABLE: "3"}),
    ),
    cases=(Case({}),),
    guards=(Guard("variables", None, "the switch is there or not"),),
    attempts=(
        Attempt("read", "read the switch", seen),
        Attempt("read", "read the switch in the arm's process", seen, "two"),
    ),
    backends=("plain",),
)
