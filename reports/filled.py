"""Tables in a document, filled from a run: the rows say which arms, the run what was found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.loading import load
from keras_ab.reports.tables import case_text
from keras_ab.reports.views import also_learnt, other_sizes

BLOCK = re.compile(r"(<!-- run: (\S+) -->\n)(.*?)(<!-- end of run -->)", re.DOTALL)
HEADINGS = ("technique", "arm", "case", "answer", "step time", "memory", "besides")
_ROW = re.compile(r"\| (.+?) \| `([a-z0-9_]+)/([a-z0-9_]+)` \|.*")


def filled(document: str, folder: Path) -> str:
    """Return a document with the table of each ``<!-- run: FILE -->`` made anew.

    Each row keeps its first two cells, a technique in words and ``experiment/arm``. Below the table
    stands what became of the run's claims.

    Args:
        document: the text, as Markdown.
        folder: from which the run files are seen.

    Raises:
        RecordError: for a run that cannot be read, or lacks an arm.
    """
    return BLOCK.sub(lambda block: f"{block[1]}{_table(block, folder)}{block[4]}", document)


def fill(path: Path) -> Path:
    """Fill the tables of a Markdown file where it is; return its path.

    Raises:
        RecordError: for a file that cannot be read, has no such table, or names what a run lacks.
    """
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            "a document to fill is a Markdown file that can be read", str(error), "check the path"
        ) from error
    if not BLOCK.search(document):
        raise RecordError(
            "a document to fill has a table between two comments",
            f"none in {path}",
            "write <!-- run: FILE.jsonl --> above the table and <!-- end of run --> below",
        )
    made = filled(document, path.parent)  # all of it, before anything is written
    path.write_text(made, encoding="utf-8")
    return path


def _table(block: re.Match[str], folder: Path) -> str:
    (run,) = load(folder / block[2]).runs
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    rows += [_row(run, *row.groups()) for row in map(_ROW.fullmatch, block[3].splitlines()) if row]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{_claims(run.trials)}\n"


def _row(run: JudgedRun, says: str, experiment: str, arm: str) -> tuple[str, ...]:
    for trial in run.trials:
        if trial.data.declared.experiment == experiment and arm in trial.answered:
            answer = trial.answer(arm)
            about = says, f"`{experiment}/{arm}`", case_text(trial), str(answer.word)
            parts = (_part(answer.part(dimension).finding) for dimension in ("time", "memory"))
            return *about, *parts, _besides(trial, answer)
    raise RecordError(
        "a row names an experiment and an arm of the run",
        f"{experiment}/{arm}, which run {run.header.run} lacks",
        "correct the row, or name another run",
    )


def _part(finding: Finding | None) -> str:
    return f"{text.compact(finding)} {text.settled(finding)}".rstrip() if finding else "–"


def _besides(trial: JudgedTrial, answer: Answer) -> str:
    quality = answer.part("quality").finding
    learnt = [*([quality] if quality else []), *also_learnt(trial, answer.arm)]
    return "; ".join(map(_named, [*other_sizes(trial, answer.arm), *learnt]))


def _named(finding: Finding) -> str:
    return f"{finding.metric.title} {text.compact(finding)}"


def _claims(trials: Iterable[JudgedTrial]) -> str:
    """Return what became of the claims, ``Of 9 claims 5 were confirmed, …``."""
    found = Counter(claim.outcome for trial in trials for claim in trial.claims)
    said = ", ".join(f"{found[outcome]} {word}" for outcome, word in _SAID)
    return f"Of {sum(found.values())} claims {said}."


_SAID: Sequence[tuple[Outcome, str]] = (
    (Outcome.CONFIRMED, "were confirmed"),
    (Outcome.REFUTED, "refuted"),
    (Outcome.UNDECIDED, "stayed undecided"),
    (Outcome.NOT_MEASURED, "were not measured there"),
)
