"""A fresh machine without a C++ compiler: the suite runs, and says what is not measured and why."""

import subprocess
import sys
from pathlib import Path

import pytest

from keras_ab.bench.lab.record.run_file import read_run
from tests.bench.invocation import benchmark, environment

ROOT = Path(__file__).parents[2]
REASON = "Native kernels need a C++17 compiler"


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    """No compiler on the path, and nothing in the cache."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("KERAS_AB_KERNELS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("KERAS_AB_CACHE", str(tmp_path / "cache"))


def test_its_trials_are_not_measured_here(tmp_path, no_compiler):
    bench = str(ROOT / "bench" / "bench_kernels.py")
    options = ("--ab-backend", "tensorflow", "-rs")
    result = benchmark(tmp_path, *options, bench, "-k", "kernel_cross_entropy")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"not measured here: {REASON}" in result.stdout
    assert "apt install g++" in result.stdout
    (run,) = (tmp_path / "runs").glob("*.jsonl")
    kinds = [line.kind for line in read_run(run).records]
    assert "absent" in kinds
    assert not {"failure", "round"} & set(kinds)


def test_its_tests_of_the_kernels_are_skipped(no_compiler):
    tests = str(ROOT / "tests" / "kernels" / "native")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", tests]
    result = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert REASON in result.stdout
    assert " passed" in result.stdout
