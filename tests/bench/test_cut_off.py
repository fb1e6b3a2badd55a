"""Runs that are killed or interrupted: nothing measured is lost, and they can be continued."""

import random
import re
import shutil
import signal
from itertools import groupby
from pathlib import Path

import psutil
import pytest

from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.invocation import TINY, benchmark, start, wait_for_lines

KILLS = 5
SLOWLY = ("--ab-sample-time", "0.01")
"""Long enough for a kill to fall between two lines or into one."""

WHOLE = 2 * (1 + 1 + 2 + 5 * (4 + 1) + 1)
"""Lines of a whole run of two trials: what is declared and imported, guards, five blocks, end."""


def the_run(folder):
    (path,) = (folder / "runs").glob("*.jsonl")
    return read_run(path)


def recorded_rounds(run):
    return [(r.trial, r.block, r.round) for r in run.records if r.kind == "round"]


def assert_no_round_is_missing(run):
    """Rounds are written one by one: a gap would be a loss."""
    for _, rounds in groupby(recorded_rounds(run), key=lambda r: r[:2]):
        numbers = [number for *_, number in rounds]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment_loses_at_most_the_round_under_way(
    tmp_path, tmp_path_factory, monkeypatch, seed
):
    """Five kills a run, four runs: twenty random moments in all. No temporary file is left."""
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(scratch))
    moments = sorted(random.Random(seed).sample(range(2, WHOLE - 16), KILLS))
    kept: list = []
    for moment in moments:
        process = start(tmp_path, TINY, *SLOWLY, *(["--ab-resume"] if kept else []))
        wait_for_lines(process, tmp_path, max(moment, len(kept) + 2))
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
        assert not list(scratch.iterdir())
        run = the_run(tmp_path)
        assert run.records[: len(kept)] == kept
        assert_no_round_is_missing(run)
        kept = run.records
    result = benchmark(tmp_path, TINY, "--ab-resume")
    assert result.returncode == 0, result.stdout + result.stderr
    run = the_run(tmp_path)
    assert run.sealed
    assert run.records[: len(kept)] == kept
    trials = group(run.records)
    assert all(len(data.blocks) >= 5 for data in trials.values())
    assert all(data.end for data in trials.values())


