"""Every experiment of the suite, and the part of its trial that comes before anything is timed."""

from contextlib import closing
from itertools import takewhile
from pathlib import Path

from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.bench_files import experiments_in, load_module
from keras_ab.bench.lab.words.plan import Plan

BENCH = Path(__file__).parents[2] / "bench"
DECLARED = {
    name: (path, experiment)
    for path in sorted(BENCH.glob("bench_*.py"))
    for name, experiment in experiments_in(load_module(str(path))).items()
}
REHEARSED = ("trial", "imported", "guard", "failure", "absent", "memory")


def first_case(experiment):
    """Return the case that the tests run: the first quick one, or else the first."""
    return next((case for case in experiment.cases if case.quick), experiment.cases[0])


def rehearse(file, name, backend, server):
    """Run an experiment's arms once each, hold what they show against its guards, and stop."""
    case = first_case(DECLARED[name][1])
    task = Task(str(file), name, case.id, backend, Plan(sample_time_s=1e-3))
    with closing(measure_trial(task, server)) as lines:
        return group(takewhile(lambda line: line.kind in REHEARSED, lines))[task.trial]
