"""Whatever an arm does is a failure of its own: never of another arm, of the run, or untyped."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from keras_ab.bench.lab.loop.asking import NoAnswer, WorkerLost, ask
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.run_file import encode
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import protocol, wire
from keras_ab.bench.lab.worker.handler import Handler
from tests.bench.experiments.bench_hostile import HARMLESS, HOSTILE

FILE = str(Path(__file__).parent / "experiments" / "bench_hostile.py")
TASK = Task(FILE, "hostile", "only", "plain", Plan(min_blocks=2, max_blocks=2, rounds=2))


@pytest.fixture(scope="module")
def server():
    server = ForkServer("plain")
    yield server
    server.close()


@pytest.fixture(scope="module")
def trial(server):
    return group(measure_trial(TASK, server))[TASK.trial]


@pytest.fixture
def worker(server):
    worker = server.start()
    yield worker
    worker.stop()


def building(arm, file=FILE, experiment="hostile"):
    return protocol.Build(protocol.ArmNames(file, experiment, arm, "only", "plain"), 1)


@pytest.mark.parametrize(
    ("arm", "what", "message"),
    [
        ("notes_that_are_no_strings", "raised", "notes.kernel: Input should be a valid string"),
        ("notes_without_end", "raised", "notes.kernel: String should have at most 20000"),
        ("sizes_that_are_text", "raised", "weights_bytes='8'"),
        ("sizes_that_are_arrays", "raised", "weights_bytes=array([0., 0., 0.])"),
        ("nan_sizes", "raised", "weights_bytes=nan"),
        ("infinite_sizes", "raised", "weights_bytes=np.float32(inf)"),
        ("misspelt_sizes", "raised", "received: 'weight_bytes'"),
        ("unspeakable", "raised", "Unspeakable: its message cannot be shown: RuntimeError"),
        ("verbose", "raised", "characters left out"),
        ("no_utf8", "raised", r"file \udcff\udc80 is missing"),
        ("noisy", "killed", "the process ended with exit status 3"),
        ("closes_its_descriptors", "killed", "its connection was closed"),
        ("leaves_with_the_stack", "raised", "SystemExit: 0"),
        ("crashes_with_a_child", "killed", "the process was killed by SIGSEGV"),
        ("observes_text", "raised", "answer holds <U1, no numbers"),
        ("observes_objects", "raised", "Object arrays cannot be loaded"),
    ],
)
def test_what_an_arm_does_is_its_own_failure(trial, arm, what, message):
    (failure,) = [f for f in trial.failures if f.arm == arm]
    assert failure.what == what
    assert message in failure.message
    assert failure.stage == "build"


def test_no_other_arm_has_any_harm_of_it(trial):
    assert {f.arm for f in trial.failures} == set(HOSTILE)
    assert trial.end.reason in ("precise", "max_blocks")
    assert all(set(b.values) == {"good", "control", *HARMLESS} for b in trial.blocks.values())


def test_an_error_in_three_parts_keeps_them(trial):
    (failure,) = [f for f in trial.failures if f.arm == "nan_sizes"]
    assert failure.refusal.must == "the sizes of an arm are finite numbers"
    assert failure.refusal.received == "weights_bytes=nan"
    (failure,) = [f for f in trial.failures if f.arm == "no_utf8"]
    assert failure.refusal is None


def test_numpys_numbers_are_numbers(trial):
    assert {b.values["numpys_numbers"]["weights_bytes"] for b in trial.blocks.values()} == {3.0}


def test_no_record_is_without_end(trial):
    assert max(len(encode(record)) for record in trial.records) < 200_000


def test_what_arms_started_has_ended_with_them(trial):
    children = [int(b.notes["leaves_children"]["child"]) for b in trial.blocks.values()]
    assert len(children) == 2
    assert not [pid for pid in children if psutil.pid_exists(pid) and not is_zombie(pid)]


def is_zombie(pid):
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_attempt_that_returns_something_else_has_raised(trial):
    found = trial.attempt("", "say_nothing_useful")
    assert found.what == "raised"
    assert "a worker's answer to Try is of the declared type" in found.message
    assert len(trial.attempt("", "talk").message) < 30_000


def test_the_forkservers_folder_outlives_its_workers(server, worker):
    with pytest.raises(NoAnswer, match="SystemExit"):
        ask(worker, building("leaves_with_the_stack"), 60)
    with pytest.raises(NoAnswer, match="connection was closed"):
        ask(worker, building("closes_its_descriptors"), 60)
    assert Path(server._folder).is_dir()


def test_a_process_that_is_killed_takes_what_it_started_along(server):
    worker = server.start()
    built = ask(worker, building("leaves_children"), 60)
    child = psutil.Process(int(built.notes["child"]))
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(NoAnswer, match="SIGKILL"):
        ask(worker, protocol.Finish(), 60)
    _, alive = psutil.wait_procs([child], timeout=30)
    assert not alive


def test_every_request_is_answered_and_survives_the_wire():
    answered = Handler.__dict__["answer"].dispatcher.registry
    assert set(answered) - {object} == set(protocol.REQUESTS)
    build = building("good")
    assert wire.decode(wire.encode(build)) == build


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"A",
        b"Anull",
        b"A{}",
        b'A{"duration_s": NaN, "cpu_s": 0}',
        b'A{"duration_s": 1e400, "cpu_s": 0}',
        b'A{"duration_s": -1, "cpu_s": 0}',
        b'A{"duration_s": "1", "cpu_s": 0}',
        b'A{"duration_s": 1, "cpu_s": 0, "more": 1}',
        b"A" + b"[" * 100_000,
        b"A\xff\xfe",
        b'T{"what": "raised"}',
        b'T{"what": "timed out", "message": "no"}',
        b'T{"what": "raised", "message": "\\ud800"}',
        b"X{}",
    ],
)
def test_an_answer_that_does_not_fit_is_a_trouble(data):
    class Lying:
        def send(self, _data):
            pass

        def receive(self, _limit_s):
            return data

    with pytest.raises(NoAnswer) as why:
        ask(Lying(), protocol.Sample(1), 1)
    assert why.value.what == "raised"
    assert why.value.refusal.must == "a worker's answer to Sample is of the declared type"


def test_a_duration_is_finite():
    asked = protocol.Traced(1, 1)
    assert wire.decode_answer(asked, b"A0.5") == 0.5
    assert isinstance(wire.decode_answer(asked, b"A1e400"), protocol.Trouble)


def test_an_answer_that_is_too_long_is_not_read(server, monkeypatch):
    monkeypatch.setattr("keras_ab.bench.lab.loop.worker_process.MOST_BYTES", 10)
    worker = server.start()
    worker.send(wire.encode(protocol.Facts("plain")))
    with pytest.raises(WorkerLost, match="longer than 10 bytes"):
        worker.receive(60)
