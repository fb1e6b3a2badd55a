"""Every number can be cited, and every digit that was changed since is found."""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports import loading
from keras_ab.reports.citing import FORMATS, LONGEST, MARK, cite, number_id, quotables, to_cite
from keras_ab.reports.judged import JudgedTrial, judge_trial
from keras_ab.reports.page import page
from keras_ab.reports.verify import check_document, compare_pages, verify
from tests.reports import scenes, simulated
from tests.reports.test_page import hostile_scene

EXAMPLES = Path(__file__).parents[2] / "examples"

DIGIT = re.compile(r"\d")


@pytest.fixture(scope="module")
def runs(folder: Path) -> reports.Runs:
    return reports.load(folder)


def other(digit: str) -> str:
    return str((int(digit) + 1) % 10)


def changed(text: str, place: int) -> str:
    """Return text with the digit at a place changed."""
    return f"{text[:place]}{other(text[place])}{text[place + 1 :]}"


def test_ids_are_unique_and_name_run_trial_arm_and_metric(runs: reports.Runs) -> None:
    ids = [quotable.id for quotable in quotables(runs.runs)]
    assert len(ids) == len(set(ids))
    assert "2026-01-02T0304-cpu000/labels[classes=10,batch=256]/sparse_int32/step_time_s" in ids


def test_a_sentence_says_all_that_a_reader_needs(runs: reports.Runs) -> None:
    number = "2026-01-02T0304-cpu000/labels[classes=1000,batch=256]/sparse_int32/step_time_s"
    found = cite(runs.runs, number)
    digest = found.run.run.sha256[:16]
    assert found.sentence() == (
        "Simulated, not measured: labels (classes=1000, batch=256): step time of sparse_int32 "
        "against one_hot: 0.931× [0.924, 0.939] (95 % interval, 8 blocks; 6.05 ms against 6.50 ms)"
        ", better. Simulated 8-core processor, 8 cores; TensorFlow 2.21.0, Keras 3.15.1, "
        f"Python 3.11.7; keras-ab run 2026-01-02T0304-cpu000, SHA-256 {digest} "
        f"(keras-ab:{number})."
    )
    assert r"\texttt{sparse\_int32}" in found.sentence("latex")
    assert r"0.931$\times$" in found.sentence("latex")
    assert "`sparse_int32`" in found.sentence("markdown")


def test_an_answer_is_cited_with_all_that_it_sums_up(runs: reports.Runs) -> None:
    found = cite(runs.runs, "cpu000/optimizers[width=512,depth=2]/adafactor/answer")
    assert "adafactor against adam, in one word: trade (step time 1.31×" in found.sentence()
    assert "; test accuracy −0.005" in found.sentence()
    assert "peak device memory 0.80× exactly, better" in found.sentence()


def test_the_times_of_a_sentence_never_contradict_its_ratio(tmp_path: Path) -> None:
    """The medians of one copy and of the arm would, in a trial of ten."""
    scenes = [
        simulated.Scene("x", "?", {"n": n}, {"a": 1.0, "b": 1.01}, noise=0.03) for n in range(40)
    ]
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), scenes)
    (run,) = reports.load(tmp_path).runs
    for trial in run.trials:
        step = trial.find("b", "step_time_s")
        assert step is not None
        assert math.log(step.arm_value / step.baseline_value) == pytest.approx(step.estimate.point)


