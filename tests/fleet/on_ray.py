"""A Ray cluster of several nodes on this machine, and `keras-ab fleet` asked as people ask it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.record.parts import content, kept
from keras_ab.bench.lab.record.run_file import Run, parse_run
from keras_ab.bench.lab.record.store import store
from tests.bench.invocation import environment
from tests.stranger import ROOT

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


def ours(**more: str) -> dict[str, str]:
    """Return an environment in which this checkout is imported, and Ray's token is known."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return environment() | TOKEN | {"PYTHONPATH": path} | more


class Cluster:
    """Nodes on this machine.

    Args:
        nodes: the kind of each, by its name.
        folder: where they keep what they measure.
        more: environment variables of theirs.
    """

    def __init__(self, nodes: dict[str, str], folder: Path, **more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet.ray_cluster", json.dumps(nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=ours(KERAS_AB_FLEET_FOLDER=str(folder), **more),
        )
        self.address = self._line()

    @property
    def pid(self) -> int:
        """The process whose children all nodes are."""
        return self._process.pid

    def _line(self) -> str:
        """Return the next line that is for us; Ray says things too."""
        assert self._process.stdout
        for line in self._process.stdout:
            if re.fullmatch(r"done|[\w.:]+:\d+", line.strip()):
                return line.strip()
        raise AssertionError("the cluster ended")

    def do(self, what: str) -> None:
        """Kill or add a node."""
        assert self._process.stdin
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def close(self) -> None:
        """End all nodes."""
        self._process.communicate()


def s3_environment(server: str) -> dict[str, str]:
    """Return what makes S3's clients ask a server here."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_ENDPOINT_URL_S3": server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def command(*arguments: object) -> list[str]:
    """Return the command line of `keras-ab fleet`."""
    return [sys.executable, "-m", "keras_ab.command_line", "fleet", *map(str, arguments)]


def fleet(
    folder: Path, *arguments: object, check: bool = True, **more: str
) -> subprocess.CompletedProcess[str]:
    """Ask a fleet for something, and wait until it is done."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ours(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def begun(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Ask a fleet for something, and return at once."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command(*arguments), cwd=folder, env=ours(), text=True, **pipes)


def runs_in(url: str | Path) -> list[Run]:
    """Return the runs in a store, whole or not."""
    place = store(url)
    return [parse_run(content(place, run), run.place) for run in kept(place.names())]
