"""Controlled A/B experiments on training techniques: what a bench file and a notebook need.

A bench file, ``bench_sums.py``, that needs no framework; ``pytest --benchmark bench_sums.py``
measures it::

    from keras_ab import Case, Experiment, Prepared, Source, arm


    def sums(count, case):
        numbers = list(range(count))
        return Prepared(lambda: sum(numbers))


    EXPERIMENT = Experiment(
        name="sums",
        question="Does summing twice as many numbers take twice as long?",
        method="Sums of lists of Python's integers.",
        sources=(Source("A. Author", "A page", 2026, "https://example.org"),),
        arms=(arm("once", sums, 500, "500 numbers"), arm("twice", sums, 1000, "1000 numbers")),
        cases=(Case({}),),
        backends=("plain",),
    )

`arm` says what an arm can be, `Workload` and `built` how a Keras model is trained in one. In a
notebook, ``load("runs/")`` reads what was measured. Nothing is imported before it is asked for,
and no framework ever.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_ab.bench import sources as sources
    from keras_ab.bench.lab.words import metrics as metrics
    from keras_ab.bench.lab.words.arms import Arm as Arm
    from keras_ab.bench.lab.words.arms import Attempt as Attempt
    from keras_ab.bench.lab.words.arms import Prepared as Prepared
    from keras_ab.bench.lab.words.arms import arm as arm
    from keras_ab.bench.lab.words.backend_names import KERAS as KERAS
    from keras_ab.bench.lab.words.cases import Case as Case
    from keras_ab.bench.lab.words.cases import Params as Params
    from keras_ab.bench.lab.words.cases import grid as grid
    from keras_ab.bench.lab.words.cases import sweep as sweep
    from keras_ab.bench.lab.words.declare import Claim as Claim
    from keras_ab.bench.lab.words.declare import Experiment as Experiment
    from keras_ab.bench.lab.words.declare import Guard as Guard
    from keras_ab.bench.lab.words.declare import Quality as Quality
    from keras_ab.bench.lab.words.declare import Source as Source
    from keras_ab.bench.lab.words.errors import NotMeasuredHere as NotMeasuredHere
    from keras_ab.bench.lab.words.metrics import Metric as Metric
    from keras_ab.bench.lab.worker import backends as backends
    from keras_ab.bench.own.functions import compare as compare
    from keras_ab.bench.workloads.built import Built as Built
    from keras_ab.bench.workloads.built import built as built
    from keras_ab.bench.workloads.recipe import Recipe as Recipe
    from keras_ab.bench.workloads.training import TEST_ACCURACY as TEST_ACCURACY
    from keras_ab.bench.workloads.training import Workload as Workload
    from keras_ab.reports.loading import load as load

__version__ = "0.1.0"

_HOMES = {
    "keras_ab.bench": ("sources",),
    "keras_ab.bench.lab.words": ("metrics",),
    "keras_ab.bench.lab.words.arms": ("Arm", "Attempt", "Prepared", "arm"),
    "keras_ab.bench.lab.words.backend_names": ("KERAS",),
    "keras_ab.bench.lab.words.cases": ("Case", "Params", "grid", "sweep"),
    "keras_ab.bench.lab.words.declare": ("Claim", "Experiment", "Guard", "Quality", "Source"),
    "keras_ab.bench.lab.words.errors": ("NotMeasuredHere",),
    "keras_ab.bench.lab.words.metrics": ("Metric",),
    "keras_ab.bench.lab.worker": ("backends",),
    "keras_ab.bench.own.functions": ("compare",),
    "keras_ab.bench.workloads.built": ("Built", "built"),
    "keras_ab.bench.workloads.recipe": ("Recipe",),
    "keras_ab.bench.workloads.training": ("TEST_ACCURACY", "Workload"),
    "keras_ab.reports.loading": ("load",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOME[name])
    found = getattr(home, name, None) or import_module(f"{_HOME[name]}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the face and what any module has."""
    return sorted({*globals(), *_HOME})
