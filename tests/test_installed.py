"""The package as a stranger has it: built, installed beside others' packages, and used."""

import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from keras_ab.bench.lab.record.run_file import read_run
from tests.bench.invocation import FAST
from tests.stranger import EXPERIMENT, ROOT, Environment, checkout, project, run

FEW = ("--ab-min-blocks", "2", "--ab-rounds", "2")
BUILD = """
import sys
from setuptools import build_meta

print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist, the wheel, and the wheel of what the sdist holds."""
    base = tmp_path_factory.mktemp("built")
    tools = Environment(base / "tools")
    tools.install("setuptools>=80")

    def build(what, source, place):
        (base / place).mkdir()
        done = run(tools.python, "-c", BUILD, f"build_{what}", base / place, cwd=source)
        name = done.stdout.split()[-1]
        return base / place / name

    source = checkout(base / "source")
    sdist = build("sdist", source, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(base / "unpacked", filter="data")
    (unpacked,) = (base / "unpacked").iterdir()
    return {
        "sdist": sdist,
        "wheel": build("wheel", source, "wheel"),
        "wheel of the sdist": build("wheel", unpacked, "wheel2"),
    }


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Their project, which is a git repository, with the environment that they use inside it."""
    return project(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def wheel(built, theirs):
    environment = Environment(theirs / ".venv")
    environment.install(built["wheel"], "kernels")
    return environment


def names(archive):
    """Return what a distribution holds, below its own folder where it has one."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as held:
            return set(held.namelist())
    with tarfile.open(archive) as held:
        assert not any(member.issym() or member.islnk() for member in held)
        files = [member.name for member in held if member.isfile()]
    return {name.partition("/src/")[2] for name in files if "/src/keras_ab/" in name}


@pytest.mark.parametrize("what", ["sdist", "wheel", "wheel of the sdist"])
def test_a_distribution_holds_the_three_folders_whole(built, what):
    held = {name for name in names(built[what]) if name.startswith("keras_ab/")}
    wanted = {
        f"keras_ab/{path.relative_to(ROOT)}"
        for folder in ("bench", "kernels", "reports")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(wanted) > 200
    assert held >= wanted
    assert held - wanted == {
        f"keras_ab/{path.name}" for path in (ROOT / "src/keras_ab").iterdir() if path.is_file()
    }


def test_a_wheel_puts_one_package_into_an_environment(built):
    tops = {name.partition("/")[0] for name in names(built["wheel"])}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keras_ab"}
    assert names(built["wheel"]) == names(built["wheel of the sdist"])


def test_plain_pytest_runs_their_own_tests_untouched(wheel, theirs):
    done = wheel.pytest(theirs, "-W", "error", "-q")
    assert "1 passed" in done.stdout


def assert_no_module_is_there_twice(seen):
    """In no process has a file been imported under two names, or a folder of ours under its own."""
    processes = [json.loads(line) for line in seen.read_text().splitlines()]
    assert len(processes) > 5
    for files in processes:
        names = {name for name in files if name not in ("__main__", "__mp_main__")}
        shared = Counter(files[name] for name in names if "keras_ab" in name or "bench" in name)
        assert {file for file, count in shared.items() if count > 1} == set()
        ours = Path(files["keras_ab.bench.lab"]).parents[1]
        within = [name for name in names if ours in Path(files[name]).parents]
        assert len(within) > 5
        assert {name.partition(".")[0] for name in within} == {"keras_ab"}


def test_their_bench_file_runs_wherever_they_stand(wheel, theirs):
    """Into the one folder `runs`, which says nothing of their git."""
    (theirs / "runs").mkdir(exist_ok=True)
    for folder, file in ((theirs, "mine/bench_theirs.py"), (theirs / "mine", "bench_theirs.py")):
        done = wheel.pytest(folder, "--benchmark", *FAST, *FEW, "-W", "error", file)
        assert "2 passed" in done.stdout
    runs = [read_run(path) for path in (theirs / "runs").glob("*.jsonl")]
    assert len(runs) == 2
    assert [run.header.conditions["git"] for run in runs] == [None, None]
    assert_no_module_is_there_twice(theirs / "mine" / "seen.jsonl")


def collected(environment, folder, *arguments):
    done = environment.pytest(folder, "--benchmark", "--collect-only", "-q", *arguments)
    return {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}


def test_without_paths_theirs_are_run_where_they_stand_by_them_and_ours_elsewhere(wheel, theirs):
    assert collected(wheel, theirs / "mine") == {"mine/bench_theirs.py"}
    ours = {file.rpartition("/")[2] for file in collected(wheel, theirs)}
    assert ours >= {"bench_labels.py", "bench_optimizers.py", "bench_recompute.py"}
    assert "bench_theirs.py" not in ours


def test_an_experiment_of_ours_is_run_there(wheel, theirs, tmp_path):
    """None is made for no framework at all: what is run is that it says so."""
    told = ("--ab-runs", tmp_path, "-k", "labels", "-rs")
    done = wheel.pytest(theirs, "--benchmark", *FAST, *told, check=False)
    assert "3 skipped" in done.stdout, done.stdout + done.stderr
    assert "not measured here" in done.stdout


def test_their_other_packages_are_still_theirs(wheel, theirs):
    code = "import kernels; print(kernels.__file__)"
    found = run(wheel.python, "-c", code, cwd=theirs).stdout
    assert ".venv" in found
    assert "keras_ab" not in found
    assert "0.1.0" in run(wheel.scripts / "keras-ab", "--version", cwd=theirs).stdout


def test_an_editable_install_measures_in_its_checkout_and_elsewhere(theirs, tmp_path):
    source = checkout(tmp_path / "checkout")
    environment = Environment(tmp_path / "venv")
    environment.install("kernels", "-e", source)
    noting = source / "tests" / "bench" / "experiments" / "bench_noting.py"
    noting.write_text(EXPERIMENT)
    done = environment.pytest(source, "--benchmark", *FAST, *FEW, noting)
    assert "2 passed" in done.stdout
    assert_no_module_is_there_twice(noting.with_name("seen.jsonl"))
    ours = collected(environment, source)
    assert len(ours) > 20
    assert all(file.startswith("bench/bench_") for file in ours)
    assert collected(environment, theirs / "mine") == {"mine/bench_theirs.py"}


def test_a_checkout_without_what_is_for_tests_says_so(wheel, tmp_path):
    source = checkout(tmp_path / "checkout")
    helped = wheel.pytest(source, "--help")
    assert "--ab-budget" in helped.stdout
    refused = wheel.pytest(source, check=False)
    assert refused.returncode == 4
    assert "what to do: tox run -e tests" in refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout
