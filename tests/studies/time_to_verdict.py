"""How long until a true difference is found? This lab beside what people do without it.

Run with ``python -m tests.studies.time_to_verdict``; about 20 minutes on two cores that nobody else
uses. Work of a known amount is compared with the same again, with 3 % more and with 10 % more, idle
and with one core kept busy, by

- this lab: blocks of fresh processes in which arms take turns, judged as any trial is;
- pytest-benchmark: all of one arm in a process, then all of the other, ``--benchmark-compare-fail``
  on the minimum and on the median;
- repeated processes as hyperfine and pyperf have them: some of one arm, then some of the other;
- a loop about the work, one arm after the other, in one process.

All but the lab have a threshold that somebody must choose. Theirs is the least that calls identical
arms different in 5 % of comparisons, on this machine, at this effort: more than a reader can know.
What counts is the least effort at which 9 of 10 comparisons find the difference, in seconds of the
machine, starts included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from keras_ab.bench.lab.judge.contrasts import block_samples, contrast
from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict, judge
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.plan import Plan
from tests.studies.known_work import PASSES, VALUE_STEPS, stepping, timed
from tests.studies.tables import publish
from tests.studies.trust import one_busy_core

HERE = Path(__file__).parent
EFFECTS = tuple(PASSES)[1:]
POWER, FALSE_ALARMS = 0.9, 0.05
RESAMPLES = 1000
SIGNS = {Verdict.WORSE: 1.0, Verdict.BETTER: -1.0}


@dataclass(frozen=True)
class Effort:
    """What a study measures: turns, and how much of each method in a turn.

    Args:
        turns: comparisons of each kind.
        blocks: of the lab, most.
        rounds: of the lab, most in a block.
        benchmark_s: how long pytest-benchmark measures an arm.
        processes: of each arm.
        loops: of the naive loop, about 30 ms each.
    """

    turns: int = 20
    blocks: int = 8
    rounds: int = 20
    benchmark_s: float = 1.0
    processes: int = 10
    loops: int = 30


SMOKE = Effort(turns=1, blocks=5, rounds=2, benchmark_s=0.01, processes=2, loops=2)


@dataclass(frozen=True)
class Scores:
    """What comparisons at rising effort came to.

    Args:
        seconds: of the machine for one comparison, by effort.
        found: how much longer the second arm is said to take ``(efforts, turns)``, by effect.
        threshold: above which that is called a difference; None for the least that keeps 5 %.
    """

    seconds: np.ndarray
    found: Mapping[str, np.ndarray]
    threshold: float | None = None

    def thresholds(self, turns: np.ndarray) -> np.ndarray:
        """Return the threshold of each effort, as these turns have it."""
        if self.threshold is not None:
            return np.full(len(self.seconds), self.threshold)
        same = np.abs(self.found["same"][:, turns])
        return np.quantile(same, 1 - FALSE_ALARMS, axis=1, method="higher")

    def time_to_verdict(self, effect: str, turns: np.ndarray) -> float:
        """Return the least seconds in which so many comparisons find it; infinite where none do."""
        limits = self.thresholds(turns)[:, None]
        enough = (self.found[effect][:, turns] > limits).mean(axis=1) >= POWER
        return float(self.seconds[enough].min()) if enough.any() else float("inf")

    def false_alarms(self) -> float:
        """Return the share of identical arms called different, over all efforts."""
        limits = self.thresholds(np.arange(self.turns))[:, None]
        return float((np.abs(self.found["same"]) > limits).mean())

    @property
    def turns(self) -> int:
        """How many comparisons there are of each kind."""
        return self.found["same"].shape[1]


def cell(scores: Scores, effect: str, rng: np.random.Generator) -> str:
    """Return the time to a verdict with the middle 90 % of what resampled turns make of it."""
    point = scores.time_to_verdict(effect, np.arange(scores.turns))
    drawn = rng.integers(scores.turns, size=(RESAMPLES, scores.turns))
    times = [scores.time_to_verdict(effect, turns) for turns in drawn]
    low, high = np.quantile(times, (0.05, 0.95), method="nearest")
    most = float(scores.seconds.max())
    return f"{_shown(point, most)} [{_shown(low, most)}, {_shown(high, most)}]"


def _shown(seconds: float, most: float) -> str:
    return f"{seconds:.3g} s" if np.isfinite(seconds) else f"over {most:.3g} s"


# -- the lab --------------------------------------------------------------------------------------


def lab(effort: Effort) -> Scores:
    """Let the lab compare: trials of all arms, of which a comparison uses three."""
    server, found = ForkServer("plain"), []
    try:
        for turn in range(effort.turns):
            plan = Plan(
                seed=turn, min_blocks=effort.blocks, max_blocks=effort.blocks, rounds=effort.rounds
            )
            task = Task(str(HERE / "bench_known_work.py"), "known_work", "only", "plain", plan)
            found.append(group(list(measure_trial(task, server)))[task.trial])
    finally:
        server.close()
    chosen = [data.rounds_chosen for data in found]
    start_s, round_s = (fmean(getattr(c, n) for c in chosen if c) for n in ("start_s", "round_s"))
    share = 3 / (len(PASSES) + 1)  # of the processes: an arm and two copies of the baseline
    efforts = [
        (blocks, rounds)
        for blocks in range(5, effort.blocks + 1)
        for rounds in sorted({min(5, effort.rounds), min(10, effort.rounds), effort.rounds})
    ]
    return Scores(
        np.array([share * blocks * (start_s + rounds * round_s) for blocks, rounds in efforts]),
        {
            effect: np.array([[lab_says(data, effect, *e) for data in found] for e in efforts])
            for effect in EFFECTS
        },
        threshold=0.5,
    )


def lab_says(data: TrialData, arm: str, blocks: int, rounds: int) -> float:
    """Return 1 for a verdict that an arm is slower, −1 for faster, else 0; of a part of a trial."""
    samples = [
        {name: logs[:rounds] for name, logs in block_samples(data, number).items()}
        for number in range(blocks)
    ]
    values = [contrast(x[arm], [x["plain"], x[CONTROL]]) for x in samples]
    floor = abs(fmean(contrast(x[CONTROL], [x["plain"]]) for x in samples)) / 2
    thresholds = Thresholds(floor, float(np.log1p(Plan.margin)))
    return SIGNS.get(judge(interval(values, Plan.confidence), thresholds), 0.0)


# -- one arm after the other ----------------------------------------------------------------------


@dataclass(frozen=True)
class InTurn:
    """All of one arm, then all of the next, over and over.

    Args:
        times: of each measurement, in order ``(turns, arms, measurements)``; arms cut to the same
            number of measurements.
        start_s: what an arm costs before its first measurement.
        each_s: what a measurement costs.
    """

    times: np.ndarray
    start_s: float
    each_s: float

    def scores(self, statistic: Callable[..., np.ndarray]) -> Scores:
        """Return what comparing a statistic of the first few measurements comes to, and of more."""
        efforts = sorted({*np.geomspace(1, self.times.shape[2], 12).round().astype(int).tolist()})
        logs = np.array([np.log(statistic(self.times[..., :n], axis=2)) for n in efforts])
        arms = list(PASSES)
        return Scores(
            2 * (self.start_s + np.array(efforts) * self.each_s),
            {name: logs[..., arms.index(name)] - logs[..., 0] for name in EFFECTS},
        )


def in_turn(measure: Callable[[str], tuple[list[float], float]], turns: int) -> InTurn:
    """Measure arm after arm; `measure` returns times and the seconds that they took in all."""
    found = [[measure(arm) for arm in PASSES] for _ in range(turns)]
    fewest = min(len(times) for turn in found for times, _ in turn)
    times = np.array([[times[:fewest] for times, _ in turn] for turn in found])
    starts = [spent - sum(times) for turn in found for times, spent in turn]
    return InTurn(times, fmean(starts), float(times.mean()))


def pytest_benchmark(arm: str, seconds: float) -> tuple[list[float], float]:
    """Measure an arm by pytest-benchmark in a process of its own."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        _run(
            *(
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                str(HERE / "known_work_benchmark.py"),
            ),
            *(f"--benchmark-json={out}", f"--benchmark-max-time={seconds}"),
            KNOWN_WORK=arm,
        )
        spent = time.perf_counter() - begun
        (entry,) = json.loads(out.read_text())["benchmarks"]
    return entry["stats"]["data"], spent


