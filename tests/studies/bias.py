"""Are identical arms told apart, and is any of them flattered? 60 comparisons, one core kept busy.

Run with ``python -m tests.studies.bias``; about a quarter of an hour on two cores. Six trials of
ten treatments, each the same training step as the baseline, by the plan of the quick suite and
judged as one run: how many are called better or worse, how many intervals leave out no difference,
and the mean log ratio over all with its interval, in which a bias of the contrast would show.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean

from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.judged import judge_trials
from tests.studies.bench_alike import EXPERIMENT
from tests.studies.trust import one_busy_core

FILE = Path(__file__).with_name("bench_alike.py")
PERCENT = 100


def measured(plan: Plan, trials: int) -> list[TrialData]:
    """Carry out trials of identical arms."""
    server, found = ForkServer("tensorflow"), []
    try:
        for case in EXPERIMENT.cases[:trials]:
            task = Task(str(FILE), EXPERIMENT.name, case.id, "tensorflow", plan)
            found += group(measure_trial(task, server)).values()
            print(f"  {case.id}: {len(found[-1].blocks)} blocks", flush=True)
    finally:
        server.close()
    return found


def step_times(trials: Sequence[TrialData], plan: Plan) -> list[Finding]:
    """Return what is found on the step time of every arm, the trials being one run."""
    judged = judge_trials(trials, plan)
    return [f for trial in judged for f in trial.findings if f.metric.name == STEP_TIME.name]


def report(found: Sequence[Finding], trials: int) -> str:
    """Say how many identical arms were told apart, and by how much the mean lies off.

    Arms of a trial share its baseline, so that the mean's interval is over trials.
    """
    verdicts = Counter(str(f.verdict) for f in found)
    without = sum(not f.estimate.low <= 0 <= f.estimate.high for f in found)
    by_trial: dict[str, list[float]] = {}
    for f in found:
        by_trial.setdefault(f.trial, []).append(f.estimate.point)
    mean = interval([fmean(points) for points in by_trial.values()], 0.95)
    point, low, high = (f"{PERCENT * x:+.2f} %" for x in (mean.point, mean.low, mean.high))
    return (
        f"{len(found)} comparisons of identical arms in {trials} trials: {dict(verdicts)}\n"
        f"intervals without no difference: {without} ({PERCENT * without / len(found):.1f} %)\n"
        f"mean log ratio {point} [{low}, {high}]\n"
        f"widest {max(f.estimate.half_width for f in found):.3f}, "
        f"least {min(f.estimate.half_width for f in found):.3f} (half-widths)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=len(EXPERIMENT.cases))
    parser.add_argument("--rounds", type=int, default=60, help="as the quick suite has")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of layouts and orders")
    parser.add_argument("--idle", action="store_true", help="keep no core busy")
    asked = parser.parse_args(arguments)
    plan = Plan(budget_s=5.0, min_blocks=5, rounds=asked.rounds, seed=asked.seed)
    with nullcontext() if asked.idle else one_busy_core():
        found = step_times(measured(plan, asked.trials), plan)
    print(report(found, asked.trials))


if __name__ == "__main__":
    main()
