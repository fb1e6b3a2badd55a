"""Every claim in the sources, what decides it, and its outcome in the published runs.

``python -m tests.studies.claims_of_sources`` writes docs/claims-of-sources.md from the table of
claims beside it, docs/claims-of-sources.tsv, and from the runs in examples/; a test repeats it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ab.bench import sources
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.bench.lab.record.records import ClaimRecord
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.judged import JudgedRun
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

Outcomes = Mapping[str, Counter[tuple[str, str]]]
"""How often a claim came out how on which processor, by the claim's id."""

HEAD = """# Every claim in the sources

Each sentence of the sources that promises or warns of something, by source and line, with the
claims of the suite that decide it and what became of them in the runs under `examples/`: in the
newest run of each machine that measured the claim as it is declared today, in a case that there
still is. A claim has an outcome for each such case and machine; `keras-ab list --claims` says of
each claim what it bounds. What no experiment can decide says why. Lines are those of our copies of
the sources, which are not published here; what they say is in our words.

The runs: {runs}.

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


def published() -> list[JudgedRun]:
    """Return the runs whose outcomes count, from the oldest to the newest."""
    found = sorted((ROOT / "examples").glob("*.jsonl"))
    paths = [path for path in found if not path.stem.endswith(SUPERSEDED)]
    return sorted(load(paths).runs, key=lambda run: run.header.started)


def processor(run: JudgedRun) -> str:
    """Return the name of a run's processor without what says nothing, ``Intel Xeon``."""
    return re.sub(r"\(R\)| Processor", "", str(run.header.machine["cpu"]))


def outcomes(runs: Iterable[JudgedRun]) -> Outcomes:
    """Return how often each claim came out how, and on which processor, by its id."""
    newest: dict[tuple[str, str, str], str] = {}
    claimed, tried = declared(), attempts()
    for run in runs:
        for trial in run.trials:
            told = trial.data.declared
            own = {bounds(claim) for claim in claimed.get(told.trial, ())}
            own -= {
                bounds(claim)
                for claim in told.claims
                for made in trial.data.attempts
                if (made.arm, made.name) == (claim.arm, claim.attempt)
                and (told.experiment, made.arm, made.name, made.says) not in tried
            }
            for found in trial.claims:
                where = found.claim.id, told.trial, processor(run)
                measured = found.outcome is not Outcome.NOT_MEASURED or where not in newest
                if bounds(found.claim) in own and measured:
                    newest[where] = found.outcome.value
    counted: dict[str, Counter[tuple[str, str]]] = {}
    for (claim, _, machine), outcome in newest.items():
        counted.setdefault(claim, Counter())[outcome, machine] += 1
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


def told(claim: str, found: Outcomes) -> str:
    """Return a claim with its outcomes, ``confirmed (2 on AMD EPYC), refuted (Intel Xeon)``."""
    counted = found.get(claim)
    if not counted:
        return f"`{claim}`: not in a published run"
    where: dict[str, list[str]] = {}
    for (outcome, machine), n in sorted(counted.items()):
        where.setdefault(outcome, []).append(machine if n == 1 else f"{n} on {machine}")
    said = ", ".join(f"{outcome} ({', '.join(machines)})" for outcome, machines in where.items())
    return f"`{claim}`: {said}"


def table(runs: Sequence[JudgedRun]) -> str:
    """Return the page."""
    own: dict[str, list[str]] = {}
    for run in runs:
        own.setdefault(processor(run), []).append(run.header.run)
    names = "; ".join(f"{', '.join(ids)} ({machine})" for machine, ids in own.items())
    return HEAD.format(runs=names) + "\n".join(_lines(outcomes(runs))) + "\n"


def _lines(found: Outcomes) -> Iterator[str]:
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
    TABLE.write_text(table(published()), encoding="utf-8")
