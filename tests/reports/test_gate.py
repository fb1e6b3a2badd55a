"""A gate judges the run that is meant, tells what is no longer measured, and what it left out."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_ab.bench.lab.record.records import Absent
from keras_ab.command_line import main
from keras_ab.reports.compare import comparison
from keras_ab.reports.gate import Gate, gate, summary
from tests.reports import simulated
from tests.reports.simulated import GPU, MACHINE, Scene
from tests.reports.test_compare import jit, sides, written


def measured(folder: Path, day: int, scene: Scene | None = None, **header: Any) -> Path:
    """Write the run of a day, called after it."""
    seal = header.pop("seal", True)
    update = {"started": f"2026-01-{day:02d}T00:00:00+00:00"} | header
    head = simulated.header(f"day{day}").model_copy(update=update)
    path = folder / f"{day}.jsonl"
    return simulated.write(path, head, [scene or jit()], seal=seal, first_seed=10 * day)


def edited(path: Path) -> Path:
    path.write_text(path.read_text().replace('"steps":8', '"steps":9', 1))
    return path


def gated(before: Scene, after: Scene, folder: Path) -> Gate:
    both = written(folder, "before", [before]), written(folder, "after", [after], seed=7)
    return gate(comparison(sides(*both)))


def test_where_nothing_was_measured_since_the_baseline_is_not_held_against_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(tmp_path, 1)
    base = measured(tmp_path, 2)
    for baseline in (str(base), "day2"):
        assert main(["gate", str(tmp_path), "--baseline", baseline]) == 2
        told = capsys.readouterr().err
        assert "'day2', the newest, which is the baseline's itself" in told
        assert "--run ID" in told
    many = [str(path) for path in sorted(tmp_path.glob("*.jsonl"))]
    assert main(["gate", *many, "--baseline", str(base)]) == 2
    measured(tmp_path, 3)
    assert main(["gate", str(tmp_path), "--baseline", str(base)]) == 0


def test_a_run_that_is_named_may_be_its_own_baseline(tmp_path: Path) -> None:
    base = str(measured(tmp_path, 2))
    assert main(["gate", base, "--baseline", base]) == 0
    assert main(["gate", str(tmp_path), "--baseline", base, "--run", "day2"]) == 0


def test_where_the_newest_run_cannot_be_read_no_older_one_takes_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(measured(tmp_path, 1))
    measured(tmp_path, 2)
    edited(measured(tmp_path, 3, jit(jit=0.95)))
    assert main(["gate", str(tmp_path), "--baseline", base]) == 2
    told = capsys.readouterr().err
    assert "3.jsonl, line" in told
    assert "--run day2" in told
    assert main(["gate", str(tmp_path), "--baseline", base, "--run", "day2"]) == 0
    said = capsys.readouterr().out
    assert "3.jsonl, line" in said.partition("Files that were left out:")[2]


def test_of_a_newest_run_with_several_contents_none_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(measured(tmp_path, 1))
    measured(tmp_path, 2)
    newest = measured(tmp_path, 3)
    cut = "".join(newest.read_text().splitlines(keepends=True)[:-3])
    (tmp_path / "rival.jsonl").write_text(cut)
    for asked in ([], ["--run", "day3"]):
        assert main(["gate", str(tmp_path), "--baseline", base, *asked]) == 2
        assert "run 'day3' with several" in capsys.readouterr().err


def test_an_older_file_that_cannot_be_read_and_a_copy_are_named_and_not_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(measured(tmp_path, 1))
    base = str(measured(tmp_path, 2))
    newest = measured(tmp_path, 3)
    (tmp_path / "copy.jsonl").write_bytes(newest.read_bytes())
    assert main(["gate", str(tmp_path), "--baseline", base]) == 0
    left_out = capsys.readouterr().out.partition("Files that were left out:")[2]
    assert "1.jsonl, line" in left_out
    assert "run 'day3' again" in left_out


@pytest.mark.parametrize("line", ["[]", '{"run": {"id": 1}}', '{"run": [2]}'])
@pytest.mark.parametrize(("changed", "ends"), [("2025-12-01", 0), ("2026-02-01", 2)])
def test_a_file_without_a_header_is_as_new_as_its_last_change(
    changed: str, ends: int, line: str, tmp_path: Path
) -> None:
    base = str(measured(tmp_path, 1))
    measured(tmp_path, 2)
    other = tmp_path / "other.jsonl"
    other.write_text(line + "\n")
    moment = {"2025-12-01": 1_764_547_200, "2026-02-01": 1_769_904_000}[changed]
    os.utime(other, (moment, moment))
    assert main(["gate", str(tmp_path), "--baseline", base]) == ends


def test_what_differs_in_the_machine_and_a_missing_seal_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (MACHINE | {"gpus": [GPU | {"uuid": uuid}]} for uuid in ("GPU-a", "GPU-b"))
    base = str(measured(tmp_path, 1, machine=first))
    measured(tmp_path, 2, machine=second, seal=False)
    assert main(["gate", str(tmp_path), "--baseline", base]) == 0
    said = capsys.readouterr().out
    assert "- `machine.gpu.1.uuid: 'GPU-a' → 'GPU-b'`" in said
    assert said.endswith("later edits cannot be ruled out:\n\n- `day2`\n")
    assert main(["gate", base, "--baseline", base]) == 0
    said = capsys.readouterr().out
    assert "Machine, software" not in said
    assert "seal" not in said


def test_an_arm_that_is_absent_now_stops_a_gate(tmp_path: Path) -> None:
    why = Absent(trial=jit().name, arm="jit", reason="no compiler is installed")
    found = gated(jit(), replace(jit(), lost=("jit",), extra=[why]), tmp_path)
    assert not found.passes
    said = summary(found, ["before", "after"])
    assert "jit: not measured here: no compiler is installed" in said
    assert gated(replace(jit(), lost=("jit",), extra=[why]), jit(), tmp_path / "back").passes


def test_an_arm_that_has_no_block_any_more_stops_a_gate(tmp_path: Path) -> None:
    quality = {"plain": 0.9, "jit": 0.9}
    for name, own in (("timed", jit()), ("trained", replace(jit(), quality=quality))):
        found = gated(own, replace(own, blocks=0), tmp_path / name)
        assert not found.passes
        ((_, answer),) = found.invalid
        assert answer.reason == "no block was finished"


def test_numbers_and_arms_that_are_gone_are_named(tmp_path: Path) -> None:
    sizes = {arm: {"label_bytes": 8.0} for arm in ("plain", "jit")}
    found = gated(replace(jit(), sizes=sizes), jit(), tmp_path)
    assert found.passes
    assert found.gone == ["jit, batch=64: jit: stored labels"]
    assert "not there any more:\n\n- `jit, batch=64: jit: st" in summary(found, ["a", "b"])
    fewer = replace(jit(), step={"plain": 1.0, "other": 0.8})
    both = (written(tmp_path / "arms", name, [s]) for name, s in (("a", jit()), ("b", fewer)))
    assert gate(comparison(sides(*both), ["code"])).gone == [
        "jit, batch=64: jit: it is no arm of the trial any more"
    ]


def test_holm_does_not_count_what_has_too_few_blocks(tmp_path: Path) -> None:
    rest = [replace(jit(), experiment=f"few{n}", blocks=3) for n in range(8)]
    a, b = (
        written(tmp_path, name, [jit(jit=true), *rest], seed=seed)
        for name, true, seed in (("a", 0.8, 0), ("b", 0.785, 500))
    )
    found = gate(comparison(sides(a, b)))
    assert [change.key.experiment for change in found.improvements] == ["jit"]
    assert all(change.has_enough_blocks for change in found.changes)
    assert f"Too few blocks to tell: {len(found.few)}." in summary(found, ["a", "b"])


def test_files_of_the_baseline_that_cannot_be_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(measured(tmp_path / "old", 1))
    measured(tmp_path / "old", 2)
    new = measured(tmp_path / "new", 3)
    assert main(["gate", str(new), "--baseline", str(tmp_path / "old")]) == 0
    assert "1.jsonl, line" in capsys.readouterr().out.partition("left out:")[2]
