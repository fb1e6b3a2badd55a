"""Every claim in the sources, what decides it, and its outcome in the published runs.

``python -m tests.studies.claims_of_sources`` writes docs/claims-of-sources.md from the table of
claims beside it, docs/claims-of-sources.tsv, and from the runs in examples/; a test repeats it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ab.bench import sources
from keras_ab.bench.lab.record.records import ClaimRecord
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.loading import load
from tests.bench.declared import DECLARED

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "docs" / "claims-of-sources.tsv"
TABLE = CLAIMS.with_suffix(".md")
SOURCES = {
    "tips": sources.TIPS,
    "principles": sources.PRINCIPLES,
    "styles": sources.STYLES,
    "deep-dive": sources.DEEP_DIVE,
    "ten": sources.TEN,
}
SUPERSEDED = ("-earlier", "-schema-1")
"""Ends of the names of runs that are published for other purposes than their outcomes."""
FAULTY = {("2026-11-22T0327-4eaa37", "data_echoing"), ("2026-11-22T0327-4eaa37", "tf_data_debug")}
"""Experiments that were not sound yet when a run was made: their pipelines loaded ahead."""

HEAD = """# Every claim in the sources

Each sentence of the sources that promises or warns of something, by source and line, with the
claims of the suite that decide it and what became of them in the runs under `examples/`: in the
newest run of each machine that has the claim as it is declared today, in a case that there still
is. A claim has an outcome for each such case and machine. What no experiment can decide says why.

This page is made by `python -m tests.studies.claims_of_sources`; no outcome in it was typed.

"""


@dataclass(frozen=True)
class Sentence:
    """A sentence of a source, in our words.

    Args:
        source: its short name, one of `SOURCES`.
        line: of the source's text.
        says: what it says.
        decided_by: ids of the claims that decide it.
        why_not: why none does, where none does.
    """

    source: str
    line: int
    says: str
    decided_by: tuple[str, ...]
    why_not: str


def sentences() -> list[Sentence]:
    """Return all rows of the table of claims."""
    with CLAIMS.open(encoding="utf-8", newline="") as file:
        return [
            Sentence(
                row["source"],
                int(row["line"]),
                row["says"],
                tuple(filter(None, row["decided_by"].split(", "))),
                row["why_not"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def published() -> list[Path]:
    """Return the runs whose outcomes count."""
    found = sorted((ROOT / "examples").glob("*.jsonl"))
    return [path for path in found if not path.stem.endswith(SUPERSEDED)]


def outcomes(paths: Iterable[Path]) -> dict[str, Counter[str]]:
    """Return how often each claim came out how, by its id."""
    newest: dict[tuple[str, str, str], str] = {}
    claimed, tried = declared(), attempts()
    for run in sorted(load(list(paths)).runs, key=lambda run: run.header.started):
        for trial in run.trials:
            told = trial.data.declared
            if (run.header.run, told.experiment) in FAULTY:
                continue
            own = {bounds(claim) for claim in claimed.get(told.trial, ())}
            own -= {
                bounds(claim)
                for claim in told.claims
                for made in trial.data.attempts
                if (made.arm, made.name) == (claim.arm, claim.attempt)
                and (told.experiment, made.arm, made.name, made.says) not in tried
            }
            for found in trial.claims:
                if bounds(found.claim) in own:
                    newest[found.claim.id, told.trial, str(run.header.machine["cpu"])] = (
                        found.outcome.value
                    )
    counted: dict[str, Counter[str]] = {}
    for (claim, _, _), outcome in newest.items():
        counted.setdefault(claim, Counter())[outcome] += 1
    return counted


def declared() -> dict[str, list[ClaimRecord]]:
    """Return what is claimed today, by trial."""
    found = {}
    for name, (file, experiment) in DECLARED.items():
        for case in experiment.cases:
            task = Task(str(file), name, case.id, "tensorflow", Plan())
            found[task.trial] = declaration(task, experiment, case).claims
    return found


def attempts() -> set[tuple[str, str, str, str]]:
    """Return what is tried today: experiment, arm, name, and what it is said to be."""
    return {
        (name, attempt.arm, attempt.name, attempt.says)
        for name, (_, experiment) in DECLARED.items()
        for attempt in experiment.attempts
    }


def bounds(claim: ClaimRecord) -> tuple[Any, ...]:
    """Return a claim but for its words: what is said of which arm, within which bounds."""
    kept = claim.model_dump(exclude={"statement", "source", "not_here"})
    return tuple(kept.values())


def told(claim: str, found: Mapping[str, Counter[str]]) -> str:
    """Return a claim with its outcome, ``confirmed``, or ``2 confirmed, 1 refuted``."""
    counted = found.get(claim)
    if not counted:
        return f"`{claim}`: not in a published run"
    alone = len(counted) == 1 and counted.total() == 1
    said = ", ".join(word if alone else f"{n} {word}" for word, n in sorted(counted.items()))
    return f"`{claim}`: {said}"


def table(found: Mapping[str, Counter[str]]) -> str:
    """Return the page."""
    return HEAD + "\n".join(_lines(found)) + "\n"


def _lines(found: Mapping[str, Counter[str]]) -> Iterator[str]:
    number, said = 0, sentences()
    for name, source in SOURCES.items():
        yield f"## {source.title}\n\n{source}\n"
        yield "| | line | the source says | decided by |\n|---|---|---|---|"
        for sentence in (s for s in said if s.source == name):
            number += 1
            decided = "<br>".join(told(claim, found) for claim in sentence.decided_by)
            what = decided or f"no experiment: {sentence.why_not}"
            yield f"| {number} | {sentence.line} | {sentence.says} | {what} |"
        yield ""


if __name__ == "__main__":
    TABLE.write_text(table(outcomes(published())), encoding="utf-8")
