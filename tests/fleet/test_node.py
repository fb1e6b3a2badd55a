"""What a node carries out, without Ray: runs by clean processes, shipped, and continued."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path

import psutil
import pytest

from keras_ab.bench.fleet import clean, node, orders
from keras_ab.bench.fleet.choosing import choose, choose_on_node
from keras_ab.bench.fleet.node import Errand, alone, carry_out, examine, folder_of
from keras_ab.bench.fleet.software import packed
from keras_ab.bench.lab.loop.owned import Owned
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.parts import content, kept
from keras_ab.bench.lab.record.run_file import parse_run, read_run
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError
from tests.bench.invocation import FAST, TINY

NODE = Node(name="n1", kind="cpu", fleet="f", unit="cpu-1")
TRIALS = ["tiny[scale:1]", "tiny[scale:2]"]
ORDER = orders.place("f")
RAYS = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "RAY_X": "1"}
"""What Ray sets for its workers."""


def standing(folder, patch):
    """Stand in a folder with a bench file, on a node that keeps what it measures beside it."""
    sent = folder / "sent"
    sent.mkdir(exist_ok=True)
    shutil.copy(TINY, sent)
    patch.chdir(sent)
    patch.setenv("KERAS_AB_FLEET_FOLDER", str(folder / "node"))
    store(folder / "store").replace(ORDER, b"what was asked for")
    patch.setattr(node, "LOOK_S", 0.02)
    return packed(sent)


def errand(folder, *trials, slowly=False, **more):
    """Return what asks a node for trials of the bench file, by default for one of its two."""
    arguments = ["bench_tiny.py", *FAST, *(["--ab-sample-time", "0.02"] if slowly else [])]
    told = {"store": str(folder / "store"), "node": NODE, "trials": trials or TRIALS[1:]}
    return Errand(arguments=arguments, **(told | more))


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Return a bench file as it is sent to nodes, and stand in its folder."""
    return standing(tmp_path, monkeypatch)


@pytest.fixture
def asked(tmp_path):
    """Return what asks a node for trials, to be shipped to a store of this test's own."""
    return partial(errand, tmp_path)


