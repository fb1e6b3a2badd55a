"""What a file, a URL or a name may do to a reader: be refused in three parts, and nothing else."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import Visible, main
from keras_ab.reports import remote
from keras_ab.reports.citing import FORMATS, quotables
from keras_ab.reports.export import export
from keras_ab.reports.page import page
from keras_ab.reports.verify import check_document
from tests.reports import scenes, simulated
from tests.reports.test_compare import jit

ESCAPE = "\x1b[2J\x1b]0;title\x07"


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a run, not sealed, in which every record was changed."""
    path = simulated.write(
        folder / "r.jsonl", simulated.header("r"), scenes.scenes()[1:2], seal=False
    )
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def set_where(kind: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record.update(fields) if record["kind"] == kind else None


@pytest.mark.parametrize(
    "change",
    [
        set_where("round", step_time_s={"one_hot": 1e308, "control": 1.0, "sparse_int32": 1.0}),
        set_where("round", step_time_s={"one_hot": 5e-324, "control": 1.0, "sparse_int32": 1.0}),
        set_where("round", gpu={"lowest_sm_clock_hz": 10**400}),
        set_where("round", steps=10**29),
        set_where("header", machine={"memory_bytes": {"deep": [10**400]}}),
        set_where("end", blocks_wanted=10**400),
        set_where("trial", case={f"p{n}": n for n in range(20_000)}),
        set_where("trial", case={"n": 10**400}),
    ],
)
def test_numbers_that_nothing_has_are_refused_by_line(change: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"line \d+"):
        reports.load(edited(tmp_path, change))


def test_a_trial_without_metrics_has_a_page(tmp_path: Path) -> None:
    path = edited(tmp_path, set_where("trial", metrics=[], claims=[]))
    assert "no block was finished" in page(reports.load(path)) or "not measured" in page(
        reports.load(path)
    )


def test_a_claim_that_contains_its_own_id_still_verifies(tmp_path: Path) -> None:
    number = "keras-ab:r/labels[classes=1000,batch=256]/claim/labels.compact"

    def quotes_itself(record: dict[str, Any]) -> None:
        if record["kind"] == "trial":
            record["claims"][0]["statement"] = f"see {number} (or {number})."

    runs = reports.load(edited(tmp_path, quotes_itself))
    for form in FORMATS:
        told = "\n\n".join(q.sentence(form) for q in quotables(runs.runs))
        checked = list(check_document(told, runs))
        assert [entry.state for entry in checked] == ["holds"] * len(list(quotables(runs.runs)))


class Stubborn(fsspec.AbstractFileSystem):
    """A file system that raises exceptions of its own, or never ends."""

    protocol = "stubborn"

    class Refusal(Exception):
        """Neither an OSError nor a ValueError."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            return b"x" * size

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": None, "type": "file"}

    def _open(self, path: str, *_: Any, **__: Any) -> Any:
        if "endless" in path:
            return self.Endless()
        raise self.Refusal(f"403 {ESCAPE}")


@pytest.mark.parametrize("name", ["endless", "forbidden"])
def test_a_url_without_end_or_with_errors_of_its_own_is_refused_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("stubborn", Stubborn, clobber=True)
    monkeypatch.setattr(remote, "LARGEST_BYTES", 1000)
    good = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [jit()])
    runs = reports.load([f"stubborn://{name}/r.jsonl", good])
    assert len(runs.runs) == 1
    (bad,) = runs.refused
    assert bad.error.do


def test_a_pipe_among_the_files_of_a_glob_is_passed_over(tmp_path: Path) -> None:
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [jit()])
    os.mkfifo(tmp_path / "a.jsonl")
    assert len(reports.load(str(tmp_path / "*.jsonl")).runs) == 1


def test_nothing_that_a_command_prints_can_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"bad{ESCAPE}.jsonl").write_text(json.dumps({ESCAPE: 1}) + "\n")
    path = simulated.write(
        tmp_path / "runs" / "r.jsonl", simulated.header("r" + ESCAPE), [jit()], seal=False
    )
    path.write_text(path.read_text().replace('"step time"', json.dumps("step" + ESCAPE)))
    for command in (
        ["cite", "jit/step_time_s", "--runs", str(path.parent)],
        ["report", f"{tmp_path}/bad{ESCAPE}.jsonl", "-o", str(tmp_path / "page.html")],
        ["compare", f"a{ESCAPE}={path}", f"b={path}"],
        ["gate", str(path), "--baseline", f"{ESCAPE}.jsonl"],
    ):
        main(command)
        out, err = capsys.readouterr()
        assert out + err
        assert not set(out + err) & {"\x1b", "\x07"}, command


def test_a_stream_that_cannot_write_a_letter_gets_another() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print("0.93× faster\tand\nmore", file=Visible(stream))
    stream.flush()
    assert raw.getvalue() == b"0.93? faster\tand\nmore\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk on this system")
def test_a_full_disk_is_an_error_in_three_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [jit()])
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["cite", "jit/step_time_s", "--runs", str(path)]) == 2
    assert "output can be written" in capsys.readouterr().err
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_no_cell_is_a_formula_and_no_table_is_replaced_unasked(tmp_path: Path) -> None:
    scene = simulated.Scene("x", "?", {"n": 1}, {"a": 1.0, "=HYPERLINK()": 1.0, "-1": 1.0})
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    runs = reports.load(tmp_path / "r.jsonl")
    export(runs, tmp_path / "out", "csv")
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert {"'=HYPERLINK()", "'-1"} == set(table.arm)
    with pytest.raises(RecordError, match="where there are none"):
        export(runs, tmp_path / "out", "csv")
    export(runs, tmp_path / "out", "csv", overwrite=True)
