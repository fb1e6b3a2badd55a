"""Arms that end the forkserver that they came from, and one that lets it live."""

import os
import signal
from pathlib import Path

from keras_ab.bench.lab.words.declare import Arm, Case, Experiment, Prepared, Source


def step():
    return float(sum(range(200)))


def good(_case):
    return Prepared(step)


def once(case):
    """Kill the forkserver, once in the life of a file that its case names."""
    deed = Path(os.environ["KERAS_AB_TEST_DEED"])
    if not deed.exists():
        deed.touch()
        os.kill(os.getppid(), signal.SIGKILL)
    return Prepared(step)


def always(_case):
    os.kill(os.getppid(), signal.SIGKILL)
    return Prepared(step)


def experiment(name, treatment):
    return Experiment(
        name=name,
        question="Is a run whole whose forkserver was killed?",
        method="An arm kills it.",
        sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
        arms=(Arm("good", good, "works"), Arm("kills", treatment, "kills its parent")),
        cases=(Case({"n": 1}), Case({"n": 2})),
        backends=("plain",),
    )


ONCE = experiment("kills_once", once)
ALWAYS = experiment("kills_always", always)
