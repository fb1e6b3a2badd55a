"""An arm that needs another environment or backend gets processes of its own."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab.bench.lab.loop.asking import ask
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.protocol import Try
from tests.bench.experiments.bench_environment import VARIABLE

FILE = str(Path(__file__).parent / "experiments" / "bench_environment.py")
TASK = Task(FILE, "environment", "only", "plain", Plan(min_blocks=2, max_blocks=2, rounds=2))
ELSEWHERE = """
from dataclasses import replace
from tests.bench.experiments.bench_environment import EXPERIMENT as declared

one, two, three = declared.arms
three = replace(three, name="elsewhere", environment={{}}, backend={backend!r})
EXPERIMENT = replace(declared, arms=(one, two, three))
"""
LITTERING = """
from dataclasses import replace
from tempfile import mkstemp
from keras_ab.bench.lab.words.declare import Attempt
from tests.bench.experiments.bench_environment import EXPERIMENT as declared

attempts = (Attempt("litter", "leave a file behind", lambda: mkstemp()[1]),)
EXPERIMENT = replace(declared, attempts=attempts)
"""


@pytest.fixture(scope="module")
def server():
    server = ForkServer("plain")
    yield server
    server.close()


@pytest.fixture(scope="module")
def trial(server):
    return group(measure_trial(TASK, server))[TASK.trial]


def elsewhere(folder, server, backend):
    file = folder / "bench_elsewhere.py"
    file.write_text(ELSEWHERE.format(backend=backend))
    task = replace(TASK, file=str(file))
    return group(measure_trial(task, server))[task.trial]


def test_every_process_of_an_arm_has_the_arm_s_environment(trial):
    assert trial.failures == []
    for block in trial.blocks.values():
        switches = {arm: values["weights_bytes"] for arm, values in block.values.items()}
        assert switches == {"inherited": 0, "control": 0, "two": 2, "three": 3}


def test_an_attempt_is_made_in_the_environment_of_its_arm(trial):
    found = {attempt.arm: attempt.message for attempt in trial.attempts}
    assert found == {"": f"{VARIABLE}=None", "two": f"{VARIABLE}=2"}


def test_a_record_of_an_arm_names_its_environment(trial):
    codes = {arm.name: arm.code.splitlines()[0] for arm in trial.declared.arms}
    assert codes["two"] == f"{VARIABLE}=2"
    assert VARIABLE not in codes["inherited"]


VISIBLE = """
import os
from dataclasses import replace
from keras_ab.bench.lab.words.declare import Attempt
from tests.bench.experiments.bench_environment import EXPERIMENT as declared

attempts = (Attempt("look", "see GPUs", lambda: os.environ.get("CUDA_VISIBLE_DEVICES")),)
EXPERIMENT = replace(declared, attempts=attempts)
"""


def test_an_arm_in_another_environment_sees_the_same_gpu(tmp_path):
    file = tmp_path / "bench_visible.py"
    file.write_text(VISIBLE)
    chosen = ForkServer("plain", device={"CUDA_VISIBLE_DEVICES": "GPU-00aa-0000"})
    with closing(chosen):
        for server in (chosen, chosen.other("plain", {VARIABLE: "2"})):
            worker = server.start()
            looked = Try(str(file), "environment", "look", "plain", 1)
            assert ask(worker, looked, 60) == "GPU-00aa-0000"
            worker.stop()


def test_a_forkserver_is_begun_once_for_each_environment(server):
    first = server.other("plain", {VARIABLE: "2"})
    assert server.other("plain", {VARIABLE: "2"}) is first
    assert server.other("plain", {VARIABLE: "4"}) is not first


def test_forkservers_of_other_environments_end_with_the_first():
    server = ForkServer("plain")
    worker = server.other("plain", {VARIABLE: "5"}).start()
    assert Path(f"/proc/{worker.pid}").exists()
    server.close()
    assert not Path(f"/proc/{worker.pid}").exists()
    worker.stop()  # there is nothing left to end


def test_an_arm_whose_backend_is_not_installed_is_not_measured_here(tmp_path, server, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    data = elsewhere(tmp_path, server, "torch")
    assert [absent.arm for absent in data.absences] == ["elsewhere"]
    assert "pip install 'keras-ab[torch]'" in data.absences[0].reason
    assert data.failures == []
    assert len(data.blocks) == 2


def test_an_arm_whose_backend_cannot_be_imported_fails(tmp_path, server, monkeypatch):
    (tmp_path / "jax.py").write_text("raise RuntimeError('broken build')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    data = elsewhere(tmp_path, server, "jax")
    assert [(failure.arm, failure.stage) for failure in data.failures] == [("elsewhere", "start")]
    assert "broken build" in data.failures[0].message


def test_workers_leave_no_temporary_files(tmp_path):
    file = tmp_path / "bench_littering.py"
    file.write_text(LITTERING)
    server = ForkServer("plain")
    worker = server.start()
    left = Path(str(ask(worker, Try(str(file), "environment", "litter", "plain", 1), 60)))
    worker.stop()
    assert left.exists()
    server.close()
    assert not left.parent.exists()
