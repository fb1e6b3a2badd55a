"""The index of a store: what it tells, that it may be old, spoilt or missing, and what it saves."""

import pandas as pd
import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.parts import part
from keras_ab.bench.lab.record.store import InFolder, store
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports import index
from tests.reports.scenes import scenes
from tests.reports.simulated import header, write

LABELS, OPTIMIZERS = scenes()[:1], scenes()[2:3]


@pytest.fixture
def kept_in(tmp_path):
    """Return a store of three runs: one of labels, one of optimizers, one of both."""
    folder = tmp_path / "store"
    held = {"a": LABELS, "b": OPTIMIZERS, "c": LABELS + OPTIMIZERS}
    for number, (name, trials) in enumerate(held.items()):
        write(folder / f"{name}.jsonl", header(name), trials, first_seed=10 * number)
    return store(folder)


def experiments(found):
    return {(row.name, row.experiment) for row in found.rows}


ALL = {("a", "labels"), ("b", "optimizers"), ("c", "labels"), ("c", "optimizers")}


def test_it_tells_which_run_has_which_trials(kept_in):
    assert experiments(index.write(kept_in)) == ALL
    again = index.known(kept_in)
    assert experiments(again) == ALL
    assert not again.unknown
    assert all(row.ended and row.run == row.name for row in again.rows)
    assert [run.name for run in again.having(["labels"])] == ["a", "c"]


def test_a_report_on_one_experiment_reads_the_runs_that_have_it(kept_in, monkeypatch):
    index.write(kept_in)
    read = []
    monkeypatch.setattr(
        "keras_ab.reports.loading.read_run", lambda path: read.append(path.name) or run(path)
    )
    from keras_ab.bench.lab.record.run_file import read_run as run

    runs = reports.load(kept_in.url, ["labels"])
    assert read == ["a.jsonl", "c.jsonl"]
    assert [[t.data.declared.experiment for t in run.trials] for run in runs.runs] == [
        ["labels"],
        ["labels"],
    ]


def test_what_is_judged_is_what_the_whole_run_says(kept_in):
    whole = reports.load(kept_in.url).trials
    part_of_it = reports.load(kept_in.url, ["labels"]).trials
    expected = whole[whole.experiment == "labels"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part_of_it, expected, check_dtype=False)


def test_of_other_experiments_nothing_is_held(kept_in):
    _, both = reports.load(kept_in.url, ["labels"]).runs
    told = {record.trial for record in both.run.records if hasattr(record, "trial")}
    assert told == {trial.data.declared.trial for trial in both.trials}


def test_runs_that_came_later_are_found_without_a_new_index(kept_in, tmp_path):
    index.write(kept_in)
    write(tmp_path / "store" / "d.jsonl", header("d"), LABELS)
    assert [run.header.run for run in reports.load(kept_in.url, ["labels"]).runs] == ["a", "c", "d"]
    assert [run.name for run in index.known(kept_in).unknown] == ["d"]


def test_only_new_runs_are_looked_at_unless_all_shall_be(kept_in, tmp_path, monkeypatch):
    index.write(kept_in)
    write(tmp_path / "store" / "d.jsonl", header("d"), LABELS)
    read = []
    whole = InFolder.read
    monkeypatch.setattr(InFolder, "read", lambda self, name: read.append(name) or whole(self, name))
    index.write(kept_in)
    assert read == ["index.parquet", "d.jsonl"]
    read.clear()
    assert len(index.write(kept_in, anew=True).runs) == 4
    assert sorted(read) == ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"]


@pytest.mark.parametrize("spoilt", [b"", b"PAR1 no", b"x" * 1000])
def test_a_spoilt_index_is_made_anew(kept_in, spoilt):
    kept_in.replace(index.NAME, spoilt)
    assert [run.name for run in index.current(kept_in).having(["labels"])] == ["a", "c"]


def test_an_index_that_lies_is_held_against_what_is_there(kept_in, tmp_path):
    """It can hide a trial, as whoever writes to the store could remove it; it adds none."""
    other = store(tmp_path / "other")
    write(tmp_path / "other" / "elsewhere.jsonl", header("elsewhere"), LABELS)
    index.write(other)
    kept_in.replace(index.NAME, other.read(index.NAME))
    assert [run.name for run in index.current(kept_in).having(["labels"])] == ["a", "c"]


def test_a_file_that_is_no_run_is_left_out_and_said(kept_in, capsys):
    kept_in.create("bad.jsonl", b"{}\n")
    kept_in.create("worse.jsonl", b'{"kind":"header"' + b"[" * 100_000 + b"\n")
    assert main(["index", kept_in.url]) == 0
    assert capsys.readouterr().out == "3 runs, 4 trials; 2 files left out\n"


def test_a_run_that_could_not_be_read_once_is_read_again(kept_in, monkeypatch):
    """Its size is what it was, and still its rows say nothing of what it has."""
    whole = InFolder.read

    def failing(self, name):
        if name == "c.jsonl":
            raise RecordError("a store can be read", f"{name}: timed out", "try again")
        return whole(self, name)

    monkeypatch.setattr(InFolder, "read", failing)
    assert [run.name for run in index.write(kept_in).refused] == ["c"]
    monkeypatch.setattr(InFolder, "read", whole)
    assert [run.name for run in index.known(kept_in).unknown] == ["c"]
    assert [run.header.run for run in reports.load(kept_in.url, ["labels"]).runs] == ["a", "c"]
    assert experiments(index.write(kept_in)) == ALL


def test_a_report_on_one_experiment_names_what_cannot_be_read(kept_in, tmp_path):
    kept_in.create("bad.jsonl", b"{}\n")
    index.write(kept_in)
    runs = reports.load(kept_in.url, ["labels"])
    assert [run.header.run for run in runs.runs] == ["a", "c"]
    assert ["bad.jsonl" in str(bad.path) for bad in runs.refused] == [True]
    page = tmp_path / "page.html"
    assert main(["report", kept_in.url, "--only", "labels", "-o", str(page)]) == 0
    assert "a file of another kind" in page.read_text()
    with pytest.raises(RecordError, match=r"alchemy: in none of the runs in .*; not read: bad"):
        reports.load(kept_in.url, ["alchemy"])


def test_an_experiment_that_no_run_has_is_refused(kept_in):
    with pytest.raises(RecordError, match="alchemy: in none of the runs in"):
        reports.load(kept_in.url, ["alchemy"])


def test_a_run_under_way_is_reported_on_from_its_parts(tmp_path):
    data = write(tmp_path / "r.jsonl", header("r"), LABELS).read_bytes()
    cut = data.rfind(b"\n", 0, len(data) // 2) + 1
    kept_in = store(tmp_path / "store")
    kept_in.create(part("r", 0), data[:100])
    kept_in.create(part("r", 100), data[100:cut])
    for wanted in ([], ["labels"]):
        (run,) = reports.load(kept_in.url, wanted).runs
        assert not run.run.sealed
        assert run.trials[0].data.rounds
    assert reports.load(f"{kept_in.url}/r.parts").runs[0].header.run == "r"


def test_a_store_at_a_url_has_a_report(tmp_path):
    kept_in = store("memory://of-an-index/team")
    for name, trials in (("a", LABELS), ("b", OPTIMIZERS)):
        kept_in.create(
            f"{name}.jsonl", write(tmp_path / f"{name}.jsonl", header(name), trials).read_bytes()
        )
    index.write(kept_in)
    page = tmp_path / "page.html"
    assert main(["report", kept_in.url, "--only", "optimizers", "-o", str(page)]) == 0
    assert "adafactor" in page.read_text()
    assert "one_hot" not in page.read_text()


def test_a_page_on_one_experiment_says_so_and_verifies(kept_in, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", kept_in.url, "--only", "labels", "-o", str(page)]) == 0
    assert "Of these runs, labels alone" in page.read_text()
    assert main(["verify", str(page), "--runs", kept_in.url]) == 0, capsys.readouterr().out
    page.write_text(page.read_text().replace('content="labels"', 'content="optimizers"'))
    assert main(["verify", str(page), "--runs", kept_in.url]) == 1


def test_a_store_as_s3_has_a_report_with_nobodys_secrets(s3, tmp_path):
    kept_in = store(f"{s3}/team")
    data = write(tmp_path / "a.jsonl", header("a"), LABELS).read_bytes()
    kept_in.create("a.jsonl", data)
    index.write(kept_in)
    page = tmp_path / "page.html"
    assert main(["report", kept_in.url, "--only", "labels", "-o", str(page)]) == 0
    written = page.read_bytes() + kept_in.read("index.parquet")
    assert b"secret-of-the-test" not in written
