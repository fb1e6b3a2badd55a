"""Do two runs of the same experiments agree? ``python -m tests.studies.agreement``.

It writes a table into the README from pairs of runs in examples/; a test repeats it. Told are the
trials whose arms have the same code in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports.compare import comparison, side
from keras_ab.reports.loading import load
from tests.studies.tables import README, ROOT, fill

NAME = "agreement"


@dataclass(frozen=True)
class Pair:
    """Two runs by the names of their files in examples/, and what is told of how they were made."""

    says: str
    earlier: str
    later: str


PAIRS = (
    Pair(
        "a whole quick run, and again on the same machine",
        "quick-cpu-xeon-2-cores-earlier",
        "quick-cpu-xeon-2-cores-again",
    ),
    Pair(
        "a whole quick run, and a thorough one on the same machine",
        "quick-cpu-xeon-2-cores",
        "thorough-cpu-xeon-2-cores",
    ),
    Pair(
        "two whole quick runs a day apart, each on a virtual machine of its own",
        "cpu-epyc-2-cores",
        "cpu-epyc-2-cores-later",
    ),
)


def row(pair: Pair) -> str:
    """Return what became of a pair, as a row of the table."""
    found = list(_findings(pair))
    steps = [both for both in found if both[0].metric.name == STEP_TIME.name]
    opposite = sum({a.verdict, b.verdict} == {Verdict.BETTER, Verdict.WORSE} for a, b in found)
    decided = sum(_is_open(a) != _is_open(b) for a, b in steps)
    estimates = ((a.estimate, b.estimate) for a, b in steps)
    apart = sum(a.low > b.high or b.low > a.high for a, b in estimates)
    files = ", ".join(f"[{n}](examples/{n}.jsonl)" for n in (pair.earlier, pair.later))
    paces = sorted({a.trial: b.baseline_value / a.baseline_value for a, b in steps}.values())
    pace = f"{median(paces):.2f} ({paces[0]:.2f} to {paces[-1]:.2f})"
    cells = (pair.says, files, len(found), opposite, len(steps), decided, apart, pace)
    return f"| {' | '.join(map(str, cells))} |"


def _findings(pair: Pair) -> Iterator[tuple[Finding, Finding]]:
    """Yield what both runs say of the same metric of the same arm."""
    sides = [
        side(name, load(ROOT / "examples" / f"{name}.jsonl").runs)
        for name in (pair.earlier, pair.later)
    ]
    earlier, later = comparison(sides, ("cases", "versions")).sides
    for key, placed in earlier.trials.items():
        others = {(f.arm, f.metric.name): f for f in later.trials[key].trial.findings}
        for finding in placed.trial.findings:
            other = others.get((finding.arm, finding.metric.name))
            if other and finding.arm != CONTROL:
                yield finding, other


def _is_open(finding: Finding) -> bool:
    return finding.verdict is Verdict.INCONCLUSIVE


def table() -> str:
    """Return the table."""
    head = (
        "what was measured twice",
        "runs",
        "verdicts in both",
        "better in one, worse in the other",
        "of step time",
        "decided in one of them alone",
        "intervals apart",
        "baselines' step time, later by earlier: median (range)",
    )
    rules = ("---",) * len(head)
    return "\n".join([*(f"| {' | '.join(r)} |" for r in (head, rules)), *map(row, PAIRS), ""])


if __name__ == "__main__":
    fill(README, NAME, table())
