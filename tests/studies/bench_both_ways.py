"""Work of a known amount, whose workers note which processors, threads and devices they have."""

import os

import numpy as np
import psutil

from keras_ab import Case, Experiment, Prepared, Source, arm

VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def rooting(passes, _case):
    """Return a step of so many passes of square roots, which NumPy takes on one thread."""
    numbers = np.random.default_rng(0).random(2**14)
    roots = np.empty_like(numbers)

    def step():
        for _ in range(passes):
            np.sqrt(numbers, out=roots)
        return float(roots[0])

    return Prepared(step, notes=found())


def found():
    """Return what this process has, once a product has started the threads that products use."""
    square = np.ones((256, 256))
    np.matmul(square, square)
    process = psutil.Process()
    told = {name: os.environ.get(name, "not set") for name in VARIABLES}
    rays = sum(name.startswith("RAY_") for name in os.environ)
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    threads = str(process.num_threads())
    return told | {"processors": processors, "threads": threads, "variables of Ray": str(rays)}


EXPERIMENT = Experiment(
    name="both_ways",
    question="Is more work found?",
    method="Square roots of the same numbers, in more passes or fewer.",
    sources=(Source("keras-ab", "Both ways", 2026, "https://example.org"),),
    arms=(
        arm("plain", rooting, 100, "100 passes"),
        arm("same", rooting, 100, "100 passes"),
        arm("more", rooting, 110, "110 passes"),
    ),
    cases=(Case({}),),
    backends=("plain",),
)