def naive_loop(arm: str, loops: int) -> tuple[list[float], float]:
    """Measure an arm by a loop in this process."""
    begun = time.perf_counter()
    step = stepping(PASSES[arm])
    times = [timed(step, VALUE_STEPS) for _ in range(loops)]
    return times, time.perf_counter() - begun


def processes(arm: str, count: int) -> tuple[list[float], float]:
    """Measure an arm in some processes, one value a process: the mean of three."""
    begun = time.perf_counter()
    answers = [_run("-m", "tests.studies.known_work", str(PASSES[arm]), "3") for _ in range(count)]
    return [fmean(map(float, a.split())) for a in answers], time.perf_counter() - begun


def by_processes(effort: Effort) -> InTurn:
    """Measure in repeated processes; what a start costs, each of them costs."""
    found = in_turn(lambda arm: processes(arm, effort.processes), effort.turns)
    each = found.each_s + found.start_s / found.times.shape[2]
    return InTurn(found.times, 0.0, each)


def _run(*arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
        env=os.environ | environment,
    )
    if ran.returncode:
        sys.stderr.write(ran.stderr)
        ran.check_returncode()
    return ran.stdout


# -- side by side ---------------------------------------------------------------------------------


def methods(effort: Effort) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of every method."""
    yield "this lab", lab(effort)
    benchmarks = in_turn(lambda arm: pytest_benchmark(arm, effort.benchmark_s), effort.turns)
    yield "pytest-benchmark, minimum", benchmarks.scores(np.min)
    yield "pytest-benchmark, median", benchmarks.scores(np.median)
    yield "repeated processes, mean", by_processes(effort).scores(np.mean)
    loops = in_turn(lambda arm: naive_loop(arm, effort.loops), effort.turns)
    yield "a loop, mean", loops.scores(np.mean)


def table(effort: Effort) -> list[str]:
    """Return the study's table as Markdown."""
    rng = np.random.default_rng(0)
    rows = [
        "| machine | method | 3 % found in | 10 % found in | threshold | identical arms apart |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for machine, busy in (("idle", nullcontext()), ("one core busy", one_busy_core())):
        with busy:
            for name, scores in methods(effort):
                cells = [cell(scores, effect, rng) for effect in ("three", "ten")]
                limit = scores.thresholds(np.arange(scores.turns))[-1]
                chosen = "none" if scores.threshold is not None else f"{100 * limit:.2g} %"
                alarms = f"{100 * scores.false_alarms():.2g} %"
                rows.append(f"| {machine} | {name} | {' | '.join([*cells, chosen, alarms])} |")
                print(rows[-1], flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=Effort.turns, help="comparisons of each kind")
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    parser.add_argument("--publish", action="store_true", help="keep it, and fill the README")
    asked = parser.parse_args(arguments)
    effort = SMOKE if asked.smoke else Effort(turns=asked.turns)
    made = "\n".join(table(effort)) + "\n"
    print(f"\n{made}", end="")
    if asked.publish:
        publish("time-to-verdict", made)


if __name__ == "__main__":
    main()
