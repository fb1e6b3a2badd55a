"""Hold a page, or a document that quotes numbers, against the raw runs."""

from __future__ import annotations

import difflib
import html
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Literal

from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.citing import FORMATS, MARK, Quotable, id_part, quotables
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Runs, load
from keras_ab.reports.page import generator, page

_ID = re.compile(rf"{MARK}([A-Za-z0-9\[\]:=,._~%/-]+)")
_RUN = re.compile(r'<meta name="keras-ab-run" content="([^"]*) ([0-9a-f]{64})">')
_GENERATOR = re.compile(r'<meta name="generator" content="([^"]*)">')
_QUOTED = re.compile(r'\b(data-source|data-cite|id)="([^"]*)"')
_LEFT_OUT = re.compile(r'<section class="notice left-out".*?</section>\n?', re.DOTALL)
"""What a page says of files that were not read: it depends on where they lay."""


@dataclass(frozen=True)
class Checked:
    """What became of one quoted number, or of one line of a page."""

    state: Literal["holds", "altered", "run missing", "other version"]
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.what}" + (f"\n    {self.why}" if self.why else "")


def verify(file: str | Path, paths: str | Path | Iterable[str | Path]) -> list[Checked]:
    """Recompute every number that a page or document quotes.

    Args:
        file: a page that `keras-ab report` made, or a text with sentences of `keras-ab cite`.
        paths: where the raw runs are; see `reports.load`.

    Raises:
        RecordError: where the file cannot be read, or quotes nothing.
    """
    try:
        written = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordError(
            "a document to verify can be read", f"{file}: {error.strerror}", "check the path"
        ) from error
    runs = load(paths)
    check = check_page if _GENERATOR.search(written) else check_document
    checked = list(check(written, runs))
    if not checked:
        raise RecordError(
            f"a document to verify is a report, or quotes numbers with their ids ({MARK}…)",
            f"{file}, which does neither",
            "quote what keras-ab cite ID prints, its id included",
        )
    return checked


def _flat(written: str) -> str:
    """Return a text on one line: no quotation marks at line starts, no escaping backslashes."""
    return " ".join(re.sub(r"(?m)^[ \t]*>+", " ", written).replace("\\", "").split())


def check_document(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of every sentence that a document quotes."""
    known = {quotable.id: quotable for quotable in quotables(runs.runs)}
    flat = _flat(written)
    for found in _ID.finditer(flat):
        quotable = known.get(found[1])
        yield _sentence(flat, found, quotable) if quotable else _unknown(found[1], runs)


def _sentence(flat: str, found: re.Match[str], quotable: Quotable) -> Checked:
    """Hold the words around an id against the sentence that belongs there."""
    closest, fewest = "", math.inf
    for form in FORMATS:
        expected = _flat(quotable.sentence(form))
        before, after = expected.split(found[0])
        start = max(0, found.start() - len(before))
        quoted = flat[start : found.end() + len(after)]
        if quoted == expected:
            return Checked("holds", quotable.id)
        wrong = _words_apart(quoted, expected)
        if len(wrong) < fewest:
            closest, fewest = wrong, len(wrong)
    return Checked("altered", quotable.id, closest)


def _words_apart(quoted: str, expected: str) -> str:
    """Say in which words a quotation differs from what the raw samples give."""
    old, new = quoted.split(), expected.split()
    same = _alike(old, new)  # a figure is one line of thousands of words
    end = _alike(old[same:][::-1], new[same:][::-1])
    old, new = old[same : len(old) - end], new[same : len(new) - end]
    opcodes = difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    apart = [
        f"says {' '.join(old[i:j])!r}, the run gives {' '.join(new[k:m])!r}"
        for tag, i, j, k, m in opcodes
        if tag != "equal"
    ]
    return legible("; ".join(apart), 1000)


def _alike(a: list[str], b: list[str]) -> int:
    """Return how many words two lists begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _unknown(number: str, runs: Runs) -> Checked:
    run = number.partition("/")[0]
    if run in {id_part(r.header.run) for r in runs.runs}:
        return Checked("altered", number, "its run holds no such number")
    return Checked("run missing", number, f"no sound file of run {run}{_refusals(runs)}")


def _refusals(runs: Runs) -> str:
    refused = "; ".join(str(bad.error.received) for bad in runs.refused)
    return f"; left out: {legible(refused, 500)}" if refused else ""


def check_page(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of a page: of each of its runs, of its citations, of every line.

    A page made by this version is made once more and compared whole. Of a page made by another
    version the citations are compared, since wording and layout may have changed.
    """
    at_hand = {(r.header.run, r.run.sha256): r for r in runs.runs}
    said = [(html.unescape(run), digest) for run, digest in _RUN.findall(written)]
    for run, digest in said:
        if (run, digest) not in at_hand:
            yield _absent(run, digest, runs)
    made_by = html.unescape(_GENERATOR.findall(written)[0])
    if made_by != generator():
        why = (
            f"made by {legible(made_by, 200)}, this is {generator()}: its citations alone are held"
        )
        yield Checked("other version", "the page", f"{why} against the runs")
        yield from check_document(_sentences(written), runs)
    elif all(run in at_hand for run in said):
        own = Runs([at_hand[run] for run in said])
        yield from compare_pages(written, page(own))
    else:
        yield from check_document(_sentences(written), runs)


def _sentences(written: str) -> str:
    """Return the citations of a page as text, put together as its script does."""
    source, number, found = "", "", []
    for key, value in _QUOTED.findall(written):
        words = html.unescape(value)
        if key == "data-source":
            source = words
        elif key == "id":
            number = words
        else:
            found.append(f"{words}{source}{number})." if source else words)
    return "\n".join(found)


def _absent(run: str, digest: str, runs: Runs) -> Checked:
    others = [r.run.sha256 for r in runs.runs if r.header.run == run]
    if others:
        why = f"the page was made from SHA-256 {digest[:16]}, the file has {others[0][:16]}"
        return Checked("altered", f"run {run}", why)
    return Checked("run missing", f"run {run}", f"no sound file of it{_refusals(runs)}")


def compare_pages(written: str, again: str) -> Iterator[Checked]:
    """Yield one entry for each line in which a page differs from the one made again."""
    old, new = (_LEFT_OUT.sub("", text).splitlines() for text in (written, again))
    numbers = [number for number, (x, y) in enumerate(zip_longest(old, new), 1) if x != y]
    for number in numbers:
        x, y = (lines[number - 1] if number <= len(lines) else "" for lines in (old, new))
        yield Checked("altered", f"line {number}", _words_apart(x, y))
    if not numbers:
        count = len(set(_ID.findall(_sentences(written))))
        yield Checked("holds", f"every line of the page, {count} citations among them")
