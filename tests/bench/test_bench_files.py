"""Bench files as modules: found wherever one stands, once a process, beside what they import."""

import subprocess
import sys

import pytest

from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.loop.doctor import IDENTICAL
from keras_ab.bench.lab.record.runs_folder import runs_folder
from keras_ab.bench.lab.words.bench_files import (
    OURS,
    bench_folder,
    load_experiment,
    load_module,
)
from keras_ab.bench.lab.words.errors import DeclarationError


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Leave the modules and the path of the process as they were."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def written(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_ours_are_modules_of_the_package():
    assert load_module(str(OURS / "bench_labels.py")).__name__ == "keras_ab.bench.bench_labels"
    identical = load_module(str(IDENTICAL)).__name__
    assert identical == "keras_ab.bench.workloads.identical"


def test_what_lies_beside_a_bench_file_can_be_imported_wherever_one_stands(tmp_path, monkeypatch):
    written(tmp_path / "here" / "beside.py", "WORK = 3")
    file = written(tmp_path / "here" / "bench_it.py", "import beside")
    monkeypatch.chdir("/")
    module = load_module(str(file))
    assert module.beside.WORK == 3
    assert module.__name__ == "bench_it"
    assert load_module(str(file)) is module


def test_a_bench_file_in_a_package_is_a_module_of_it(tmp_path):
    written(tmp_path / "outer" / "__init__.py", "")
    written(tmp_path / "outer" / "inner" / "__init__.py", "")
    written(tmp_path / "outer" / "beside.py", "WORK = 4")
    file = written(tmp_path / "outer" / "inner" / "bench_it.py", "from ..beside import WORK")
    assert load_module(str(file)).WORK == 4
    assert load_module(str(file)).__name__ == "outer.inner.bench_it"


def test_two_bench_files_of_one_name_are_two_modules(tmp_path):
    first, second = (written(tmp_path / n / "bench_it.py", f"NAME = {n!r}") for n in ("a", "b"))
    assert [load_module(str(f)).NAME for f in (first, second, first)] == ["a", "b", "a"]


def test_a_package_of_another_that_is_there_already_is_not_taken_for_theirs(tmp_path):
    written(tmp_path / "json" / "__init__.py", "")
    file = written(tmp_path / "json" / "bench_it.py", "NAME = 'mine'")
    assert load_module(str(file)).NAME == "mine"
    assert "json.bench_it" not in sys.modules


def test_a_file_that_fails_fails_again(tmp_path):
    file = written(tmp_path / "bench_it.py", "EARLY = 1\nraise RuntimeError('no')")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            load_module(str(file))


@pytest.mark.parametrize("name", ["bench_none.py", "bench_it.txt"])
def test_what_is_no_python_file_is_refused(tmp_path, name):
    written(tmp_path / "bench_it.txt", "")
    with pytest.raises(DeclarationError, match="a bench file is a Python file"):
        load_module(str(tmp_path / name))


def test_an_experiment_that_it_does_not_declare_is_refused():
    with pytest.raises(DeclarationError, match="use one of labels"):
        load_experiment(str(OURS / "bench_labels.py"), "alchemy")


@pytest.mark.parametrize(
    ("made", "stand_in", "found"),
    [
        ((), "project/sub", "runs"),
        (("project/runs",), "project/sub", "../runs"),
        (("project/runs", "project/sub/runs"), "project/sub", "runs"),
        (("project/runs",), "project", "runs"),
        (("runs",), "project/sub", "runs"),  # of no project, or of another
        (("runs",), "loose/sub", "runs"),
    ],
)
def test_runs_are_found_within_the_project(tmp_path, monkeypatch, made, stand_in, found):
    for folder in (*made, "project/sub", "loose/sub"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / stand_in)
    assert str(runs_folder()) == found


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (("project/sub/bench_a.py", "project/bench_b.py"), "project/sub"),
        (("project/sub/bench/bench_a.py", "project/bench_b.py"), "project/sub/bench"),
        (("project/bench/bench_b.py",), "project/bench"),
        (("project/sub/other.py", "project/sub/bench_a.txt"), None),
    ],
)
def test_the_nearest_bench_files_are_those_that_are_meant(tmp_path, made, found):
    for file in made:
        written(tmp_path / file, "")
    folder = bench_folder(tmp_path / "project" / "sub", tmp_path / "project")
    assert folder == (tmp_path / found if found else OURS)


def test_the_commit_recorded_is_that_of_this_code_and_of_no_other(tmp_path):
    def git(*command):
        named = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", tmp_path)
        subprocess.run([*named, *command], check=True, capture_output=True)

    (installed := tmp_path / "venv" / "site-packages").mkdir(parents=True)
    assert facts.git(installed) is None
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "theirs")
    assert facts.git(installed) is None
    found = facts.git(tmp_path)
    assert found is not None
    assert found["dirty"] is False
    assert len(found["commit"]) == 40
    (tmp_path / "new").touch()
    assert facts.git(tmp_path) == {**found, "dirty": True}
