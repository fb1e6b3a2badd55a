"""A run holds the digest of every file of code of the reader's and ours that an arm imported."""

import hashlib
import json
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.imported import Imported, Told, imported
from keras_ab.bench.lab.record.run_file import RunWriter, read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.imported import code_files, is_told
from tests.reports import simulated

A, B, C = (digit * 64 for digit in "abc")
FILE = """
from keras_ab import Arm, Case, Experiment, Metric, Prepared, Quality, Source
from inner import shared

def plain(_case):
    return Prepared(shared.step)

def fancy(_case):
    from inner import fancier
    return Prepared(fancier.step)

def train(_recipe, _case, _seed, _learning_rate):
    import learnt
    return 1.0

EXPERIMENT = Experiment(
    name="own",
    question="?",
    method=".",
    sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
    arms=(Arm("plain", plain, "plain"), Arm("fancy", fancy, "fancy")),
    cases=(Case({}),),
    backends=("plain",),
    quality=Quality(
        metric=Metric("score", "score", "1", "more", "difference", 0.01),
        train=train,
        seeds=(1, 2, 3, 4, 5),
        learning_rates=(0.1,),
        tuning_seeds=(),
    ),
)
"""
STEP = "def step():\n    return float(sum(range(200)))\n"


def line(files, arms=("a",)):
    return Imported(trial="t", arms=list(arms), files=files)


def test_a_file_is_told_once_and_then_by_its_number():
    lines = [
        line({"x.py": A, "y.py": B}),
        line({"y.py": B, "x.py": C}),
        line({"x.py": A, "z.py": A}),
    ]
    writing, reading = Told(), Told()
    short = [writing.shortened(each) for each in lines]
    assert [(each.files, each.again) for each in short] == [
        ({"x.py": A, "y.py": B}, []),
        ({"x.py": C}, [1]),
        ({"z.py": A}, [0]),
    ]
    assert [reading.whole(each) for each in short] == lines


def test_arms_that_are_alike_share_a_record():
    found = list(imported("t", {"a": {"x.py": A}, "b": {"x.py": B}, "c": {"x.py": A}}))
    assert [(each.arms, each.files) for each in found] == [
        (["a", "c"], {"x.py": A}),
        (["b"], {"x.py": B}),
    ]


def test_a_run_reads_back_what_it_was_told_also_when_it_is_continued(tmp_path):
    files = {f"package/module{n}.py": A for n in range(60)}
    writer = RunWriter.create(path := tmp_path / "r.jsonl", simulated.header("r"))
    writer.write(line(files))
    writer.close()
    writer = RunWriter.reopen(read_run(path))
    writer.write(line(files | {"more.py": B}))
    writer.seal()
    assert [len(each.files) for each in read_run(path).records] == [60, 61]
    first, again = path.read_bytes().splitlines()[1:3]
    assert len(again) < len(first) / 10