@dataclass
class Made:
    """What came of an errand: where, what was said, and the owner's environment."""

    folder: Path
    said: list
    owner: dict


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Have a run made for which the machine was waited for, as a worker of Ray would make it."""
    folder, owner = tmp_path_factory.mktemp("made"), dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        code = standing(folder, patch)
        patch.setattr(clean, "owners_environment", lambda: clean.environment(owner))
        for name, value in RAYS.items():
            patch.setenv(name, value)
        events = carry_out(errand(folder), code, folder / "lock")
        with alone(folder / "lock") as free:
            assert free
            first = next(events)
        return Made(folder, [first, *events], owner)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """Have a run begun whose measuring process is killed after three blocks; return where."""
    folder = tmp_path_factory.mktemp("half")
    with pytest.MonkeyPatch.context() as patch:
        code = standing(folder, patch)
        events = carry_out(errand(folder, slowly=True), code, folder / "lock")
        told = (event for event in events if event.said.startswith("  block"))
        list(takewhile(lambda pair: pair[0] < 3, enumerate(told, 1)))
        events.close()
    for name in ("node", "store"):
        shutil.copytree(folder / name, folder / "as it was" / name)
    return folder


def carried_out(asked, code, tmp_path):
    return list(carry_out(asked, code, tmp_path / "lock"))


def shipped(tmp_path):
    """Return the run in the store, whole or in parts."""
    place = store(tmp_path / "store")
    (run,) = kept(place.names())
    return parse_run(content(place, run), run.place)


def test_the_trials_that_arguments_select_are_chosen_here(code):
    chosen = choose(["bench_tiny.py", *FAST])
    assert list(chosen.trials) == TRIALS
    assert all(seconds > 0 for seconds in chosen.trials.values())
    assert chosen.backend == "plain"
    assert [Path(file).name for file in chosen.files] == ["bench_tiny.py"]


def test_a_backend_that_nobody_asked_for_is_chosen_here(code):
    chosen = choose(["bench_tiny.py"])
    assert chosen.backend == "plain"


def test_a_node_chooses_from_what_it_was_sent_without_what_ray_sets(code, tmp_path, monkeypatch):
    with (tmp_path / "sent" / "bench_tiny.py").open("a") as file:
        file.write("import os\nassert 'RAY_X' not in os.environ\n")
    sent = packed(tmp_path / "sent")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_X", "1")
    assert list(choose_on_node(["bench_tiny.py", *FAST], sent).trials) == TRIALS


@pytest.mark.parametrize("arguments", [["-k", "alchemy"], ["--ab-rounds", "x"]])
def test_arguments_that_select_nothing_are_refused(code, arguments):
    with pytest.raises(DeclarationError, match="select at least one trial"):
        choose(["bench_tiny.py", *FAST, *arguments])


def test_a_run_is_made_and_shipped_whole(made):
    *said, last = made.said
    assert (last.what, last.said) == ("measured", "f.cpu-1.1.jsonl")
    assert any("trial 1 of 1" in event.said for event in said)
    names = sorted(store(made.folder / "store").names())
    assert names == ["f/cpu-1/1.json", "f/cpu-1/f.cpu-1.1.jsonl", ORDER]
    run = shipped(made.folder)
    assert run.sealed
    assert run.header.run == "f.cpu-1.1"
    assert list(group(run.records)) == TRIALS[1:]
    assert run.header.node == NODE.model_copy(update={"cores": sorted(os.sched_getaffinity(0))})
    assert run.header.selection.trials == TRIALS[1:]


def test_a_machine_is_waited_for(made):
    assert made.said[0].said == "waits until the machine is free"
    assert made.said[-1].what == "measured"


def test_what_ray_sets_does_not_reach_the_measurement(made):
    variables = shipped(made.folder).header.environment["variables"]
    for name in RAYS:
        assert variables.get(name) == made.owner.get(name)


def test_a_sealed_run_that_was_not_shipped_is_shipped_and_not_measured_again(made, monkeypatch):
    code, place = standing(made.folder, monkeypatch), store(made.folder / "store")
    whole = place.read("f/cpu-1/f.cpu-1.1.jsonl")
    place.remove(["f/cpu-1/f.cpu-1.1.jsonl"])
    events = carried_out(errand(made.folder, continued=True), code, made.folder)
    assert [event.what for event in events] == ["measured"]
    assert place.read("f/cpu-1/f.cpu-1.1.jsonl") == whole


def test_other_threads_or_processors_than_the_owners_are_refused(
    code, asked, tmp_path, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    true = clean.owned

    def owned(of):
        told = true(of)
        cores = told.node.model_copy(update={"cores": [0, 1, 2, 999]})
        return Owned(cores, {**told.variables, "OMP_NUM_THREADS": "64"})

    monkeypatch.setattr(clean, "owned", owned)
    last = carried_out(asked(), code, tmp_path)[-1]
    assert last.what == "failed"
    assert "a node measures with the processors, threads and devices" in last.said
    assert "variables.OMP_NUM_THREADS: '64' → None" in last.said
    assert "cores: [0, 1, 2, 999] → " in last.said
    assert list(store(tmp_path / "store").names()) == ["f/cpu-1/1.json", ORDER]


def rounds(run):
    return [(r.trial, r.block, r.round) for r in run.records if r.kind == "round"]


def assert_no_gap(run):
    for _, numbers in groupby(rounds(run), key=lambda r: r[:2]):
        listed = [number for *_, number in numbers]
        assert listed == list(range(len(listed)))


@pytest.mark.parametrize(
    "lost", ["the last part", "the file", "the end of the file", "all in the file"]
)
def test_a_run_is_continued_from_the_node_or_from_the_store(half, monkeypatch, lost):
    code = standing(half, monkeypatch)
    for name in ("node", "store"):
        shutil.rmtree(half / name)
        shutil.copytree(half / "as it was" / name, half / name)
    path = folder_of(NODE) / "runs" / "f.cpu-1.1.jsonl"
    there, place = read_run(path), store(half / "store")
    (run,) = kept(place.names())
    if lost == "the last part":
        place.remove(run.parts[-1:])
    if lost == "the file":
        path.unlink()
        there = shipped(half)
    if lost == "the end of the file":
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:4]) + b"\0\0\0")
        there = shipped(half)
    if lost == "all in the file":
        path.write_bytes(b"")
        there = shipped(half)
    last = carried_out(errand(half, slowly=True, continued=True), code, half)[-1]
    assert last.what == "measured"
    run = shipped(half)
    assert run.sealed
    assert run.records[: len(there.records)] == there.records
    assert_no_gap(run)
    assert all(data.end for data in group(run.records).values())


def test_a_run_is_fetched_whole_or_not_at_all(half, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RecordError, match="No space left"):
        node._fetch(store(half / "as it was" / "store"), NODE.place, tmp_path / "r.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_is_said_before_anything_is_measured(code, asked, tmp_path):
    (tmp_path / "store" / "f").write_text("no folder")
    (only,) = carried_out(asked(), code, tmp_path)
    assert only.what == "failed"
    assert "a store can be written to" in only.said
    assert not list((folder_of(NODE) / "runs").iterdir())


def test_a_run_of_which_nothing_reached_disk_or_store_is_begun(code, asked, tmp_path):
    runs = folder_of(NODE) / "runs"
    runs.mkdir(parents=True)
    (runs / "f.cpu-1.1.jsonl").write_bytes(b'{"kind":"head')
    last = carried_out(asked(continued=True), code, tmp_path)[-1]
    assert last.what == "measured"
    assert list(group(shipped(tmp_path).records)) == TRIALS[1:]


def test_a_store_in_which_nobody_asked_is_refused_before_anything_is_written(code, asked, tmp_path):
    """As a folder of the asker's is where it is not shared: each node would have its own."""
    (only,) = carried_out(asked(store=str(tmp_path / "own")), code, tmp_path)
    assert only.what == "failed"
    assert "finds in the store what its fleet was asked for" in only.said
    assert "on node n1, " in only.said
    assert "what to do: name a store that all nodes have" in only.said
    assert not (tmp_path / "own").exists()


