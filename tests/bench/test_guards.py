"""Every experiment's guards hold for its arms, and break for an arm that is spoilt."""

from itertools import takewhile
from pathlib import Path

import pytest

from bench.lab.declare import Plan
from bench.lab.forkserver import ForkServer
from bench.lab.measure import run_trial
from bench.lab.task import Task
from bench.lab.trials import group
from bench.lab.worker import experiments_in, load_module

BENCH = Path(__file__).parents[2] / "bench"
DECLARED = {
    name: (path, experiment)
    for path in sorted(BENCH.glob("bench_*.py"))
    for name, experiment in experiments_in(load_module(str(path))).items()
}
SPOILT = """
from tests.bench.spoil import with_a_spoilt_arm

EXPERIMENT = with_a_spoilt_arm({file!r}, {name!r})
"""


@pytest.fixture(scope="module")
def server():
    server = ForkServer("tensorflow")
    yield server
    server.close()


@pytest.mark.parametrize("name", DECLARED)
def test_guards_hold_for_every_arm_and_break_for_a_spoilt_one(name, server, tmp_path):
    path, experiment = DECLARED[name]
    file = tmp_path / "bench_spoilt.py"
    file.write_text(SPOILT.format(file=str(path), name=name))
    case = next((case for case in experiment.cases if case.quick), experiment.cases[0])
    task = Task(str(file), name, case.id, "tensorflow", Plan())
    guarded = ("trial", "guard", "failure", "absent")
    rehearsal = takewhile(lambda line: line.kind in guarded, run_trial(task, server))
    data = group(rehearsal)[task.trial]
    assert data.failures == []
    for absent in data.absences:
        if absent.arm == experiment.baseline.name:
            pytest.skip(f"not measured here: {absent.reason}")
    assert {check.arm for check in data.broken} == {"spoilt"}
    whole = {check.arm for check in data.checks} - {"spoilt"}
    assert whole | {absent.arm for absent in data.absences} == {a.name for a in experiment.arms}
