"""What others use of the machine is what is busy, but for the workers and the lab itself."""

import psutil
import pytest

from keras_ab.bench.lab.loop import load

TIMES = type(psutil.cpu_times())


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clocks stand still: seconds so far, of the wall, of all and of this one."""
    so_far = {"wall": 5.0, "busy": 7.0, "own": 1.0}
    monkeypatch.setattr(load.clock, "now", lambda: so_far["wall"])
    monkeypatch.setattr(load.clock, "cpu_now", lambda: so_far["own"])
    monkeypatch.setattr(load, "_busy_s", lambda: so_far["busy"])
    return so_far


@pytest.mark.parametrize(("busy_s", "others"), [(6.0, 1.5), (3.0, 0.0), (2.5, 0.0)])
def test_what_the_lab_and_its_workers_use_is_not_others(machine, busy_s, others):
    gauge = load.Load()
    gauge.begin()
    machine["wall"] += 2.0
    machine["own"] += 1.0
    machine["busy"] += busy_s
    assert gauge.others(workers_cpu_s=2.0) == others


def test_what_is_idle_or_waits_is_not_busy(monkeypatch):
    fields = dict.fromkeys(TIMES._fields, 0.0) | {"user": 4.0, "system": 2.0, "idle": 50.0}
    if "iowait" in fields:
        fields["iowait"] = 8.0
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: TIMES(**fields))
    assert load._busy_s() == 6.0