def test_ctrl_c_keeps_and_reports_what_was_measured(tmp_path):
    """In a project of its own: here warnings are errors, and one tells of a file left open."""
    tiny = shutil.copy(TINY, tmp_path)
    process = start(tmp_path, tiny, "--ab-sample-time", "0.02")
    wait_for_lines(process, tmp_path, WHOLE // 2 + 8)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 2, output
    assert "tiny, scale 1" in output
    assert ".html" in output
    assert "--ab-resume" in output
    run = the_run(tmp_path)
    assert not run.sealed
    assert group(run.records)["tiny[scale:1]"].end
    assert benchmark(tmp_path, tiny, "--ab-resume").returncode == 0
    assert the_run(tmp_path).sealed


def cut_off(folder):
    process = start(folder, TINY)
    wait_for_lines(process, folder, 12)
    process.kill()
    process.communicate()
    return the_run(folder)


def test_a_run_is_continued_with_its_own_selection_from_anywhere(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    tiny = shutil.copy(TINY, tmp_path)
    process = start(here, f"{tiny}::tiny[scale:2-once]", f"{tiny}::tiny[scale:2-twice]", *SLOWLY)
    wait_for_lines(process, here, 12)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    (hint,) = re.findall(r"continue with: pytest --benchmark (\S+)", output)
    assert hint == f"--ab-resume={(here / 'runs' / the_run(here).path.name).relative_to(here)}"
    resumed = benchmark(elsewhere, f"--ab-resume={the_run(here).path}")
    assert resumed.returncode == 0, resumed.stdout
    run = the_run(here)
    assert run.sealed
    assert list(group(run.records)) == ["tiny[scale:2]"]


def test_where_the_file_does_not_tell_a_folder_it_is_named_again(tmp_path):
    """Neither below home nor beside the run: nobody else need know of it."""
    process = start(tmp_path, TINY, "-k", "scale:1", *SLOWLY)
    wait_for_lines(process, tmp_path, 12)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    (place,) = the_run(tmp_path).header.selection.places
    if not place.startswith("…"):
        pytest.skip("these tests lie where a run file tells of them")
    assert f"continue with: pytest --benchmark {TINY} --ab-resume=" in output
    refused = benchmark(tmp_path, "--ab-resume")
    assert "finds its experiments again" in refused.stderr
    assert f"…/{Path(TINY).name}, in a folder that its file does not tell" in refused.stderr
    assert benchmark(tmp_path, TINY, "--ab-resume").returncode == 0
    assert list(group(the_run(tmp_path).records)) == ["tiny[scale:1]"]


def test_a_keyword_and_the_backend_are_part_of_the_selection(tmp_path):
    process = start(tmp_path, TINY, "-k", "scale:2", *SLOWLY)
    wait_for_lines(process, tmp_path, 12)
    process.kill()
    process.communicate()
    resumed = benchmark(tmp_path, TINY, "--ab-backend", "jax", "--ab-cases", "full", "--ab-resume")
    assert resumed.returncode == 0, resumed.stdout
    assert list(group(the_run(tmp_path).records)) == ["tiny[scale:2]"]


def test_a_run_whose_folder_is_removed_midway_is_not_passed(tmp_path):
    process = start(tmp_path, TINY, *SLOWLY)
    wait_for_lines(process, tmp_path, 12)
    shutil.rmtree(tmp_path / "runs")
    output, _ = process.communicate()
    assert process.returncode == 2
    assert "a run file stays where it is while it is measured" in output
    assert "is gone; what is left is said above" in output
    assert "Traceback" not in output
    saved = Path(re.search(r"what was measured is in (\S+);", output)[1])
    assert len(read_run(saved).records) >= 10
    saved.unlink()


def test_a_run_from_another_machine_is_not_continued(tmp_path):
    run = cut_off(tmp_path)
    text = run.path.read_text()
    run.path.write_text(text.replace(run.header.machine["cpu"], "Another CPU", 1))
    result = benchmark(tmp_path, TINY, "--ab-resume")
    assert result.returncode != 0
    assert "cpu: 'Another CPU' → " in result.stdout
    assert the_run(tmp_path).records == run.records


def test_a_run_from_another_environment_is_not_continued(tmp_path, monkeypatch):
    cut_off(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    result = benchmark(tmp_path, TINY, "--ab-resume")
    assert "variables.OMP_NUM_THREADS: None → '7'" in result.stdout


def test_a_whole_run_is_not_continued(tmp_path):
    assert benchmark(tmp_path, TINY, "-k", "scale:1").returncode == 0
    path = the_run(tmp_path).path
    result = benchmark(tmp_path, TINY, f"--ab-resume={path}")
    assert "has its seal" in result.stdout


def test_the_plan_of_a_run_is_kept_when_it_is_continued(tmp_path):
    before = cut_off(tmp_path).header.plan
    benchmark(tmp_path, TINY, "--ab-resume", "--ab-rounds", "9")
    run = the_run(tmp_path)
    assert run.header.plan == before
    assert max(number for *_, number in recorded_rounds(run)) == 3


class Dropped:
    """Is told Ctrl-C by its own end, where Python drops what that raises."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_heard_where_python_drops_it(tmp_path):
    usual, heard = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    session = Session.begin(tmp_path, "plain", Plan(min_blocks=5, rounds=4, sample_time_s=1e-4))

    def progress(line, _data):
        heard.append(line)
        if line.kind == "round":
            Dropped()

    try:
        with pytest.raises(KeyboardInterrupt):
            session.measure(Task(TINY, "tiny", "scale:1", "plain", session.plan), progress)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    session.close(seal=False)
    assert [line.kind for line in heard].count("round") == 1
    assert read_run(session.path).records == heard