def test_what_is_cited_of_files_is_the_same_and_judges_its_own_trial_alone(
    runs: reports.Runs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []

    def counting(data: TrialData, *rest: Any) -> JudgedTrial:
        judged.append(data.declared.trial)
        return judge_trial(data, *rest)

    monkeypatch.setattr(loading, "judge_trial", counting)
    for quotable in quotables(runs.runs):
        judged.clear()
        wanted = MARK + quotable.id
        assert cite(to_cite(folder, wanted).runs, wanted).sentence() == quotable.sentence()
        assert judged == [quotable.trial.data.declared.trial]
    for wanted in ("nothing", "step_time_s", ""):
        with pytest.raises(RecordError) as here:
            cite(to_cite(folder, wanted).runs, wanted)
        with pytest.raises(RecordError) as there:
            cite(runs.runs, wanted)
        assert str(here.value) == str(there.value)


def test_an_id_that_names_no_number_or_many_is_refused(runs: reports.Runs) -> None:
    with pytest.raises(RecordError, match="which 0 of"):
        cite(runs.runs, "nothing")
    with pytest.raises(RecordError, match="names one number"):
        cite(runs.runs, "step_time_s")


def test_every_sentence_in_every_format_verifies(runs: reports.Runs, tmp_path: Path) -> None:
    for form in FORMATS:
        sentences = [quotable.sentence(form) for quotable in quotables(runs.runs)]
        document = "\n\n".join(f"> {s.replace(' [', chr(10) + '> [')}" for s in sentences)
        checked = list(check_document(document, runs))
        assert [entry for entry in checked if entry.state != "holds"] == []
        assert len(checked) == len(sentences)


@pytest.mark.parametrize("form", FORMATS)
def test_every_digit_of_a_sentence_counts(runs: reports.Runs, form: str) -> None:
    number = "cpu000/optimizers[width=512,depth=2]/adafactor/optimizer_state_bytes"
    sentence = cite(runs.runs, number).sentence(form)
    for found in DIGIT.finditer(sentence):
        edited = changed(sentence, found.start())
        states = {entry.state for entry in check_document(edited, runs)}
        assert states & {"altered", "run missing"}, edited


def test_every_digit_of_a_page_counts(folder: Path) -> None:
    """All lines at once, one digit of each: in twelve passes most lines lose every digit once."""
    again = page(reports.load(folder / "gpu.jsonl"))
    lines = again.splitlines()
    passes, tried = 12, 0
    for number in range(passes):
        edited, expected = [], []
        for line in lines:
            places = [found.start() for found in DIGIT.finditer(line)]
            mine = places[number::passes] if len(places) <= passes else places[number::97][:1]
            edited.append(changed(line, mine[0]) if mine else line)
            expected += [f"line {len(edited)}"] if mine else []
        assert [entry.what for entry in compare_pages("\n".join(edited), again)] == expected
        tried += len(expected)
    assert tried > 2000


def test_a_page_verifies_and_an_edited_one_does_not(
    folder: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [entry.state for entry in verify(written, folder)] == ["holds"]
    html = written.read_text(encoding="utf-8")
    edited = tmp_path / "edited.html"
    said = "0.931× [0.924, 0.939]</span>"
    edited.write_text(html.replace(said, said.replace("0.931", "0.921"), 1), encoding="utf-8")
    assert main(["verify", str(edited), "--runs", str(folder)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("altered: line")
    assert "0.921×" in said


@pytest.mark.parametrize("tag", ["keras-ab-run", "generator"])
def test_the_page_s_own_words_about_itself_count(
    tag: str, folder: Path, written: Path, tmp_path: Path
) -> None:
    html = written.read_text(encoding="utf-8")
    start = html.index(f'<meta name="{tag}"')
    place = start + DIGIT.search(html[start:]).start()  # type: ignore[union-attr]
    edited = tmp_path / "edited.html"
    edited.write_text(changed(html, place), encoding="utf-8")
    assert {e.state for e in verify(edited, folder)} & {"altered", "run missing", "other version"}


def test_a_page_that_names_no_run_does_not_hold(
    folder: Path, written: Path, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.html"
    named = re.compile('<meta name="keras-ab-run"[^>]*>')
    edited.write_text(named.sub("", written.read_text(encoding="utf-8")), encoding="utf-8")
    (entry,) = verify(edited, folder)
    assert (entry.state, entry.what) == ("altered", "the page")


def test_a_missing_run_is_named(folder: Path, written: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "cpu.jsonl", tmp_path)
    checked = verify(written, tmp_path)
    missing = {entry.what for entry in checked if entry.state == "run missing"}
    assert "run 2026-01-02T0304-gpu000" in missing
    assert all(entry.state != "altered" for entry in checked)


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_digit_changed_in_a_run_file_is_found(name: str, folder: Path, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    loaded = reports.load(folder / f"{name}.jsonl").runs
    document.write_text(next(iter(quotables(loaded))).sentence("markdown"), encoding="utf-8")
    shutil.copytree(folder, tmp_path / "runs")
    path = tmp_path / "runs" / f"{name}.jsonl"
    data = path.read_text(encoding="utf-8")
    found = re.search(r'"step_time_s":\{"[a-z_0-9]+":0\.00\d(\d)', data)
    assert found
    path.write_text(changed(data, found.start(1)), encoding="utf-8")
    (entry,) = verify(document, tmp_path / "runs")
    assert entry.state in ("altered", "run missing")
    assert name == "gpu" or "the seal does not match" in entry.why


def test_a_document_that_quotes_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("Nothing here.")
    with pytest.raises(RecordError, match="quotes numbers with their ids"):
        verify(tmp_path / "empty.md", folder)
    with pytest.raises(RecordError, match="can be read"):
        verify(tmp_path / "none.md", folder)


def test_what_the_readme_quotes_holds() -> None:
    root = Path(__file__).parents[2]
    checked = verify(root / "README.md", root / "examples")
    assert [(entry.state, entry.why) for entry in checked if entry.state != "holds"] == []


def test_hostile_names_make_safe_ids_and_sentences_that_verify(tmp_path: Path) -> None:
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [hostile_scene()])
    runs = reports.load(path)
    known = list(quotables(runs.runs))
    assert all(re.fullmatch(r"[A-Za-z0-9\[\]:=,._%/-]+", quotable.id) for quotable in known)
    for form in FORMATS:
        checked = list(check_document("\n".join(q.sentence(form) for q in known), runs))
        assert [entry.state for entry in checked] == ["holds"] * len(known)
        assert not [q for q in known if "\n" in q.sentence(form) or "\x1b" in q.sentence(form)]


def test_long_names_are_told_apart_by_their_digest() -> None:
    ids = {number_id("r", "t", end.rjust(10 * LONGEST, "x"), "m") for end in "ab"}
    assert len(ids) == 2
    assert all(len(number) < 2 * LONGEST for number in ids)


@pytest.mark.parametrize("name", ["x" * 200, "é", "a b"])
def test_a_name_finds_its_number_as_it_is_and_as_ids_have_it(tmp_path: Path, name: str) -> None:
    scene = simulated.Scene("x", "?", {name: 1}, {"a": 1.0, "b": 1.01})
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    (trial,) = reports.load(tmp_path).runs[0].trials
    whole = f"{trial.data.declared.trial}/b/step_time_s"
    known = number_id("r", trial.data.declared.trial, "b", "step_time_s")
    for wanted in (whole, f"r/{whole}", known):
        assert cite(to_cite(tmp_path, wanted).runs, wanted).id == known


def test_a_run_without_findings_can_still_be_verified(tmp_path: Path) -> None:
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), scenes.scenes()[4:5])
    (claim,) = quotables(reports.load(tmp_path).runs)
    assert "not measured here" in claim.sentence()
    assert "a guard is broken" in claim.sentence()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_sentence_cited_from_a_run_of_any_schema_verifies(path: Path, tmp_path: Path) -> None:
    sentences = [one.sentence("markdown") for one in quotables(reports.load(path).runs)]
    assert sentences
    document = tmp_path / "all.md"
    document.write_text("\n\n".join(sentences), encoding="utf-8")
    checked = verify(document, path)
    assert len(checked) >= len(sentences)
    assert [(entry.state, entry.why) for entry in checked if entry.state != "holds"] == []
