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

from keras_ab.bench import sources
from keras_ab.reports.loading import load

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

HEAD = """# Every claim in the sources

Each sentence of the sources that promises or warns of something, by source and line, with the
claims of the suite that decide it and what became of them in the runs under `examples/`. A claim
that is measured in several cases has an outcome in each. What no experiment can decide says why.

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
    found: dict[str, Counter[str]] = {}
    for row in load(list(paths)).claims.to_dict("records"):
        found.setdefault(row["claim"], Counter())[row["outcome"]] += 1
    return found


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
