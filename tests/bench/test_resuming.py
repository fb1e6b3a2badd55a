"""What is continued, and what is not: runs under way, broken files, other code, full disks."""

import signal
from pathlib import Path

import pytest

from keras_ab.bench.lab.loop import session as sessions
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.loop.session import Session, last_cut_off
from keras_ab.bench.lab.record.declared import Selection
from keras_ab.bench.lab.record.imported import abridged
from keras_ab.bench.lab.record.locks import locked
from keras_ab.bench.lab.record.records import Attempted
from keras_ab.bench.lab.record.run_file import RunWriter, read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.full_disk import full_disk
from tests.bench.invocation import TINY, benchmark, start, wait_for_lines
from tests.reports import simulated

SELECTED = Selection(places=[TINY], cases="quick")
PLAN = Plan(min_blocks=2, max_blocks=2, rounds=2, sample_time_s=1e-4, budget_s=60)


def begun(path, selection=SELECTED):
    """Return the writer of a run that has a header and no seal."""
    header = simulated.header(path.stem).model_copy(update={"selection": selection})
    return RunWriter.create(path, header)


def test_a_run_under_way_is_not_continued_and_loses_nothing(tmp_path):
    process = start(tmp_path, TINY, "--ab-sample-time", "0.03")
    wait_for_lines(process, tmp_path, 12)
    process.send_signal(signal.SIGSTOP)  # however long the two below take, it is not over
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    newest = benchmark(tmp_path, TINY, "--ab-resume")
    named = benchmark(tmp_path, TINY, f"--ab-resume={path}")
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert newest.returncode == 4
    assert f"{path.relative_to(tmp_path)}: it is being measured now" in newest.stderr
    assert named.returncode != 0
    assert "is being measured now" in named.stdout
    run = read_run(path)
    assert run.sealed
    assert not [record for record in run.records if record.kind == "resumed"]


def test_a_run_under_way_is_refused_before_a_framework_is_started(tmp_path, monkeypatch):
    writer = begun(tmp_path / "r.jsonl")
    monkeypatch.delattr(sessions, "ForkServer")
    with pytest.raises(RecordError, match="is being measured now"):
        Session.resume(tmp_path / "r.jsonl", "plain")
    writer.close()


def test_what_a_run_starts_does_not_hold_its_file(tmp_path):
    """A worker may outlive a measuring process that was killed, for a moment or for good."""
    path = tmp_path / "r.jsonl"
    writer = begun(path)
    server = ForkServer("plain")
    worker = server.start()
    try:
        assert locked(path)
        writer.close()
        assert not locked(path)
    finally:
        worker.stop()
        server.close()


def test_a_refused_run_can_be_continued_by_another_process(tmp_path):
    begun(tmp_path / "r.jsonl").close()
    with pytest.raises(RecordError, match="on the same machine"):
        Session.resume(tmp_path / "r.jsonl", "plain")
    assert not locked(tmp_path / "r.jsonl")


def test_the_newest_that_can_be_continued_is_and_the_others_are_named(tmp_path):
    for name in ("a", "b"):
        begun(tmp_path / f"{name}.jsonl").close()
    begun(tmp_path / "c.jsonl").seal()
    (tmp_path / "d.jsonl").touch()
    begun(tmp_path / "e.jsonl", None).close()
    under_way = begun(tmp_path / "f.jsonl")
    path, passed = last_cut_off(tmp_path)
    under_way.close()
    assert path == tmp_path / "b.jsonl"
    assert passed == [
        f"{tmp_path / 'f.jsonl'}: it is being measured now",
        f"{tmp_path / 'e.jsonl'}: it does not tell what was selected",
        f"{tmp_path / 'd.jsonl'}: 0 bytes without a whole line",
    ]


def test_where_none_can_be_continued_it_says_why(tmp_path):
    (tmp_path / "d.jsonl").touch()
    begun(tmp_path / "c.jsonl").seal()
    with pytest.raises(RecordError, match="0 bytes without a whole line") as refused:
        last_cut_off(tmp_path)
    assert refused.value.received.startswith(str(tmp_path / "d.jsonl"))


