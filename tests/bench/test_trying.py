"""`keras-ab try` from a file to advice: what is chosen, how long it takes, and what comes out."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_ab import command_line, reports
from keras_ab.bench import asked, trying
from keras_ab.bench.lab.judge.stacks import stack_of
from keras_ab.bench.lab.loop.asking import NoAnswer
from keras_ab.bench.lab.record.records import Failure
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.own import experiments
from keras_ab.bench.own.look import Found
from keras_ab.bench.own.subject import Subject
from tests.bench.invocation import environment
from tests.bench.test_own import MAKE
from tests.reports.simulated import header, write
from tests.reports.subjects import CROSSED, SINGLES, scene

FOUND = Found(
    backend="tensorflow",
    devices=("cpu",),
    one_dnn=True,
    counted_apart=False,
    parameters=259,
    layers=("Dense",),
    optimizer="Adam",
    amsgrad=False,
    accumulates=1,
    loss="categorical_crossentropy",
    loss_settings=(),
    from_logits=False,
    labels="one-hot",
    data="arrays",
    batch=32,
    batches=3,
    inputs=("float32",),
    whole=True,
    as_fit=True,
    prefetches=True,
    caches=True,
    policy="float32",
    jit=False,
    eager=False,
    steps_per_execution=1,
    clipped=False,
    validation=False,
    loss_before=1.1,
    build_s=1.0,
    first_s=2.0,
    batch_s=0.002,
    process_bytes=2**29,
)


def test_what_is_found_is_the_same_once_it_was_written_into_a_file():
    assert eval(repr(FOUND), {"Found": Found}) == FOUND  # noqa: S307 - as the declared file does


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(5, 9, [5]), (5, 2, [1, 2, 2]), (6, 3, [3, 3]), (0, 3, [])]
)
def test_techniques_are_parted_where_memory_is_short(count, most, sizes):
    names = [str(n) for n in range(count)]
    found = trying.parts(names, most)
    assert [len(part) for part in found] == sizes
    assert [name for part in found for name in part] == names


def test_fewer_processes_live_at_once_where_each_is_large():
    assert trying.at_once(replace(FOUND, process_bytes=2**50)) == 1
    assert trying.at_once(replace(FOUND, process_bytes=2**20)) > 20


NAMES = ["xla", "bfloat16", "sparse_labels", "recompute"]
BAD_BUDGETS = ["0", "-1", "nan", "inf", "soon"]


def test_a_budget_leaves_out_the_last_techniques():
    for_two = trying.takes_s(FOUND, NAMES[:2])
    assert trying.affordable(FOUND, NAMES, for_two) == NAMES[:2]
    assert trying.affordable(FOUND, NAMES, 0.0) == []
    assert trying.takes_s(FOUND, NAMES) > for_two


def test_a_start_that_takes_minutes_is_reckoned_with_and_leaves_time_for_the_others():
    """`torch.compile` took 110 s a process where nothing else took two."""
    slow = replace(FOUND, compiled_s=110.0)
    assert trying.takes_s(slow, NAMES) >= trying.takes_s(FOUND, NAMES) + 5 * 100
    assert trying.takes_s(slow, NAMES[1:]) == trying.takes_s(FOUND, NAMES[1:])
    enough = trying.takes_s(FOUND, NAMES)
    assert trying.affordable(slow, NAMES, enough) == NAMES[1:]
    assert trying.affordable(slow, NAMES, trying.takes_s(slow, NAMES)) == NAMES


@pytest.mark.parametrize(
    ("ends_with", "looked_at_s"),
    [("12.5", 12.5), (NoAnswer("timed out", ""), 90.0), (NoAnswer("raised", "no such op"), 0.0)],
)
def test_a_start_under_the_compiler_is_looked_at_for_half_the_budget(
    monkeypatch, ends_with, looked_at_s
):
    session = SimpleNamespace(plan=asked.plan_for(180.0), worker=nullcontext)
    own = trying.Trying(Subject("train.py", "make"), session, "torch", print)

    def answers(worker, request, limit_s):
        assert (request.attempt, limit_s) == ("compiled", 90.0)
        if isinstance(ends_with, NoAnswer):
            raise ends_with
        return ends_with

    monkeypatch.setattr(trying, "ask", answers)
    assert own._compiled_s(Path("look.py")) == looked_at_s


@pytest.fixture
def measured(tmp_path):
    """Return the trials of a simulated run."""
    trials = [scene("train_make_singles", SINGLES), scene("train_make_stack", CROSSED)]
    run = reports.load(write(tmp_path / "run.jsonl", header("a"), trials)).runs[0]
    return run.header.plan, [trial.data for trial in run.trials]


def test_those_that_gained_are_stacked_the_best_first(measured):
    plan, (singles, _) = measured
    assert trying.gained([singles], plan) == ["xla", "bfloat16"]


def test_what_was_faster_and_came_to_nan_did_not_gain(measured):
    plan, (singles, _) = measured
    names = {"trial": singles.declared.trial, "arm": "xla", "stage": "quality"}
    singles.add(Failure(**names, what="not finite", message="the outcome of seed 4 is NaN"))
    assert trying.gained([singles], plan) == ["bfloat16"]


def test_corners_are_read_from_what_the_arms_have(measured):
    _, (singles, crossed) = measured
    assert stack_of(singles) is None
    stack = stack_of(crossed)
    assert stack.techniques == ("xla", "bfloat16")
    assert stack.corners == tuple(map(frozenset, [(), ("xla",), ("bfloat16",), stack.techniques]))
    assert stack.ratios.shape == (8, 4)


def test_what_was_asked_for_is_chosen_and_the_rest_has_a_reason(tmp_path):
    said = []
    own = Subject("train.py", "make")
    whole = asked.Asked(own, "tensorflow", tmp_path, 1e6)
    names, late = asked.chosen(FOUND, whole, said.append)
    assert "xla" in names
    assert late == []
    assert "float16" not in names
    (reasons,) = (line for line in said if line.startswith("does not apply:"))
    assert "\n  float16 " in reasons
    said.clear()
    only = replace(whole, names=("xla",))
    assert asked.chosen(FOUND, only, said.append) == (["xla"], [])
    assert not any("does not apply" in line for line in said)
    asked.chosen(FOUND, replace(whole, names=("xla", "float16")), said.append)
    (reasons,) = (line for line in said if line.startswith("does not apply:"))
    assert [line.split()[0] for line in reasons.splitlines()[1:]] == ["float16"]
    with pytest.raises(Exception, match="at least one technique applies"):
        asked.chosen(FOUND, replace(whole, names=("cache",)), said.append)


def test_arms_are_told_with_what_they_do_or_by_their_names_where_they_are_combinations():
    own, terms = Subject("train.py", "make"), asked.Terms()
    singles = experiments.singles(own, FOUND, ("xla", "clipping"), terms)
    first, second = trying.of_arms(singles.arms[1:]).splitlines()
    assert first == "  xla       compiled by the backend's compiler"
    assert second.startswith("  clipping  the gradient's norm")
    crossed = experiments.stacked(own, FOUND, ("xla", "clipping"), terms)
    assert trying.of_arms(crossed.arms[1:]) == "  xla, clipping, xla_clipping"


def test_what_there_is_no_time_for_is_said_with_the_time_that_is_enough(tmp_path):
    said, slow = [], replace(FOUND, compiled_s=110.0)
    own = asked.Asked(Subject("train.py", "make"), "tensorflow", tmp_path, 360.0)
    names, late = asked.chosen(slow, own, said.append)
    assert late[0] == "xla"
    assert names
    (line,) = (line for line in said if line.startswith("for want of time not tried: xla"))
    enough_s = 60.0 * int(" ".join(line.split()).partition("--budget ")[2].split()[0])
    assert asked.chosen(slow, replace(own, budget_s=enough_s), said.append)[1] == []
    assert asked.chosen(slow, replace(own, budget_s=enough_s - 60), said.append)[1]


def test_a_step_that_takes_minutes_is_refused_with_how_long_it_would_be(tmp_path):
    own = asked.Asked(Subject("train.py", "make"), "tensorflow", tmp_path, 360.0)
    with pytest.raises(LabError, match="fits into the budget") as refused:
        asked.chosen(replace(FOUND, batch_s=60.0), own, lambda _: None)
    assert "a batch takes 60.0 s" in refused.value.received
    assert "smaller batch_size" in refused.value.do


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["try"], "named FILE.py:FUNCTION"),
        (["try", "nowhere.py:make"], "lies in a Python file"),
        (["try", "--techniques", "alchemy", "x.py:f"], "one of those that can be tried"),
        (["try", "--ab", "old=nowhere.py:f", "new=nowhere.py:g"], "lies in a Python file"),
        (["try", "--price", "cheap", "x.py:f"], "a price is of an hour"),
        *((["try", "--budget", b, "x.py:f"], "a budget is some minutes") for b in BAD_BUDGETS),
        (["try", "--ab", "old=nowhere.py:f"], "two functions or more"),
        (["try", "--ab", "a.py:f", "b.py:g"], "each as NAME=FILE.py:FUNCTION"),
        (
            ["try", "--ab", "old=a.py:f", "new=b.py:g", "c.py:h"],
            "received: old=a.py:f new=b.py:g c",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_starts(capsys, arguments, message):
    assert command_line.main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "what to do" in told


def keras_ab(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "keras_ab.command_line", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_run_that_is_cut_off_is_kept_and_named_unless_it_is_empty(tmp_path, blocks):
    path, said = tmp_path / "run.jsonl", []
    path.write_text("{}")
    path.with_suffix(".own").mkdir()
    trials = {"x": SimpleNamespace(blocks=dict.fromkeys(range(blocks)))}
    closed = []
    session = SimpleNamespace(path=path, trials=trials, close=lambda seal: closed.append(seal))
    with pytest.raises(KeyboardInterrupt), asked.kept(session, said.append):
        raise KeyboardInterrupt
    assert closed == [False]
    assert path.exists() == bool(blocks)
    assert not path.with_suffix(".own").exists()
    assert (f"keras-ab report {path}" in said[0]) == bool(blocks)


def test_an_interrupt_ends_a_command_without_a_traceback(monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_ab.bench.commands.run_list", interrupted)
    assert command_line.main(["list"]) == 130


def test_two_functions_are_held_against_each_other(tmp_path):
    (tmp_path / "sums.py").write_text(
        "def numbers():\n    return (list(range(20_000)),)\n"
        "def old(x):\n    return sum(x) + sum(x) + sum(x)\n"
        "def new(x):\n    return 3 * sum(x)\n"
    )
    done = keras_ab(
        tmp_path,
        *("try", "--ab", "old=sums.py:old", "new=sums.py:new", "--setup", "sums.py:numbers"),
        *("--budget", "0.05", "--runs", "runs"),
    )
    assert done.returncode == 0, done.stderr
    (run,) = reports.load(tmp_path / "runs").runs
    assert run.run.sealed
    (answer,) = run.trials[0].answers
    assert answer.word == "gain"


def test_a_function_that_does_not_run_is_an_exit_of_1_with_what_to_do(tmp_path):
    (tmp_path / "sums.py").write_text("def old(x):\n    return x\ndef new(x):\n    return x\n")
    done = keras_ab(
        tmp_path,
        *("try", "--ab", "old=sums.py:old", "new=sums.py:new", "--budget", "0.05"),
        *("--runs", "runs"),
    )
    assert done.returncode == 1
    assert "or --setup FILE.py:FUNCTION" in done.stdout


def test_a_readers_own_model_ends_with_advice(tmp_path):
    """Their folder has packages that are called like ours, and a conftest that does not import."""
    (tmp_path / "train.py").write_text("import kernels\n" + MAKE)
    (tmp_path / "kernels.py").write_text("THEIRS = True\n")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise ImportError('not ours')\n")
    (tmp_path / "conftest.py").write_text("raise ImportError('of no concern')\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = keras_ab(
        tmp_path,
        *(
            "try",
            "train.py:make",
            "--techniques",
            "without_jit,xla,sparse_labels",
            "--budget",
            "0.05",
        ),
        *("--runs", "runs", "--stack"),
    )
    assert done.returncode == 0, done.stderr
    assert "advice for train.py:make" in done.stdout
    (run,) = reports.load(tmp_path / "runs").runs
    assert run.run.sealed
    singles = run.trials[0].data
    assert singles.declared.subject == "train.py:make"
    assert len(singles.blocks) == 5
    assert not singles.invalid
    after = sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__")
    assert after == sorted([*before, "runs"])


def test_a_subject_that_cannot_be_made_is_refused_with_what_it_says(tmp_path):
    (tmp_path / "train.py").write_text("def make():\n    raise RuntimeError('no data today')\n")
    done = keras_ab(tmp_path, "try", "train.py:make", "--runs", "runs")
    assert done.returncode == 2
    assert "no data today" in done.stderr
    assert "what to do" in done.stderr
