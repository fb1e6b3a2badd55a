"""A PDF of the first screen holds, and one altered digit in its words does not."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports import printed
from keras_ab.reports.page import page, write_page
from keras_ab.reports.verify import compare_pages
from tests.reports.test_compare import written
from tests.reports.test_summary import ARMS, scene

SECTIONS = ("summary", "answers", "machines", "history")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two runs on one machine, of which the later is worse, and one on another."""
    folder = tmp_path_factory.mktemp("printed")
    written(folder, "a", [scene()])
    written(folder, "b", [scene(step=ARMS | {"fast": 0.6})], seed=5)
    written(folder, "c", [scene(step=ARMS | {"slow": 0.5})], 1, seed=9)
    return folder


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return page(reports.load(folder))


@pytest.fixture(scope="module")
def words(html: str) -> str:
    """Return what a printer makes of the first screen: two pages, each with a head and a foot."""
    told = printed.first_screen(html).split()
    pages = (told[: len(told) // 2], told[len(told) // 2 :])
    return "\f".join(f"1/2/26, 3:04 PM {' '.join(part)} file:///r.html 1/9" for part in pages)


def altered(text: str, place: int, by: int) -> str:
    """Return a text with one of its digits made another."""
    digits = [m.start() for m in re.finditer(r"\d", text)]
    at = digits[place % len(digits)]
    return f"{text[:at]}{(int(text[at]) + by) % 10}{text[at + 1 :]}"


ANOTHER = {"place": st.integers(0, 10**6), "by": st.integers(1, 9)}


@given(section=st.sampled_from(SECTIONS), **ANOTHER)
def test_one_altered_digit_of_the_page_is_found(html: str, section: str, place: int, by: int):
    start = html.index(f'id="{section}"')
    end = html.index("</section>", start)
    spoilt = html[:start] + altered(html[start:end], place, by) + html[end:]
    assert {entry.state for entry in compare_pages(spoilt, html)} == {"altered"}


def test_the_words_of_a_printed_page_hold(words: str, folder: Path) -> None:
    (entry,) = printed.check_printed(words, reports.load(folder))
    assert str(entry) == "holds: the first screen of the PDF, from 3 runs"


def test_every_altered_digit_of_a_printed_page_is_found(
    words: str, html: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = reports.load(folder)
    monkeypatch.setattr(printed, "page", lambda _: html)
    first, head = words.split("\f")[0], len("1/2/26, 3:04 PM ")
    digits = sum(c.isdigit() for c in first[head : first.index("file:")])
    assert digits > 40
    for place in range(digits):
        for by in (1, 7):
            spoilt = first[:head] + altered(first[head:], place, by)
            entries = list(printed.check_printed(words.replace(first, spoilt), runs))
            assert {entry.state for entry in entries} == {"altered"}, (place, by)


def test_a_run_that_is_not_there_is_missing(words: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes((folder / "a.jsonl").read_bytes())
    entries = list(printed.check_printed(words, reports.load(tmp_path)))
    assert [entry.state for entry in entries] == ["run missing"] * 2


def test_a_pdf_of_something_else_is_refused(folder: Path) -> None:
    with pytest.raises(RecordError, match="printed from its first page on"):
        list(printed.check_printed("Dear all,\f yours", reports.load(folder)))


def test_the_page_of_another_version_is_told(words: str, folder: Path) -> None:
    other = words.replace("Made by keras-ab", "Made by keras-ab 9.9, or keras-ab")
    (entry,) = printed.check_printed(other, reports.load(folder))
    assert entry.state == "other version"


@pytest.mark.parametrize("size", ["A4", "Letter", "A5"])
def test_what_chromium_prints_is_verified(
    browser: Any, folder: Path, tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    report, pdf = write_page(folder, tmp_path / "r.html"), tmp_path / "r.pdf"
    for spoilt, status in ((False, 0), (True, 1)):
        if spoilt:
            whole = report.read_text(encoding="utf-8")
            start = whole.index('id="summary"')
            report.write_text(whole[:start] + altered(whole[start:], 3, 1), encoding="utf-8")
        tab = browser.new_page()
        tab.goto(report.as_uri())
        tab.pdf(path=pdf, format=size, display_header_footer=True)
        tab.close()
        assert main(["verify", str(pdf), "--runs", str(folder)]) == status
        told = capsys.readouterr().out
        assert told.startswith("altered" if spoilt else "holds: the first screen of the PDF")


def test_a_broken_pdf_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pypdf", reason="pypdf is not installed")
    (tmp_path / "r.pdf").write_bytes(b"%PDF-1.4\nnothing")
    assert main(["verify", str(tmp_path / "r.pdf"), "--runs", str(tmp_path)]) == 2
    assert "can be read" in capsys.readouterr().err