def test_what_is_passed_over_is_said(tmp_path):
    process = start(tmp_path, TINY, "-k", "scale:1", "--ab-sample-time", "0.01")
    wait_for_lines(process, tmp_path, 12)
    process.kill()
    process.communicate()
    (tmp_path / "runs" / "z.jsonl").touch()
    resumed = benchmark(tmp_path, TINY, "--ab-resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "not continued: runs/z.jsonl: 0 bytes without a whole line" in resumed.stdout


def test_a_run_that_pytest_did_not_begin_is_not_filled_with_the_default_suite(tmp_path):
    begun(path := tmp_path / "runs" / "r.jsonl", None).close()
    before = path.read_bytes()
    named = benchmark(tmp_path, f"--ab-resume={path}")
    assert named.returncode == 4
    assert "tells what was selected" in named.stderr
    assert "begin a run of keras-ab try anew" in named.stderr
    newest = benchmark(tmp_path, "--ab-resume")
    assert newest.returncode == 4
    assert "r.jsonl: it does not tell what was selected" in newest.stderr
    assert path.read_bytes() == before


SEALING_ON_A_FULL_DISK = """
from keras_ab.bench.lab.record.run_file import RunWriter
from tests.bench.full_disk import full_disk

def sealed(writer, seal=RunWriter.seal):
    with full_disk():
        seal(writer)

RunWriter.seal = sealed
"""


def test_a_disk_that_is_full_when_a_run_is_sealed_is_a_refusal(tmp_path, monkeypatch):
    (tmp_path / "no_room.py").write_text(SEALING_ON_A_FULL_DISK)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    result = benchmark(tmp_path, TINY, "-k", "scale:1", "-p", "no_room")
    assert result.returncode == 1
    assert "INTERNALERROR" not in result.stdout + result.stderr
    assert "every record reaches the disk" in result.stdout
    assert "cut off; continue with: pytest --benchmark" in result.stdout
    assert "tiny, scale 1" in result.stdout
    assert benchmark(tmp_path, TINY, "--ab-resume").returncode == 0
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    assert read_run(path).sealed


def test_a_page_that_cannot_be_written_is_a_refusal_and_ends_no_measurement(tmp_path):
    process = start(tmp_path, TINY, "-k", "scale:1", "--ab-sample-time", "0.01")
    wait_for_lines(process, tmp_path, 12)
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    path.with_suffix(".html").mkdir()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "the report can be written\n  received: " in output
    assert read_run(path).sealed


def test_a_run_that_cannot_be_begun_leaves_nothing_behind(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(
        ForkServer, "close", lambda server, close=ForkServer.close: closed.append(close(server))
    )
    with full_disk(), pytest.raises(RecordError, match="nothing was measured"):
        RunWriter.create(tmp_path / "r.jsonl", simulated.header("r"))
    monkeypatch.setattr(sessions, "check_writable", lambda _folder: None)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="choose another with --ab-runs"):
        Session.begin(tmp_path / "file", "plain", PLAN)
    assert closed
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


PACED = """
from keras_ab import Arm, Case, Experiment, Prepared, Source

def plain(_case):
    import pace
    return Prepared(pace.step)

def other(_case):
    import pace, further
    return Prepared(further.step)

EXPERIMENT = Experiment(
    name="paced",
    question="?",
    method=".",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("plain", plain, "plain"), Arm("other", other, "other")),
    cases=(Case({}),),
    backends=("plain",),
)
"""
STEP = "def step():\n    return float(sum(range(200)))\n"


@pytest.fixture
def half(tmp_path, monkeypatch):
    """A trial of code in three files, cut off after its first block: its task and records."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name in ("pace", "further"):
        (folder / f"{name}.py").write_text(STEP)
    (file := folder / "bench_paced.py").write_text(PACED)
    monkeypatch.syspath_prepend(folder)
    task = Task(str(file), "paced", "only", "plain", PLAN)
    lines = measured(task)
    first = next(n for n, line in enumerate(lines) if line.kind == "block")
    return task, lines[: first + 1]


def measured(task, previous=()):
    server = ForkServer("plain")
    try:
        return list(measure_trial(task, server, previous))
    finally:
        server.close()


def test_a_trial_goes_on_with_the_code_that_it_began_with(half):
    task, previous = half
    more = measured(task, previous)
    assert [line.kind for line in more if line.kind in ("block", "failure")] == ["block"]
    assert more[-1].kind == "end"


@pytest.mark.parametrize(("name", "text"), [("pace", STEP + "\n"), ("further", "def step(): 1")])
def test_blocks_of_different_code_are_not_pooled(half, name, text):
    task, previous = half
    Path(task.file).with_name(f"{name}.py").write_text(text)
    with pytest.raises(RecordError, match="is of the same code") as refused:
        measured(task, previous)
    assert refused.value.received == f"paced[only]: {name}.py changed since it began"


def test_what_was_not_measured_begins_anew_with_the_code_of_now(half):
    task, previous = half
    Path(task.file).with_name("pace.py").write_text(STEP + "\n")
    rehearsed = [line for line in previous if line.kind not in ("block", "round")]
    assert measured(task, rehearsed)[-1].kind == "end"
    tried = Attempted(
        trial=task.trial, arm="plain", name="snippet", says="?", what="ran", message=""
    )
    with pytest.raises(RecordError, match="is of the same code"):
        measured(task, [*rehearsed, tried])


def test_an_arm_that_no_longer_runs_is_out_of_the_trial_and_the_others_go_on(half):
    task, previous = half
    Path(task.file).with_name("further.py").write_text("raise ImportError('gone')\n")
    more = measured(task, previous)
    assert [(line.arm, line.stage) for line in more if line.kind == "failure"] == [
        ("other", "build")
    ]
    assert more[-1].reason == "failed"


def test_the_names_of_many_files_are_abridged():
    files = [f"m{n}.py" for n in range(12)]
    assert abridged(files[:2]) == "m0.py, m1.py"
    assert abridged(files).endswith("m9.py and 2 more")
