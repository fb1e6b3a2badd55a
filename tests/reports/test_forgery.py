"""What somebody may try so that a false number seems to hold, or a true one does not."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.citing import cite
from keras_ab.reports.page import write_page
from keras_ab.reports.verify import verify
from tests.reports import simulated
from tests.reports.test_compare import jit

NUMBER = "true/jit[batch=64]/jit/step_time_s"
FORGED = """<section class="notice left-out"><h1>Recomputation is 40 % faster</h1>
<script>alert(1)</script><!-- </section>
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a sealed run in a folder of its own."""
    return simulated.write(tmp_path / "runs" / "true.jsonl", simulated.header("true"), [jit()])


def states(document: Path | str, runs: Path) -> list[str]:
    return [entry.state for entry in verify(document, runs)]


def test_a_page_is_compared_whole_what_it_says_of_files_left_out_included(
    run: Path, tmp_path: Path
) -> None:
    (run.parent / "bad.jsonl").write_text("no run\n")
    page = write_page(run.parent, tmp_path / "page.html")
    (holds,) = verify(page, run.parent)
    assert holds.state == "holds"
    assert "was not judged" in holds.what
    html = page.read_text(encoding="utf-8")
    for place in ("<body>", "<main>", "<main>\n", "</main>"):
        for forged in (FORGED, FORGED.replace("left-out", "left-out x"), "<p>40 % faster</p>"):
            page.write_text(html.replace(place, place + forged, 1), encoding="utf-8")
            assert "holds" not in states(page, run.parent), (place, forged)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1 file left out", "Recomputation is faster"),
        ("<dt>must hold</dt><dd>", "<dt>must hold</dt><dd><b>"),
        ("<dt>received</dt>", "<dt>40 % faster</dt>"),
        ("</section>", "<p>40 % faster</p></section>"),
    ],
)
def test_the_notice_of_files_left_out_is_text_only(
    old: str, new: str, run: Path, tmp_path: Path
) -> None:
    (run.parent / "bad.jsonl").write_text("no run\n")
    page = write_page(run.parent, tmp_path / "page.html")
    html = page.read_text(encoding="utf-8")
    assert old in html
    page.write_text(html.replace(old, new, 1), encoding="utf-8")
    assert "holds" not in states(page, run.parent)


def test_a_report_is_written_over_nothing_but_a_report(run: Path, tmp_path: Path) -> None:
    kept = run.read_bytes()
    link = tmp_path / "link.html"
    link.symlink_to(run)
    notes = tmp_path / "notes.html"
    notes.write_text("<h1>mine</h1>")
    for target in (run, link, notes):
        with pytest.raises(RecordError, match="nothing but a report"):
            write_page(run, target)
    assert main(["report", str(run), "-o", str(run)]) == 2
    assert (run.read_bytes(), notes.read_text()) == (kept, "<h1>mine</h1>")
    page = write_page(run, tmp_path / "new.html")
    assert write_page(run, page) == page


def test_a_failed_write_leaves_the_old_page(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page(run, tmp_path / "page.html")
    before = page.read_bytes()
    written = Path.write_text

    def full(self: Path, data: str, **more: str) -> int:
        written(self, data[:100], **more)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecordError, match="No space left"):
        write_page(run, page)
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs"]


def planted(run: Path) -> Path:
    """Write other samples under the same id, with a name that sorts first."""
    scene = jit(jit=0.5)
    return simulated.write(run.with_name("a.jsonl"), simulated.header("true"), [scene])


def test_a_planted_run_does_not_shadow_the_true_one(run: Path, tmp_path: Path) -> None:
    true = cite(reports.load(run).runs, NUMBER).sentence()
    other = planted(run)
    document = tmp_path / "document.md"
    document.write_text(true)
    checked = verify(document, run.parent)
    assert [entry.state for entry in checked] == ["two contents", "holds"]
    assert str(run) in checked[0].why
    assert str(other) in checked[0].why
    with pytest.raises(RecordError, match="each run has one content") as caught:
        reports.load(run.parent)
    assert str(run) in str(caught.value)
    assert str(other) in str(caught.value)


def test_two_contents_count_neither_and_the_rest_is_read(run: Path) -> None:
    planted(run)
    simulated.write(run.with_name("b.jsonl"), simulated.header("b"), [jit()])
    runs = reports.load(run.parent)
    assert [r.header.run for r in runs.runs] == ["b"]
    assert len(runs.refused) == 2


@pytest.fixture
def sentence(run: Path) -> str:
    return cite(reports.load(run).runs, NUMBER).sentence("markdown")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: f"1{s}",
        lambda s: f"{s}7",
        lambda s: re.sub(r"0\.(\d)(\d)", r"0.\1\\\2", s, count=1),
        lambda s: f"~~{s}~~",
        lambda s: f"<del>\n{s}</del>",
        lambda s: f'<s class="x">{s}</s>',
        lambda s: f"~~It was thought that {s}~~",
    ],
)
def test_what_is_done_to_a_true_sentence_is_seen(
    change: Callable[[str], str], sentence: str, run: Path, tmp_path: Path
) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"Before. {sentence} After.")
    assert states(document, run) == ["holds"]
    document.write_text(f"Before. {change(sentence)} After.")
    assert change(sentence) != sentence
    assert states(document, run) == ["altered"]


@pytest.mark.parametrize("end", [" -->", ""])
def test_what_a_comment_holds_is_not_quoted(
    end: str, sentence: str, run: Path, tmp_path: Path
) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"XLA makes a step 40 % faster. <!-- {sentence}{end}")
    with pytest.raises(RecordError, match="quotes numbers with their ids"):
        verify(document, run)


@pytest.mark.parametrize("word", ["worse", "much, much worse", "nothing"])
def test_only_the_changed_word_is_complained_of(
    word: str, sentence: str, run: Path, tmp_path: Path
) -> None:
    document = tmp_path / "document.md"
    changed = sentence.replace(", better.", f", {word}.")
    assert changed != sentence
    document.write_text(f"So it is said of a step and of other things. {changed} And so on.")
    (entry,) = verify(document, run)
    assert entry.state == "altered"
    assert entry.why == f"says '{word}.', the run gives 'better.'"


def test_a_page_of_another_version_is_told_in_few_lines(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page(run, tmp_path / "page.html")
    monkeypatch.setattr("keras_ab.reports.verify.generator", lambda: "keras-ab 99")
    other, holds = verify(page, run)
    assert (other.state, holds.state) == ("other version", "holds")
    assert re.fullmatch(r"\d+ citations of the page", holds.what)
