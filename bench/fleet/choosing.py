"""Which trials pytest's arguments select, and how long each is expected to take.

They are collected by pytest itself, in a process of its own: ``python -m
keras_ab.bench.fleet.choosing FILE ARGUMENTS`` writes them to a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from keras_ab.bench.fleet import clean
from keras_ab.bench.fleet.software import unpacked
from keras_ab.bench.invocation import ArmItem, selected_trials
from keras_ab.bench.lab.record.declared import Record
from keras_ab.bench.lab.words.bench_files import OURS
from keras_ab.bench.lab.words.errors import DeclarationError


class Chosen(Record):
    """What is to be measured."""

    backend: str
    trials: dict[str, float]
    """How long each is expected to take, seconds, by name."""
    files: list[str]
    """Bench files that do not come with this package."""


class Choosing:
    """A plugin of pytest that writes down what was collected."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down the trials of what was collected."""
        items = selected_trials(session.items)
        chosen = {
            "backend": next((item.task.backend for item in items.values()), ""),
            "trials": {trial: _expected_s(item) for trial, item in items.items()},
            "files": sorted({item.task.file for item in items.values() if _is_theirs(item)}),
        }
        self._out.write_text(json.dumps(chosen), encoding="utf-8")


def _expected_s(item: ArmItem) -> float:
    return item.expected(item.task.plan).most_s


def _is_theirs(item: ArmItem) -> bool:
    return OURS not in Path(item.task.file).resolve().parents


def choose(
    arguments: Sequence[str],
    standing: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Chosen:
    """Return what pytest arguments select.

    Args:
        arguments: of pytest.
        standing: the folder to stand in; None for where this process stands.
        environment: variables; None for those of this process.

    Raises:
        DeclarationError: they select nothing, or cannot be understood.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "chosen.json"
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, str(out), f"--ab-runs={folder}", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=standing,
            env=environment,
        )
        chosen = Chosen.model_validate_json(out.read_bytes()) if out.exists() else None
    if done.returncode or not (chosen and chosen.trials):
        tail = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise DeclarationError(
            "the arguments after -- select at least one trial, as pytest --benchmark does here",
            f"{' '.join(arguments) or 'no arguments'}\n    {tail}",
            "try them with: pytest --benchmark --collect-only",
        )
    return chosen


def choose_on_node(arguments: Sequence[str], code: bytes) -> Chosen:
    """Return what pytest arguments select on this node: which cases, its device decides.

    Args:
        arguments: of pytest.
        code: files that the node is to have, packed; none where it has them.

    Raises:
        DeclarationError: they select nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        standing = unpacked(code, Path(folder)) if code else Path(folder)
        return choose(arguments, standing, clean.owners_environment())


def main(arguments: Sequence[Any]) -> int:
    """Collect, and measure nothing."""
    out, *others = arguments
    options = ["-p", "no:cacheprovider", "--benchmark", "--collect-only", "-q", *others]
    return int(pytest.main(options, plugins=[Choosing(Path(out))]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
