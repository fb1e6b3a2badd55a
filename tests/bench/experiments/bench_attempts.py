"""One attempt for each thing that can happen, in an experiment that times nothing."""

import os
import signal

from keras_ab import Arm, Attempt, Case, Claim, Experiment, Guard, NotMeasuredHere, Prepared, Source


def never_stepped(_case):
    return Prepared(lambda: 1.0, observe=lambda: {"answer": [1.0]})


def nothing():
    return None


def something_else():
    return "0 of 3 weights are tracked"


def raises():
    raise TypeError("a \x1b[1mKerasTensor\x1b[0m is symbolic")


def hangs():
    while True:
        signal.pause()


def dies():
    os.kill(os.getpid(), signal.SIGSEGV)


def absent():
    raise NotMeasuredHere("pydot draws models", "no pydot", "pip install pydot")


EXPERIMENT = Experiment(
    name="attempts",
    question="What can be done?",
    method="Each is tried once.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("one", never_stepped, "the first"), Arm("two", never_stepped, "the second")),
    cases=(Case({}),),
    guards=(Guard("answer", 1e-6, "the same answer"),),
    attempts=(
        Attempt("save", "save it", nothing, "one"),
        Attempt("save", "save it", raises, "two"),
        Attempt("embed", "embed eagerly", something_else, "one"),
        Attempt("hang", "wait for ever", hangs, time_limit_s=0.5),
        Attempt("die", "write to a null pointer", dies),
        Attempt("draw", "draw it", absent, "two"),
    ),
    claims=(
        Claim("one-saves", "One can be saved.", "one", attempt="save"),
        Claim("two-saves", "Two can be saved.", "two", attempt="save"),
        Claim("two-cannot", "Two cannot be saved.", "two", attempt="save", works=False),
        Claim("one-embeds", "One can embed.", "one", attempt="embed"),
        Claim("two-draws", "Two can be drawn.", "two", attempt="draw"),
        Claim("waits", "It waits.", "", attempt="hang", works=False),
    ),
    timed=False,
    backends=("plain",),
)