def test_a_lock_that_cannot_be_read_is_said_in_three_parts(code, asked, tmp_path):
    (tmp_path / "lock").mkdir()
    (only,) = carried_out(asked(), code, tmp_path)
    (looked,) = examine("plain", "n1", tmp_path / "lock")
    for event in (only, looked):
        assert event.what == "failed"
        assert "all who measure on a machine can read its lock" in event.said
        assert "what to do: " in event.said


def test_a_lock_is_held_by_reading_so_that_another_user_can(tmp_path):
    (tmp_path / "lock").touch(0o444)
    with node._opened(tmp_path / "lock") as file:
        assert not file.writable()
    with alone(tmp_path / "lock") as first, alone(tmp_path / "lock") as second:
        assert (first, second) == (True, False)


def test_a_run_that_another_has_claimed_is_not_made(code, asked, tmp_path):
    store(tmp_path / "store").create("f/cpu-1/1.json", b"theirs")
    (only,) = carried_out(asked(), code, tmp_path)
    assert only.what == "failed"
    assert "is there already" in only.said


def test_a_bench_file_that_is_broken_says_why(code, asked, tmp_path):
    (tmp_path / "sent" / "bench_tiny.py").write_text("raise ValueError('no good')")
    last = carried_out(asked(), packed(tmp_path / "sent"), tmp_path)[-1]
    assert last.what == "failed"
    assert "no good" in last.said


def test_a_process_ends_with_whoever_asked_for_it(tmp_path):
    """However that ends: here by SIGKILL."""
    asks = (
        "import sys, time\nfrom pathlib import Path\n"
        "from keras_ab.bench.fleet import clean\n"
        "log = Path(sys.argv[1])\n"
        "p = clean.start(['-c', 'import time; time.sleep(600)'], log.parent, log)\n"
        "print(p.pid, flush=True)\ntime.sleep(600)\n"
    )
    asker = subprocess.Popen(
        [sys.executable, "-c", asks, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    process = psutil.Process(int(asker.stdout.readline()))
    asker.send_signal(signal.SIGKILL)
    asker.communicate()
    gone, _ = psutil.wait_procs([process], timeout=30)
    assert gone


@pytest.mark.parametrize(("says", "what"), [("print('noise')", "measured"), ("1 / 0", "failed")])
def test_the_doctor_is_asked(tmp_path, monkeypatch, says, what):
    """In place of a minute's noise floor something short is said; see test_command_line."""
    asked, start = [], clean.start

    def started(arguments, *where):
        asked.append(arguments)
        return start(["-c", says], *where)

    monkeypatch.setattr(node, "LOOK_S", 0.02)
    monkeypatch.setattr(clean, "start", started)
    *_, last = examine("plain", "n1", tmp_path / "lock")
    assert asked == [["-m", "keras_ab.command_line", "doctor", "--backend", "plain"]]
    assert last.what == what
    assert last.said.splitlines()[-1] in ("noise", "ZeroDivisionError: division by zero")


def test_the_doctor_does_not_look_while_another_measures(tmp_path):
    with alone(tmp_path / "lock"):
        (only,) = examine("plain", "n1", tmp_path / "lock")
    assert (only.what, only.said) == ("failed", "another measures on this machine")
