"""Tables leave as files, runs come from URLs, and a notebook shows them well."""

from pathlib import Path

import fsspec
import pandas as pd
import pytest

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.export import TABLES, export
from tests.reports import scenes, simulated


@pytest.fixture(scope="module")
def runs(folder: Path) -> reports.Runs:
    return reports.load(folder)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_come_back_as_they_went(form: str, runs: reports.Runs, tmp_path: Path) -> None:
    written = export(runs, tmp_path / "tables", form)  # type: ignore[arg-type]
    assert [Path(path).stem for path in written] == list(TABLES)
    read = pd.read_csv if form == "csv" else pd.read_parquet
    for path in written:
        frame = getattr(runs, Path(path).stem)
        again = read(path)
        assert list(again.columns) == list(frame.columns)
        assert len(again) == len(frame)
    samples = read(tmp_path / "tables" / f"samples.{form}")
    assert samples.step_time_s.sum() == pytest.approx(runs.samples.step_time_s.sum())


def test_the_command_writes_where_it_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(folder), "-o", str(tmp_path / "out"), "--format", "csv"]
    assert main(command) == 0
    assert all(Path(line).is_file() for line in capsys.readouterr().out.split())
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="a table can be written"):
        export(reports.load(folder), tmp_path / "file", "csv")


def test_files_that_cannot_be_read_are_named_beside_what_is_written_of_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cpu.jsonl").write_bytes((folder / "cpu.jsonl").read_bytes())
    (tmp_path / "bad\x1b[1m.jsonl").write_text("no run\n")
    out = str(tmp_path / "out")
    (run,) = reports.load(folder / "cpu.jsonl").runs
    number = f"{run.trials[0].answered[0]}/step_time_s"
    cite = ["cite", f"{run.trials[0].data.declared.trial}/{number}", "--runs", str(tmp_path)]
    for command in (["export", str(tmp_path), "-o", out], ["comment", str(tmp_path)], cite):
        assert main(command) == 0
        said = capsys.readouterr()
        assert said.err.startswith("left out: ")
        assert "bad�[1m.jsonl" in said.err
        assert "left out" not in said.out


def test_runs_are_read_from_urls(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.makedirs("/bucket/deep", exist_ok=True)
    memory.pipe("/bucket/deep/cpu.jsonl", (folder / "cpu.jsonl").read_bytes())
    memory.pipe("/bucket/bad.jsonl", b"no run\n")
    ways = ("memory://bucket", "memory://bucket/deep/*.jsonl", "memory://bucket/deep/cpu.jsonl")
    for way in ways:
        assert [r.header.run for r in reports.load(way).runs] == ["2026-01-02T0304-cpu000"]
    (bad,) = reports.load("memory://bucket").refused
    assert "memory://" in str(bad.error)


@pytest.mark.parametrize("url", ["memory://nowhere/x.jsonl", "nosuch://bucket/x.jsonl"])
def test_urls_that_cannot_be_read_are_refused_in_three_parts(url: str) -> None:
    with pytest.raises(RecordError, match="URL"):
        reports.load(url)


def test_a_notebook_shows_verdicts_in_words(runs: reports.Runs) -> None:
    html = runs._repr_html_()
    assert "0.931× [0.924, 0.939]" in html
    assert "(simulated)" in html
    assert "<script>" not in html


def test_a_notebook_shows_hostile_names_as_text(tmp_path: Path) -> None:
    scene = scenes.scenes()[0]
    scene.step = {"plain": 1.0, "<script>alert(1)</script>": 0.9}
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    loaded = reports.load(tmp_path)
    for html in (loaded._repr_html_(), loaded.trials._repr_html_()):
        assert "<script>" not in html


def test_history_marks_what_changed(tmp_path: Path) -> None:
    for number in range(4):
        head = simulated.header(f"run{number}")
        keras = {"packages": {"keras": "3.15.1" if number < 2 else "3.16.0"}}
        changed = {
            "environment": head.environment | keras,
            "started": f"2026-01-0{number + 1}T00:00:00+00:00",
        }
        path = tmp_path / f"{number}.jsonl"
        simulated.write(path, head.model_copy(update=changed), scenes.scenes()[:1])
    history = reports.load(tmp_path).history
    assert list(history.run.unique()) == ["run0", "run1", "run2", "run3"]
    marked = history[history.environment_changed != ""]
    assert list(marked.run.unique()) == ["run2"]
    assert marked.environment_changed.iloc[0] == "packages.keras: '3.15.1' → '3.16.0'"
