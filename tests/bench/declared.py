"""Every experiment of the suite, and the part of its trial that comes before anything is timed."""

from contextlib import closing
from itertools import takewhile
from pathlib import Path

from bench.lab.measure import run_trial
from bench.lab.plan import Plan
from bench.lab.task import Task
from bench.lab.trial_data import group
from bench.lab.worker import experiments_in, load_module

BENCH = Path(__file__).parents[2] / "bench"
DECLARED = {
    name: (path, experiment)
    for path in sorted(BENCH.glob("bench_*.py"))
    for name, experiment in experiments_in(load_module(str(path))).items()
}
REHEARSED = ("trial", "guard", "failure", "absent")


def first_case(experiment):
    """Return the case that the tests run: the first quick one, or else the first."""
    return next((case for case in experiment.cases if case.quick), experiment.cases[0])


def rehearse(file, name, backend, server):
    """Run an experiment's arms once each, hold what they show against its guards, and stop."""
    case = first_case(DECLARED[name][1])
    task = Task(str(file), name, case.id, backend, Plan(sample_time_s=1e-3))
    with closing(run_trial(task, server)) as lines:
        return group(takewhile(lambda line: line.kind in REHEARSED, lines))[task.trial]
