"""Hold a page, or a document that quotes numbers, against the raw runs."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.checked import Checked, words_apart
from keras_ab.reports.citing import FORMATS, MARK, Quotable, id_part, quotables
from keras_ab.reports.comment import END, comment
from keras_ab.reports.integrity import copies, listed
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Runs, load_with_rivals, only
from keras_ab.reports.page import generator, page
from keras_ab.reports.printed import check_printed, is_pdf, printed_digests, read_pdf
from keras_ab.reports.signatures import check_signers, signer

_ID = re.compile(rf"{MARK}([A-Za-z0-9\[\]:=,._~%/-]+)")
_RUN = re.compile(r'<meta name="keras-ab-run" content="([^"]*) ([0-9a-f]{64})">')
_GENERATOR = re.compile(r'<meta name="generator" content="([^"]*)">')
_ONLY = re.compile(r'<meta name="keras-ab-only" content="([^"]*)">')
_QUOTED = re.compile(r'\b(data-source|data-cite|id)="([^"]*)"')
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_STRUCK = re.compile(r"(?:~~(?=\S)|<(?:del|s|strike)\b[^>]*>)(.*?)(?:~~|</|\Z)", re.DOTALL)
_OF_COMMENT = re.compile(r"<!-- keras-ab-run (\S+) ([0-9a-f]{64}) -->")
_OWN_COMMENT = re.compile(
    rf"((?:{_OF_COMMENT.pattern.replace('(', '(?:')}\s*)+.*?{END})", re.DOTALL
)
_TEXT = "[^<>]*"
_LEFT_OUT = re.compile(
    r'(?<=<main>\n)<section class="notice left-out" aria-labelledby="refused">\n'
    r'  <h2 id="refused">\d+ files? left out</h2>\n'
    r'(?:  <dl class="error">\n'
    rf"    <dt>must hold</dt><dd>{_TEXT}</dd>\n"
    rf"    <dt>received</dt><dd>{_TEXT}</dd>\n"
    rf"    <dt>what to do</dt><dd>{_TEXT}</dd>\n"
    r"  </dl>\n)+"
    r"</section>\n"
)
"""What a page says of files that were not read, at its own place and text only.

It depends on where they lay, so that it cannot be made again.
"""


def verify(
    file: str | Path, paths: str | Path | Iterable[str | Path], signers: Path | None = None
) -> list[Checked]:
    """Recompute every number that a page or document quotes.

    What is judged is each sentence, from its first word to its id, and a page as a whole. What a
    document says around a sentence, that it is false or withdrawn for instance, is not.

    Args:
        file: a page that `keras-ab report` made, a PDF that was printed of it (its first screen is
            held against the runs), or a text with sentences of `keras-ab cite`.
        paths: where the raw runs are; see `reports.load`.
        signers: who may have signed the runs that are quoted, as OpenSSH's allowed_signers has it;
            None asks for no signature.

    Raises:
        RecordError: where the file cannot be read, or quotes nothing; where no signature can be
            checked.
    """
    if signers:
        check_signers(signers)
    written, printed = _read(Path(file))
    runs = load_with_rivals([paths] if isinstance(paths, str | Path) else list(paths))
    quoted = _printed(written, runs) if printed else _quoted(written)
    of_text = check_page if _GENERATOR.search(written) else check_text
    check = check_printed if printed else of_text
    checked = list(check(written, runs))
    if not checked:
        raise RecordError(
            f"a document to verify is a report, or quotes numbers with their ids ({MARK}…)",
            f"{file}, which does neither",
            "quote what keras-ab cite ID prints, its id included",
        )
    there = [run for run in (*runs.runs, *runs.rivals) if id_part(run.header.run) in quoted]
    checked += _two_ids(there, runs)
    return checked + [_signed(run, signers) for run in there if signers]


def _read(file: Path) -> tuple[str, bool]:
    """Return the words of a document, and whether it is a PDF."""
    try:
        if is_pdf(file):
            return read_pdf(file), True
        return file.read_text(encoding="utf-8", errors="replace"), False
    except OSError as error:
        raise RecordError(
            "a document to verify can be read", f"{file}: {error.strerror}", "check the path"
        ) from error


def _printed(written: str, runs: Runs) -> set[str]:
    """Return which runs a PDF is from, as parts of ids."""
    digests = printed_digests(written)
    return {id_part(run.header.run) for run in runs.runs if run.run.sha256[:16] in digests}


def _quoted(written: str) -> set[str]:
    """Return which runs a page or document quotes, as parts of ids."""
    ids = {found[1].partition("/")[0] for found in _ID.finditer(_flat(written))}
    named = [*_RUN.findall(written), *_OF_COMMENT.findall(written)]
    return ids | {id_part(html.unescape(run)) for run, _ in named}


def _two_ids(quoted: Iterable[JudgedRun], runs: Runs) -> Iterator[Checked]:
    """Yield one entry for each run that is quoted and holds samples of another."""
    copied = copies([*runs.runs, *runs.rivals])
    for run_id in dict.fromkeys(run.header.run for run in quoted):
        if others := copied.get(run_id):
            why = f"samples of it are in run {listed(others)} as well"
            yield Checked("two ids", f"run {legible(run_id, 200)}", legible(why, 1000))


def _signed(run: JudgedRun, signers: Path) -> Checked:
    """Return who has signed a run, or why that counts for nothing."""
    what = f"run {legible(run.header.run, 200)}"
    try:
        return Checked("holds", what, f"signed by {signer(run.run.path, signers)}")
    except RecordError as error:
        return Checked("not signed", what, str(error).replace("\n", "\n    "))


def check_text(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of every comment of ours and every sentence that a document quotes."""
    for block in _OWN_COMMENT.findall(written):
        yield from check_comment(block, runs)
    yield from check_document(written, runs)


