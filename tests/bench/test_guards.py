"""Every experiment's guards hold for its arms, and break for an arm that is spoilt."""

import pytest

from keras_ab.bench.lab.loop.forkserver import ForkServer
from tests.bench.declared import DECLARED, rehearse

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
    data = rehearse(file, name, "tensorflow", server)
    assert data.failures == []
    for absent in data.absences:
        if absent.arm == experiment.baseline.name:
            pytest.skip(f"not measured here: {absent.reason}")
    assert {check.arm for check in data.broken} == {"spoilt"}
    whole = {check.arm for check in data.checks} - {"spoilt"}
    assert whole | {absent.arm for absent in data.absences} == {a.name for a in experiment.arms}
