"""The same trial by a fleet and by plain pytest: ``python -m tests.studies.fleet_alike 6``.

In pairs of runs, in random order, this machine is measured by `keras-ab fleet run`, with Ray on it
alone, and by `pytest --benchmark`. A pair is a block. Held against each other are the step time of
each arm, and its ratio to the baseline: fleet over plain, and plain over fleet. Two ways that are
the same are equivalent or inconclusive, whichever comes first. What the workers note of their
processors, threads and devices must be the same, word for word. Each way's verdicts stand beside.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_ab import reports
from keras_ab.bench.lab.judge.estimate import Estimate, interval
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict, holm, judge, p_value
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.together import ratio_of
from tests.bench.invocation import command
from tests.fleet.on_ray import fleet, ours

BENCH = Path(__file__).with_name("bench_both_ways.py")
WAYS = ("fleet", "plain")
LOOK = ("--ab-backend", "plain", "--ab-min-blocks", "5", "--ab-max-blocks", "5")

Pair = Mapping[str, JudgedTrial]
"""The trial as each way has measured it."""


def measured(way: str, project: Path, number: int) -> JudgedTrial:
    """Measure the trial in one of the ways."""
    runs, what = project / "runs" / f"{way}{number}", (BENCH.name, *LOOK)
    if way == "fleet":
        fleet(project, "run", "--no-doctor", "--runs", runs, "--", *what)
    else:
        asked = [*command(*what), f"--ab-runs={runs}"]
        subprocess.run(asked, cwd=project, env=without_ray(), check=True, capture_output=True)
    (run,) = reports.load(runs).runs
    (trial,) = run.trials
    return trial


def without_ray() -> dict[str, str]:
    """Return the environment that the fleet is asked in, without what is for Ray."""
    return {name: value for name, value in ours().items() if not name.startswith("RAY_")}


def paired(times: int, project: Path, dice: random.Random) -> Iterator[Pair]:
    """Yield pairs, the ways in random order."""
    for number in range(times):
        ways = dice.sample(WAYS, len(WAYS))
        print(f"pair {number + 1}: {' before '.join(ways)}", flush=True)
        yield {way: measured(way, project, number) for way in ways}


@dataclass(frozen=True)
class Held:
    """One number of the trial, fleet over plain, over all pairs."""

    name: str
    logs: Sequence[float]

    def estimate(self, sign: int = 1) -> Estimate:
        """Return the log ratio of the two ways: fleet over plain, or the other way round."""
        return interval([sign * x for x in self.logs], Plan.confidence)

    def verdict(self, sign: int = 1) -> Verdict:
        """Return the verdict on one way against the other."""
        return judge(self.estimate(sign), Thresholds(0.0, math.log1p(Plan.margin)))

    def __str__(self) -> str:
        there, back = (f"{ratio_of(self.estimate(s))} {self.verdict(s)}" for s in (1, -1))
        return f"{self.name}: fleet over plain {there}; plain over fleet {back}"


def held(pairs: Sequence[Pair]) -> Iterator[Held]:
    """Yield each arm's step time, and each treatment's ratio to the baseline."""
    first = pairs[0]["plain"].data
    for arm in (first.baseline, *first.treatments):
        times = [[pair[way].data.step_time_s(arm) for way in WAYS] for pair in pairs]
        yield Held(f"step time of {arm}", [math.log(a / b) for a, b in times])
    for arm in first.treatments:
        ratios = [[_log_ratio(pair[way], arm) for way in WAYS] for pair in pairs]
        yield Held(f"ratio of {arm}", [a - b for a, b in ratios])


def _log_ratio(trial: JudgedTrial, arm: str) -> float:
    found = trial.find(arm, STEP_TIME.name)
    assert found
    return found.estimate.point


def noted(pairs: Sequence[Pair], way: str) -> Counter[str]:
    """Return what the workers of one way noted, and how many of them did."""
    blocks = (block for pair in pairs for block in pair[way].data.blocks.values())
    return Counter(str(note) for block in blocks for note in block.notes.values())


def verdicts(pairs: Sequence[Pair], way: str) -> dict[str, Counter[str]]:
    """Return how often each treatment got which verdict on its step time."""
    told: dict[str, Counter[str]] = {}
    for finding in (f for pair in pairs for f in pair[way].findings):
        if finding.metric.name == STEP_TIME.name:
            told.setdefault(finding.arm, Counter())[str(finding.verdict)] += 1
    return told


def main() -> int:
    """Print what was found; exit 1 where the ways are not alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(shutil.copy(BENCH, folder)).parent
        pairs = list(paired(asked.pairs, project, random.Random(asked.seed)))
    for way in WAYS:
        print(f"{way}: {verdicts(pairs, way)}; workers noted {dict(noted(pairs, way))}")
    found = list(held(pairs))
    print(*found, sep="\n")
    alike = noted(pairs, "fleet").keys() == noted(pairs, "plain").keys()
    kept = holm([p_value(h.estimate(), 0.0) for h in found], 1 - Plan.confidence)
    settled = (Verdict.BETTER, Verdict.WORSE)
    apart = [h.name for h, keep in zip(found, kept, strict=True) if keep and h.verdict() in settled]
    print(f"workers {'alike' if alike else 'differ'}; {', '.join(apart) or 'nothing'} apart")
    return 0 if alike and not apart else 1


if __name__ == "__main__":
    sys.exit(main())
