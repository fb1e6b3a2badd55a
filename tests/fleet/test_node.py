"""What a node carries out, without Ray: runs by clean processes, shipped, and continued."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import groupby, takewhile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from keras_ab.bench.fleet import clean, node
from keras_ab.bench.fleet.asked import Asked, ordered
from keras_ab.bench.fleet.choosing import choose
from keras_ab.bench.fleet.node import Errand, alone, carry_out, examine, folder_of
from keras_ab.bench.fleet.orders import checked
from keras_ab.bench.fleet.software import packed
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.parts import content, kept
from keras_ab.bench.lab.record.run_file import parse_run, read_run
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.errors import DeclarationError
from tests.bench.invocation import FAST, TINY

NODE = Node(name="n1", kind="cpu", fleet="f", unit="cpu-1")
TRIALS = ["tiny[scale:1]", "tiny[scale:2]"]


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Return a bench file as it is sent to nodes, and stand in its folder."""
    folder = tmp_path / "sent"
    folder.mkdir()
    shutil.copy(TINY, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KERAS_AB_FLEET_FOLDER", str(tmp_path / "node"))
    monkeypatch.setattr(node, "LOOK_S", 0.02)
    return packed(folder)


@pytest.fixture
def asked(tmp_path):
    """Return what asks a node for trials of the bench file, by default for one of its two."""

    def errand(*trials, slowly=False, **more):
        arguments = ["bench_tiny.py", *FAST, *(["--ab-sample-time", "0.02"] if slowly else [])]
        told = {"store": str(tmp_path / "store"), "node": NODE, "trials": trials or TRIALS[1:]}
        return Errand(arguments=arguments, **(told | more))

    return errand


def carried_out(errand, code, tmp_path):
    return list(carry_out(errand, code, tmp_path / "lock"))


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


def test_a_backend_that_nobody_asked_for_is_chosen_here_and_told_to_every_node(code):
    chosen = choose(["bench_tiny.py"])
    assert chosen.backend == "plain"
    order = ordered(Asked("store"), ["bench_tiny.py"], chosen, [SimpleNamespace(kind="a")], b"")
    assert checked(order.arguments) == ["bench_tiny.py", "--ab-backend=plain"]


@pytest.mark.parametrize("arguments", [["-k", "alchemy"], ["--ab-rounds", "x"]])
def test_arguments_that_select_nothing_are_refused(code, arguments):
    with pytest.raises(DeclarationError, match="select at least one trial"):
        choose(["bench_tiny.py", *FAST, *arguments])


def test_a_run_is_made_and_shipped_whole(code, asked, tmp_path):
    *said, last = carried_out(asked(), code, tmp_path)
    assert (last.what, last.said) == ("measured", "f.cpu-1.1.jsonl")
    assert any("trial 1 of 1" in event.said for event in said)
    names = sorted(store(tmp_path / "store").names())
    assert names == ["f/cpu-1/1.json", "f/cpu-1/f.cpu-1.1.jsonl"]
    run = shipped(tmp_path)
    assert run.sealed
    assert run.header.run == "f.cpu-1.1"
    assert list(group(run.records)) == TRIALS[1:]
    assert run.header.node == NODE.model_copy(update={"cores": sorted(os.sched_getaffinity(0))})
    assert run.header.selection.trials == TRIALS[1:]


def test_what_ray_sets_does_not_reach_the_measurement(code, asked, tmp_path, monkeypatch):
    owner = dict(os.environ)
    monkeypatch.setattr(clean, "owners_environment", lambda: clean.environment(owner))
    for name, value in {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "RAY_X": "1"}.items():
        monkeypatch.setenv(name, value)
    assert carried_out(asked(), code, tmp_path)[-1].what == "measured"
    variables = shipped(tmp_path).header.environment["variables"]
    assert variables.get("OMP_NUM_THREADS") == owner.get("OMP_NUM_THREADS")
    assert variables.get("CUDA_VISIBLE_DEVICES") == owner.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"variables": {"OMP_NUM_THREADS": "64"}}, "variables.OMP_NUM_THREADS: '64' → None"),
        ({"node": {"cores": [0, 1, 2, 999]}}, "cores: [0, 1, 2, 999] → "),
    ],
)
def test_other_threads_or_processors_than_the_owners_are_refused(
    code, asked, tmp_path, monkeypatch, changed, message
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    true = clean.owned

    def owned(of):
        told = true(of.model_copy(update=changed.get("node", {})))
        if "node" in changed:
            told = type(told)(told.node.model_copy(update=changed["node"]), told.variables)
        return type(told)(told.node, {**told.variables, **changed.get("variables", {})})

    monkeypatch.setattr(clean, "owned", owned)
    last = carried_out(asked(), code, tmp_path)[-1]
    assert last.what == "failed"
    assert "a node measures with the processors, threads and devices" in last.said
    assert message in last.said
    assert list(store(tmp_path / "store").names()) == ["f/cpu-1/1.json"]


def under_way(errand, code, tmp_path, blocks):
    """Carry out until so many blocks have been told, then be gone as one who is killed."""
    events = carry_out(errand, code, tmp_path / "lock")
    told = (event for event in events if event.said.startswith("  block"))
    list(takewhile(lambda pair: pair[0] < blocks, enumerate(told, 1)))
    events.close()


def rounds(run):
    return [(r.trial, r.block, r.round) for r in run.records if r.kind == "round"]


def assert_no_gap(run):
    for _, numbers in groupby(rounds(run), key=lambda r: r[:2]):
        listed = [number for *_, number in numbers]
        assert listed == list(range(len(listed)))


@pytest.mark.parametrize("lost", ["the last part", "the file"])
def test_a_run_is_continued_from_the_node_or_from_the_store(code, asked, tmp_path, lost):
    errand = asked(slowly=True)
    under_way(errand, code, tmp_path, blocks=3)
    path = folder_of(NODE) / "runs" / "f.cpu-1.1.jsonl"
    there, place = read_run(path), store(tmp_path / "store")
    (run,) = kept(place.names())
    if lost == "the last part":
        place.remove(run.parts[-1:])
    if lost == "the file":
        path.unlink()
        there = shipped(tmp_path)
    last = carried_out(asked(slowly=True, continued=True), code, tmp_path)[-1]
    assert last.what == "measured"
    run = shipped(tmp_path)
    assert run.sealed
    assert run.records[: len(there.records)] == there.records
    assert_no_gap(run)
    assert all(data.end for data in group(run.records).values())


def test_a_sealed_run_that_was_not_shipped_is_shipped_and_not_measured_again(code, asked, tmp_path):
    carried_out(asked(), code, tmp_path)
    whole = store(tmp_path / "store").read("f/cpu-1/f.cpu-1.1.jsonl")
    store(tmp_path / "store").remove(["f/cpu-1/f.cpu-1.1.jsonl"])
    events = carried_out(asked(continued=True), code, tmp_path)
    assert [event.what for event in events] == ["measured"]
    assert store(tmp_path / "store").read("f/cpu-1/f.cpu-1.1.jsonl") == whole


def test_a_machine_is_waited_for(code, asked, tmp_path):
    events = carry_out(asked(), code, tmp_path / "lock")
    with alone(tmp_path / "lock") as free:
        assert free
        assert next(events).said == "waits until the machine is free"
    assert list(events)[-1].what == "measured"


def test_a_store_that_cannot_be_written_is_said_before_anything_is_measured(code, asked, tmp_path):
    (tmp_path / "store").write_text("no folder")
    (only,) = carried_out(asked(), code, tmp_path)
    assert only.what == "failed"
    assert "a store can be written to" in only.said
    assert not list((folder_of(NODE) / "runs").iterdir())


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


def test_the_doctor_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(node, "LOOK_S", 0.1)
    *_, last = examine("plain", "n1", tmp_path / "lock")
    assert last.what == "measured"
    assert "noise floor" in last.said
    with alone(tmp_path / "lock"):
        (only,) = examine("plain", "n1", tmp_path / "lock")
    assert only.what == "failed"
