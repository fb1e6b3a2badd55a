"""Arms that do to their process, and to what they say, whatever they can."""

import math
import os
import subprocess
import sys
import time

import numpy as np

from keras_ab.bench.lab.words.declare import Arm, Attempt, Case, Experiment, Prepared, Source

FAR_TOO_MUCH = 5_000_000


def step():
    return float(sum(range(200)))


def good(_case):
    return Prepared(step, {"weights_bytes": 8.0}, lambda: {"answer": [1.0]})


def telling(**told):
    """Return what builds an arm that tells something else."""
    return lambda _case: Prepared(step, **told)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("do not ask")


def unspeakable(_case):
    raise Unspeakable


def verbose(_case):
    raise ValueError("x" * FAR_TOO_MUCH)


def no_utf8(_case):
    raise ValueError("file \udcff\udc80 is missing")


def noisy(_case):
    def printing():
        print("y" * FAR_TOO_MUCH, flush=True)
        os._exit(3)

    return Prepared(printing)


def closes_its_descriptors(_case):
    os.closerange(3, 256)
    return good(_case)


def forks(_case):
    os.fork()
    return good(_case)


def leaves_with_the_stack(_case):
    raise SystemExit(0)


def crashes_with_a_child(_case):
    """Die while something that was started still holds every descriptor."""
    if os.fork() == 0:
        time.sleep(3600)
    os.kill(os.getpid(), 11)


def leaves_children(_case):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    return Prepared(step, notes={"child": str(child.pid)})


def observing(array):
    return lambda _case: Prepared(step, observe=lambda: {"answer": array})


HOSTILE = {
    "notes_that_are_no_strings": telling(notes={"kernel": 3}),
    "notes_without_end": telling(notes={"kernel": "z" * FAR_TOO_MUCH}),
    "sizes_that_are_text": telling(sizes={"weights_bytes": "8"}),
    "sizes_that_are_arrays": telling(sizes={"weights_bytes": np.zeros(3)}),
    "nan_sizes": telling(sizes={"weights_bytes": math.nan}),
    "infinite_sizes": telling(sizes={"weights_bytes": np.float32("inf")}),
    "misspelt_sizes": telling(sizes={"weight_bytes": 8.0}),
    "unspeakable": unspeakable,
    "verbose": verbose,
    "no_utf8": no_utf8,
    "noisy": noisy,
    "closes_its_descriptors": closes_its_descriptors,
    "leaves_with_the_stack": leaves_with_the_stack,
    "crashes_with_a_child": crashes_with_a_child,
    "observes_text": observing(["a", "b"]),
    "observes_objects": observing([{}, object()]),
}


def leaves_its_group(_case):
    """Go where a signal to the group does not reach."""
    os.setpgid(0, os.getppid())
    return Prepared(lambda: float(sum(range(200))))


HARMLESS = {
    "leaves_its_group": leaves_its_group,
    "numpys_numbers": telling(sizes={"weights_bytes": np.float32(3)}),
    "forks": forks,
    "leaves_children": leaves_children,
}


def arms(builds):
    return tuple(Arm(name, build, name, time_limit_s=60.0) for name, build in builds.items())


EXPERIMENT = Experiment(
    name="hostile",
    question="Does an arm harm any but itself?",
    method="Each does what it can.",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("good", good, "works"), *arms(HOSTILE), *arms(HARMLESS)),
    cases=(Case({}),),
    attempts=(
        Attempt("say_nothing_useful", "return a number", lambda: 3),
        Attempt("talk", "return a long text", lambda: "w" * FAR_TOO_MUCH),
    ),
    backends=("plain",),
)