def check_comment(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of a comment: it is made once more and compared whole."""
    at_hand = {(r.header.run, r.run.sha256): r for r in runs.runs}
    said = _OF_COMMENT.findall(written)
    absent = [(run, digest) for run, digest in said if (run, digest) not in at_hand]
    yield from (_absent(run, digest, runs) for run, digest in absent)
    if not absent:
        again = comment(Runs([at_hand[run] for run in said]))
        apart = words_apart(_flat(written), _flat(again))
        about = f"the comment on run {said[0][0]}"
        yield Checked("altered", about, apart) if apart else Checked("holds", about)


def _flat(written: str) -> str:
    """Return a text on one line: no quotation marks at line starts, no escaping backslashes."""
    unmarked = re.sub(r"(?m)^[ \t]*>+", " ", written)
    return " ".join(re.sub(r"\\(?=[^A-Za-z0-9\s])", "", unmarked).split())


def check_document(written: str, runs: Runs) -> Iterator[Checked]:
    """Yield what became of every sentence that a document quotes; comments are no part of it."""
    known: dict[str, list[Quotable]] = {}
    for quotable in quotables([*runs.runs, *runs.rivals]):
        known.setdefault(quotable.id, []).append(quotable)
    shown = _COMMENT.sub(" ", written)
    flat = _flat(shown)
    quoted = list(_ID.finditer(flat))
    yield from _rivals(runs, {found[1].partition("/")[0] for found in quoted})
    struck = {found[1] for part in _STRUCK.findall(shown) for found in _ID.finditer(part)}
    for found in _outermost(flat, quoted, known):
        if found[1] in struck:
            yield Checked("altered", found[1], "it is struck through")
        elif found[1] in known:
            yield _sentence(flat, found, known[found[1]])
        else:
            yield _unknown(found[1], runs)


def _outermost(
    flat: str, quoted: Iterable[re.Match[str]], known: Mapping[str, Sequence[Quotable]]
) -> list[re.Match[str]]:
    """Return the ids that end a sentence, without those that a claim's own words contain."""
    kept, covered = list[re.Match[str]](), len(flat)
    for found in reversed(list(quoted)):
        if found.start() >= covered:
            continue
        kept.append(found)
        own = (q.sentence(form) for q in known.get(found[1], ()) for form in FORMATS)
        for before in (_flat(sentence).rpartition(found[0])[0] for sentence in own):
            if MARK in before and flat[: found.start()].endswith(before):
                covered = found.start() - len(before)
    return kept[::-1]


def _rivals(runs: Runs, quoted: Container[str]) -> Iterator[Checked]:
    """Yield one entry for each run with several contents that is quoted."""
    reasons = {bad.path: str(bad.error.received) for bad in runs.refused}
    rivals = {run.header.run: reasons[run.run.path] for run in runs.rivals}
    for run, why in rivals.items():
        if id_part(run) in quoted:
            yield Checked("two contents", f"run {legible(run, 200)}", legible(why, 1000))


def _sentence(flat: str, found: re.Match[str], candidates: Sequence[Quotable]) -> Checked:
    """Hold the words around an id against the sentence that belongs there.

    Of several contents under the id's run, the one whose digest is quoted counts.
    """
    closest, fewest = "", math.inf
    number = candidates[0].id
    for form in FORMATS:
        for quotable in candidates:
            expected = _flat(quotable.sentence(form))
            before, _, after = expected.rpartition(found[0])
            start, end = found.start() - len(before), found.end() + len(after)
            if start >= 0 and flat[start:end] == expected:
                return _unless_glued(number, flat[:start][-1:], flat[end : end + 1])
            for quoted in _around(flat, found, before, after):
                wrong = words_apart(quoted, expected)
                if len(wrong) < fewest:
                    closest, fewest = wrong, len(wrong)
    return Checked("altered", number, closest)


def _unless_glued(number: str, before: str, after: str) -> Checked:
    """Return that a sentence holds, unless a letter or digit touches it."""
    for character in (before, after):
        if character.isalnum():
            return Checked("altered", number, f"{character!r} is glued to the sentence")
    return Checked("holds", number)


def _around(flat: str, found: re.Match[str], before: str, after: str) -> Iterator[str]:
    """Yield what may be meant by a quotation that differs: about as many words before the id."""
    told = flat[max(0, found.start() - 2 * len(before) - 200) : found.start()]
    words, count = told.split(" "), len(before.split(" "))
    end = flat[found.start() : found.end() + len(after)]
    for more in (0, 1, -1, 2, -2):
        yield " ".join(words[-(count + more) :]) + end


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
    at_hand = {(r.header.run, r.run.sha256): r for r in (*runs.runs, *runs.rivals)}
    said = [(html.unescape(run), digest) for run, digest in _RUN.findall(written)]
    yield from _rivals(runs, {id_part(run) for run, _ in said})
    for run, digest in said:
        if (run, digest) not in at_hand:
            yield _absent(run, digest, runs)
    made_by = html.unescape(_GENERATOR.findall(written)[0])
    if made_by != generator():
        why = (
            f"made by {legible(made_by, 200)}, this is {generator()}: its citations alone are held"
        )
        yield Checked("other version", "the page", f"{why} against the runs")
        yield from _together(check_document(_sentences(written), runs))
    elif not said:
        yield Checked("altered", "the page", "it names no run that it was made of")
    elif all(run in at_hand for run in said):
        own = Runs([at_hand[run] for run in said])
        experiments = [html.unescape(name) for name in _ONLY.findall(written)]
        yield from compare_pages(written, page(only(own, experiments) if experiments else own))
    else:
        yield from check_document(_sentences(written), runs)


def _together(checked: Iterable[Checked]) -> Iterator[Checked]:
    """Yield what does not hold, and in one line how much does."""
    holding = 0
    for entry in checked:
        if entry.state == "holds":
            holding += 1
        else:
            yield entry
    if holding:
        yield Checked("holds", f"{holding} citations of the page")


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
    compared, left_out = _LEFT_OUT.subn("", written, count=1)
    old, new = compared.splitlines(), again.splitlines()
    numbers = [number for number, (x, y) in enumerate(zip_longest(old, new), 1) if x != y]
    for number in numbers:
        x, y = (lines[number - 1] if number <= len(lines) else "" for lines in (old, new))
        yield Checked("altered", f"line {number}", words_apart(x, y))
    if not numbers:
        count = len(set(_ID.findall(_sentences(written))))
        aside = "; what it says of files left out was not judged" if left_out else ""
        yield Checked("holds", f"every line of the page, {count} citations among them{aside}")