def test_a_number_that_no_file_has_is_refused(tmp_path):
    writer = RunWriter.create(path := tmp_path / "r.jsonl", simulated.header("r"))
    writer.write(line({"x.py": A}))
    writer.close()
    bad = json.loads(path.read_bytes().splitlines()[1]) | {"files": {}, "again": [7]}
    with path.open("a") as file:
        file.write(json.dumps(bad) + "\n")
    with pytest.raises(RecordError, match=r"line 3: code that was not told before: file 7 of 1"):
        read_run(path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a bench file whose arms import what lies beside it."""
    (tmp_path / "inner").mkdir()
    for name in ("inner/__init__", "inner/shared", "inner/fancier", "learnt"):
        (tmp_path / f"{name}.py").write_text(STEP)
    (tmp_path / "bench_own.py").write_text(FILE)
    yield str(tmp_path / "bench_own.py")
    for name in ("bench_own", "inner", "inner.shared", "inner.fancier"):
        sys.modules.pop(name, None)


def task(file):
    return Task(file, "own", "only", "plain", Plan(min_blocks=2, max_blocks=2, rounds=2))


def measured(file):
    with closing(ForkServer("plain")) as server:
        return group(measure_trial(task(file), server))["own[only]"].imported


def test_an_arm_s_files_are_its_own_what_lies_beside_it_and_ours(project):
    found = measured(project)
    assert set(found) == {"plain", "fancy"}
    theirs = {path for path in found["fancy"] if not path.startswith("keras_ab/")}
    shared = {"bench_own.py", "inner/__init__.py", "inner/shared.py", "learnt.py"}
    assert theirs == shared | {"inner/fancier.py"}
    assert set(found["fancy"]) - set(found["plain"]) == {"inner/fancier.py"}
    assert "keras_ab/bench/lab/worker/handler.py" in found["plain"]
    assert found["plain"]["inner/shared.py"] == hashlib.sha256(STEP.encode()).hexdigest()


def test_a_file_that_changes_is_seen(project):
    before = measured(project)
    shared = Path(project).parent / "inner" / "shared.py"
    shared.write_text(STEP.replace("200", "201"))
    after = measured(project)
    differing = {path for path, digest in after["plain"].items() if before["plain"][path] != digest}
    assert differing == {"inner/shared.py"}


@pytest.mark.parametrize(
    ("once", "stage", "blocks"),
    [("imported", "measurement", 1), ("block", "measurement", 2), ("quality", "training", 2)],
)
def test_code_that_is_saved_while_it_is_measured_invalidates_the_trial(
    project, once, stage, blocks
):
    shared = Path(project).parent / "inner" / "shared.py"
    lines = []
    with closing(ForkServer("plain")) as server:
        for line in measure_trial(task(project), server):
            if line.kind == once:
                shared.write_text(STEP.replace("200", "201"))
            lines.append(line)
    trial = group(lines)["own[only]"]
    (failure,) = trial.failures
    assert (failure.arm, failure.stage, failure.what) == (None, stage, "code changed")
    assert trial.invalid == "its code changed while it was measured: inner/shared.py"
    assert trial.end
    assert len(trial.blocks) == blocks


def test_what_others_wrote_is_not_told():
    found = code_files()
    assert "tests/bench/test_imported.py" in found
    assert not [path for path in found if path.startswith(("json/", "numpy/", "pytest/"))]
    assert is_told("keras_ab.bench", "/env/lib/site-packages/keras_ab/bench/__init__.py")
    assert not is_told("numpy", "/env/lib/site-packages/numpy/__init__.py")
    assert not is_told("json", json.__file__)


def test_what_frameworks_make_of_code_is_not_told(tmp_path, monkeypatch):
    """AutoGraph's and TorchInductor's files have another name or place in every process."""
    for name, file in (
        ("__autograph_generated_fileab12cd_3", "__autograph_generated_fileab12cd_3.py"),
        ("numpy.codecache.abc", "abc.py"),
        ("of_the_reader", "of_the_reader.py"),
    ):
        path = tmp_path / file
        path.touch()
        module = ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
    found = code_files()
    assert "of_the_reader.py" in found
    assert not [path for path in found if "autograph" in path or "abc" in path]


def test_older_runs_that_tell_it_are_read_without():
    trial = TrialData(declared=None)
    files = {"__autograph_generated_file1.py": "0" * 64, "a.py": "1" * 64}
    trial.add(Imported(trial="t", arms=["plain"], files=files))
    assert trial.imported == {"plain": {"a.py": "1" * 64}}


def test_what_a_package_compiles_is_told_with_it(tmp_path, monkeypatch):
    (tmp_path / "ours" / "src").mkdir(parents=True)
    (tmp_path / "ours" / "__init__.py").touch()
    (tmp_path / "ours" / "src" / "adam.cc").write_text("int main;")
    monkeypatch.syspath_prepend(tmp_path)
    import ours  # noqa: F401

    assert {"ours/__init__.py", "ours/src/adam.cc"} <= set(code_files())
    del sys.modules["ours"]
