"""One arm for each thing that can go wrong."""

import math
import os
import signal
from collections import deque

from keras_ab import Arm, Case, Experiment, Guard, NotMeasuredHere, Prepared, Source


def prepared(step, answer=1.0):
    return Prepared(step, observe=lambda: {"answer": [answer]})


def work():
    return float(sum(range(200)))


def good(_case):
    return prepared(work)


def raises(_case):
    raise ValueError("this arm cannot be built")


def raises_later(_case):
    left = deque(range(40))

    def step():
        left.pop()
        return work()

    return prepared(step)


def hangs(_case):
    def step():
        while True:
            signal.pause()

    return prepared(step)


def killed(_case):
    return prepared(lambda: os.kill(os.getpid(), signal.SIGKILL))


def out_of_memory(_case):
    return prepared(lambda: bytearray(2**60))


def not_a_number(_case):
    return prepared(lambda: math.nan)


def absent(_case):
    raise NotMeasuredHere("a quantum computer is attached", "none", "attach one")


def arms(*others):
    return (Arm("good", good, "works"), *others)


def experiment(name, *others, guards=()):
    return Experiment(
        name=name,
        question="What happens when an arm fails?",
        method="Each arm fails in its own way.",
        sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
        arms=arms(*others),
        cases=(Case({}),),
        guards=guards,
        backends=("plain",),
    )


FAULTS = experiment(
    "faults",
    Arm("fine", good, "works as well"),
    Arm("raises", raises, "raises while it is built"),
    Arm("raises_later", raises_later, "raises after some steps"),
    Arm("hangs", hangs, "never returns", time_limit_s=0.5),
    Arm("killed", killed, "is killed"),
    Arm("out_of_memory", out_of_memory, "asks for too much memory"),
    Arm("not_a_number", not_a_number, "returns NaN"),
    Arm("absent", absent, "needs what is not there"),
)
UNFAIR = experiment(
    "unfair",
    Arm("cheats", lambda _case: prepared(work, answer=1.01), "does other work"),
    guards=(Guard("answer", 1e-3, "the same answer"),),
)
MISSPELT = experiment(
    "misspelt",
    Arm("fine", good, "works as well"),
    guards=(Guard("anwser", 1e-3, "the same answer"),),
)
BASELINE_FAILS = Experiment(
    name="baseline_fails",
    question="What happens when the baseline fails?",
    method="It raises.",
    sources=FAULTS.sources,
    arms=(Arm("raises", raises, "raises"), Arm("good", good, "works")),
    cases=(Case({}),),
    backends=("plain",),
)
