"""Runs `pytest --benchmark` as a user does, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parent / "experiments"
TINY = str(EXPERIMENTS / "bench_tiny.py")
FAULTS = str(EXPERIMENTS / "bench_faults.py")
FAST = (
    "--ab-backend",
    "plain",
    "--ab-budget",
    "0.1",
    "--ab-min-blocks",
    "5",
    "--ab-rounds",
    "4",
    "--ab-sample-time",
    "0.001",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--benchmark", *arguments]


def environment() -> dict[str, str]:
    """Without the settings of the pytest around us."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}


def benchmark(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run to the end in `folder`, warnings being errors."""
    return subprocess.run(
        command(*FAST, "-W", "error", *arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start and return at once.

    Ctrl-C works in it even where these tests run in the background of a shell, which ignores it.
    `preexec_fn` would do that too, but it forks this process, and a test before may have begun JAX.
    """
    return subprocess.Popen(
        ["/usr/bin/env", "--default-signal=INT", *command(*FAST, *arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines_in(folder: Path) -> int:
    """Return the whole lines of the newest run file, 0 before there is one."""
    runs = sorted((folder / "runs").glob("*.jsonl"))
    return runs[-1].read_bytes().count(b"\n") if runs else 0


def wait_for_lines(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Wait until the run file holds so many lines, or the process ends."""
    while lines_in(folder) < count:
        try:
            process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
        return
