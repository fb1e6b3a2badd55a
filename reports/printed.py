"""The first screen as it was printed to a PDF, held against the same page made again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.checked import Checked
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Runs
from keras_ab.reports.page import PROVEN, generator, page

BEGINS = b"%PDF-"
NEXT_PAGE = "\f"
_DIGEST = re.compile("SHA-256([0-9a-f]{16})")
_MADE_BY = re.compile("^(.*?)fromrun")
_UNPRINTED = {"nav", "script", "style", "svg", "button"}


def is_pdf(file: Path) -> bool:
    """Tell whether a file is a PDF."""
    with file.open("rb") as opened:
        return opened.read(len(BEGINS)) == BEGINS


def read_pdf(file: Path) -> str:
    """Return the words of a PDF, page after page.

    Raises:
        RecordError: where pypdf is missing, or the file cannot be read.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise RecordError(
            "the words of a PDF are read by pypdf", error, "pip install 'keras-ab[reports]'"
        ) from error
    try:
        return NEXT_PAGE.join(printed.extract_text() for printed in PdfReader(file).pages)
    except (PyPdfError, ValueError, KeyError) as error:
        raise RecordError(
            "a PDF to verify can be read", f"{file}: {error}", "print the report anew"
        ) from error


def printed_digests(written: str) -> list[str]:
    """Return how the SHA-256 of each run begins that a printed page says it is from."""
    return _DIGEST.findall(_provenance("".join(_first_pages(written))))


def check_printed(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of the first screen in the words of printed pages.

    Letter for letter, spaces aside: where lines break is the printer's. What a browser writes above
    and below each page is no part of it.

    Args:
        written: the words of all pages; see `read_pdf`.
        runs: where those that it names may be.
    """
    told, digests = _first_pages(written), printed_digests(written)
    own = [run for run in runs.runs if run.run.sha256[:16] in digests]
    absent = set(digests) - {run.run.sha256[:16] for run in own}
    yield from (Checked("run missing", f"SHA-256 {d}", "no sound file") for d in sorted(absent))
    made_by = "".join(_MADE_BY.findall(_provenance("".join(told))))
    if made_by != squeezed(generator()):
        why = f"made by {legible(made_by, 200)}, this is {generator()}"
        yield Checked("other version", "the PDF", why)
    elif not absent:
        yield _against(squeezed(first_screen(page(Runs(own)))), told, len(own))


def _provenance(told: str) -> str:
    return told.rpartition("Madeby")[2]


def _first_pages(written: str) -> list[str]:
    """Return the pages of the first screen, squeezed; it ends with where it is from."""
    told, end = [squeezed(words) for words in written.split(NEXT_PAGE)], squeezed(PROVEN)
    for number, words in enumerate(told, 1):
        if end in words:
            return told[:number]
    raise RecordError(
        "a PDF to verify is a report of keras-ab, printed from its first page on",
        f"{len(told)} pages, none with “{PROVEN}”",
        "print the page that keras-ab report made, its first page included",
    )


def _against(expected: str, told: Iterable[str], runs: int) -> Checked:
    """Return whether pages say what is expected, each of them what the ones before left out."""
    left = expected
    for words in told:
        left = left[_longest(left, words) :]
    if not left:
        return Checked("holds", f"the first screen of the PDF, from {count(runs, 'run')}")
    at = len(expected) - len(left)
    after, gives = expected[max(0, at - 40) : at], left[:40]
    return Checked("altered", "the PDF", f"after {after!r} the run gives {gives!r}")


def _longest(expected: str, words: str) -> int:
    """Return how much of a text, from its beginning on, stands somewhere in another."""
    known, beyond = 0, len(expected) + 1
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if expected[:middle] in words:
            known = middle
        else:
            beyond = middle
    return known


def squeezed(words: str) -> str:
    """Return a text without its spaces, letters that a font joins taken apart."""
    return "".join(unicodedata.normalize("NFKC", words).split())


def first_screen(html: str) -> str:
    """Return the words that are printed of a page's first screen."""
    parser = _FirstScreen()
    parser.feed(html)
    return " ".join(parser.words)


class _FirstScreen(HTMLParser):
    """Collects the words in the header of a page that paper shows."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._inside = False
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside |= tag == "header"
        unprinted = tag in _UNPRINTED or "needs-script" in (dict(attrs).get("class") or "").split()
        self._hidden += bool(self._hidden or unprinted)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= bool(self._hidden)
        self._inside &= tag != "header"

    def handle_data(self, data: str) -> None:
        if self._inside and not self._hidden:
            self.words.append(data)
