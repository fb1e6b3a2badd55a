"""The measuring loop where there is a GPU: energy, precision, memory, clocks, on a fake clock."""

from types import SimpleNamespace

import pytest

from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.loop.arm_process import ArmProcess
from keras_ab.bench.lab.loop.device import CONTEXT_BYTES, Device
from keras_ab.bench.lab.record.records import Round
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.words.steps import MemoryShare
from keras_ab.bench.lab.worker import protocol
from tests.bench.fake_lab import TINY, FakeLab


def test_energy_is_a_metric_like_any_other():
    lab = FakeLab()
    lab.watts, lab.on_gpu = 250.0, ("once", "twice", "control")
    plan = Plan(min_blocks=5, max_blocks=5, rounds=2)
    data = group(lab.run(plan))["tiny[scale:1]"]
    found = assess(data, data.metric("step_energy_j"), "twice", plan)
    assert found.baseline_value == pytest.approx(250.0 * 0.01)
    assert found.shown(found.estimate.point) == pytest.approx(2.0)
    assert found.verdict == "worse"


def test_without_a_counter_no_arm_runs_for_its_energy():
    lab = FakeLab()
    plan = Plan(min_blocks=2, max_blocks=2, rounds=2)
    data = group(lab.run(plan))["tiny[scale:1]"]
    assert "step_energy_j" not in data.blocks[0].values["once"]
    assert lab.calls.count("Sample once") == 2 * (1 + 2)  # the warm-up and two rounds


def test_a_counter_that_is_reset_meanwhile_tells_nothing():
    lab = FakeLab()
    lab.watts, lab.on_gpu = -1.0, ("once", "twice", "control")
    data = group(lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2)))["tiny[scale:1]"]
    assert "step_energy_j" not in data.blocks[0].values["once"]


def test_an_arm_on_the_cpu_gets_no_energy_of_the_gpu_beside_it():
    lab = FakeLab()
    lab.watts, lab.on_gpu = 250.0, ("twice",)
    data = group(lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2)))["tiny[scale:1]"]
    assert "step_energy_j" in data.blocks[0].values["twice"]
    assert "step_energy_j" not in data.blocks[0].values["once"]


def test_guards_are_rehearsed_at_full_precision_and_what_is_timed_is_not():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    assert [asked.products for asked in lab.opened] == ["float32"] * 2 + ["tf32"] * 6
    assert [asked.counted for asked in lab.opened] == [True] * 2 + [False] * 6


def test_every_process_of_a_gpu_has_an_equal_share_of_its_memory():
    lab = FakeLab()
    gpu = SimpleNamespace(memory_bytes=80 * 2**30, state=dict, energy_j=lambda: None)
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2), device=Device(gpu))
    shares = {asked.memory for asked in lab.opened}
    assert shares == {MemoryShare(80 * 2**30 // 3 - CONTEXT_BYTES, 80 * 2**30)}


def test_tuning_on_a_gpu_has_the_time_to_try_kernels_out():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    assert lab.limits_s[protocol.Build] >= 5 * lab.limits_s[protocol.Sample]


def test_a_training_has_the_time_for_its_steps():
    lab, experiment = FakeLab(), load_experiment(TINY, "tiny")
    process = ArmProcess(
        lab.start(), "once", Task(TINY, "tiny", "scale:1", "plain", Plan()), experiment
    )
    assert process.training(1, 0.1, tuning=False)() == {"score": 0.5}
    assert lab.limits_s[protocol.Train] == 30 * experiment.arm("once").time_limit_s


def test_the_hand_over_to_a_gpu_is_kept_with_every_sample():
    lab = FakeLab()
    lab.on_gpu = ("twice",)
    lines = lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    for line in (line for line in lines if isinstance(line, Round)):
        assert line.hand_over_s == pytest.approx({"twice": 0.75 * line.step_time_s["twice"]})


def test_a_gpu_that_was_held_down_while_nobody_looked_is_seen_by_its_counter():
    lab = FakeLab()
    lab.on_gpu = ("twice",)
    lab.slowed_s = [7.0, 7.0, 7.0, 7.5]  # as the round begins, then after each of its samples
    lines = lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    first, second, *_ = (line for line in lines if isinstance(line, Round))
    assert first.gpu["throttled"] == ["power cap"]
    assert second.gpu["throttled"] == []
