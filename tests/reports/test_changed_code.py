"""Which files of code changed between two runs is said by compare and by gate."""

from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.imported import Imported
from keras_ab.command_line import main
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import Side, side
from tests.reports import simulated
from tests.reports.test_compare import jit

A, B = "a" * 64, "b" * 64
BOTH = {"bench_jit.py": A, "helper.py": A}


def run(folder: Path, name: str, **files: dict[str, str]) -> Path:
    """Write a run whose arms imported these files."""
    scene = jit()
    scene.extra = [
        Imported(trial=scene.name, arms=[arm], files=told) for arm, told in files.items()
    ]
    same = replace(jit(), experiment="same", extra=[])
    same.extra = [Imported(trial=same.name, arms=["plain", "jit"], files=BOTH)]
    return simulated.write(folder / f"{name}.jsonl", simulated.header(name), [scene, same])


def sides(*paths: Path) -> list[Side]:
    return [side(path.stem, reports.load(path).runs) for path in paths]


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ({"plain": BOTH, "jit": BOTH}, []),
        (
            {"plain": BOTH | {"helper.py": B}, "jit": BOTH | {"helper.py": B}},
            ["helper.py has changed: jit, batch=64"],
        ),
        (
            {"plain": BOTH, "jit": BOTH | {"fast.py": A}},
            ["fast.py is imported now for jit: jit, batch=64"],
        ),
        (
            {"plain": BOTH, "jit": {"bench_jit.py": A}},
            ["helper.py is no longer imported for jit: jit, batch=64"],
        ),
        ({}, ["what was imported is not recorded by after: jit, batch=64"]),
    ],
)
def test_what_differs_is_said(
    after: dict[str, dict[str, str]], says: list[str], tmp_path: Path
) -> None:
    old = run(tmp_path, "before", plain=BOTH, jit=BOTH)
    new = run(tmp_path, "after", **after)
    assert changed_code(*sides(old, new)) == says


def test_compare_and_gate_say_which_files_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = str(run(tmp_path, "before", plain=BOTH, jit=BOTH))
    changed = BOTH | {"helper.py": B}
    new = str(run(tmp_path, "after", plain=changed, jit=changed))
    assert main(["compare", old, new]) == 0
    assert "- helper.py has changed: jit, batch=64" in capsys.readouterr().out
    assert main(["gate", new, "--baseline", old]) == 0
    assert "- `helper.py has changed: jit, batch=64`" in capsys.readouterr().out
    assert main(["gate", old, "--baseline", old]) == 0
    assert "Code that is not" not in capsys.readouterr().out
