"""What a side of a comparison is called and made of, and which trials of two sides meet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.compare import Side, comparison, side
from keras_ab.reports.compared import compared
from tests.reports import simulated
from tests.reports.simulated import Scene
from tests.reports.test_compare import UPGRADED, jit, sides, written

SAME = replace(jit(), experiment="same")
ON_JAX = {"backend": "jax", "started": "2026-01-03T00:00:00+00:00"}


def run(folder: Path, name: str, *scenes: Scene, **header: Any) -> Path:
    """Write a run whose header has something else in it."""
    head = simulated.header(name).model_copy(update=header)
    return simulated.write(folder / f"{name}.jsonl", head, list(scenes or [jit()]))


def upgraded() -> dict[str, Any]:
    return {"environment": simulated.header("").environment | {"packages": UPGRADED}}


def both(before: list[Path], after: list[Path]) -> list[Side]:
    return [side(n, reports.load(p).runs) for n, p in (("before", before), ("after", after))]


def test_versions_are_held_trial_by_trial(tmp_path: Path) -> None:
    """Both sides have both versions, and no trial has the same on both."""
    before = [run(tmp_path, "a", jit()), run(tmp_path, "b", SAME, **upgraded())]
    after = [run(tmp_path, "c", jit(), **upgraded()), run(tmp_path, "d", SAME)]
    with pytest.raises(RecordError, match="the same versions on all sides") as caught:
        comparison(both(before, after))
    for told in ("of jit, batch=64", "of same, batch=64", "TensorFlow 2.22.0"):
        assert told in str(caught.value)
    assert len(comparison(both(before, after), ["versions"]).sides[0].trials) == 2
    assert comparison(both(before, list(before))).sides


def test_no_backend_takes_the_place_of_another(tmp_path: Path) -> None:
    mixed = [run(tmp_path, "tf"), run(tmp_path, "jax", jit(jit=1.3), **ON_JAX)]
    keys = both(mixed, mixed)[0].trials
    assert [k.says for k in keys] == ["jit, batch=64, on tensorflow", "jit, batch=64, on jax"]
    alone = [run(tmp_path / "new", "tf2")]
    with pytest.raises(RecordError, match="not on every side: jit, batch=64, on jax"):
        comparison(both(mixed, alone))
    found = comparison(both(mixed, alone), ["cases"])
    assert {p.run.header.run for p in found.sides[0].trials.values()} == {"tf"}


def test_sides_of_one_backend_each_are_compared_across_backends(tmp_path: Path) -> None:
    tf, jax = [run(tmp_path, "tf")], [run(tmp_path, "jax", **ON_JAX)]
    found = comparison(both(tf, jax), ["versions"])
    assert [k.says for k in found.sides[1].trials] == ["jit, batch=64"]
    assert "backend: 'tensorflow' → 'jax'" in found.environments["after"]


def test_environments_are_of_all_runs_that_the_trials_are_from(tmp_path: Path) -> None:
    before = [run(tmp_path, "a", jit()), run(tmp_path, "b", SAME)]
    newer = {"environment": simulated.header("").environment | {"kernel": "Linux 7.0"}}
    after = [run(tmp_path, "c", jit(), **newer), run(tmp_path, "d", SAME)]
    assert comparison(both(before, after)).environments["after"] == [
        "kernel: 'Linux 6.0' → 'Linux 7.0'"
    ]


def test_a_colon_in_a_case_s_value_is_no_end_of_its_name(tmp_path: Path) -> None:
    tricky = replace(jit(), case={"layout": "a: b"})
    renamed = replace(tricky, step={"plain": 1.0, "jit_more": 0.8})
    a, b = sides(
        written(tmp_path, "a", [tricky, SAME]),
        written(tmp_path, "b", [renamed, SAME]),
    )
    result = comparison([a, b])
    assert [k.experiment for s in result.sides for k in s.trials] == ["same", "same"]
    assert result.refused == ["jit, layout=a: b: the code of jit, jit_more differs between a and b"]


def test_a_name_is_split_off_whatever_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fsspec = pytest.importorskip("fsspec")
    at = fsspec.filesystem("memory")
    at.pipe_file("/of-sides/k=v/r.jsonl", run(tmp_path, "there").read_bytes())
    run(tmp_path / "runs", "one", jit(jit=1.3))
    run(tmp_path / "a=b", "two")
    assert main(["compare", "old=memory://of-sides/k=v/r.jsonl", "new=runs/*.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "From old to new:" in said
    assert main(["compare", "memory://of-sides/k=v/r.jsonl", "a=b", "runs=runs"]) == 0
    said = capsys.readouterr().out
    assert "From r.jsonl to a=b:" in said
    assert "From r.jsonl to runs:" in said


def test_a_comparison_names_the_files_that_it_could_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "a", "one")
    run(tmp_path / "b", "two")
    (tmp_path / "b" / "bad.jsonl").write_text("{}\n")
    asked = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "markdown"]
    assert main(asked) == 0
    assert "bad.jsonl" in capsys.readouterr().out.partition("## Files that were left out")[2]
    assert "left out" not in compared(comparison(both([tmp_path / "a"], [tmp_path / "a"])))
