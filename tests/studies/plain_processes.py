"""Would a script of the reader's own say the same? A run's ratios, measured without the lab.

``python -m tests.studies.plain_processes RUN.jsonl [-k WORDS]``. Each arm of a trial is built and
stepped in plain Python processes, one after the other in random order: no forkserver, no other arms
alive beside it, no heap padding, the garbage collector as it comes, the framework's own settings. A
pass is one process an arm; the ratio of their median times, over passes, is held against what the
run says. Whatever the lab does to a process that changes an answer shows here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from keras_ab.bench.lab.judge.estimate import Estimate, interval
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.worker import backends
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.loading import read_and_judge

BENCH = Path(__file__).parents[2] / "bench"
SAMPLES = 50
CONFIDENCE = 0.95


def step_time_s(file: str, experiment: str, case: str, arm: str, steps: int) -> float:
    """Return the median time of a step of an arm that is built here, in this process."""
    declared = load_experiment(file, experiment)
    backend = backends.of_keras()
    backend.seed(1)
    step = declared.arm(arm).build(declared.case(case).params).step

    def sample() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        backend.synchronise()
        return (time.perf_counter() - start) / steps

    for _ in range(3):
        sample()
    return median(sample() for _ in range(SAMPLES))


def in_a_process(*names: str, environment: dict[str, str]) -> float:
    """Return the same from a fresh process."""
    command = [sys.executable, "-m", "tests.studies.plain_processes", "--arm", *names]
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{names}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def bench_file(experiment: str) -> Path:
    """Return the file of ours that declares an experiment."""
    return next(path for path in BENCH.glob("bench_*.py") if f'"{experiment}"' in path.read_text())


def measured_plainly(trial: JudgedTrial, passes: int) -> dict[str, Estimate]:
    """Return the log ratio of each arm to the baseline, over passes of plain processes."""
    data, rng = trial.data, random.Random(7)
    declared = load_experiment(str(bench_file(data.declared.experiment)), data.declared.experiment)
    case = next(c for c in declared.cases if dict(c.params) == dict(data.declared.case))
    steps = str(data.rounds[0][0].steps)
    ratios: dict[str, list[float]] = {arm: [] for arm in data.treatments}
    for _ in range(passes):
        arms = [data.baseline, *data.treatments]
        rng.shuffle(arms)
        took = {}
        for arm in arms:
            names = (str(bench_file(declared.name)), declared.name, case.id, arm, steps)
            took[arm] = in_a_process(*names, environment=dict(declared.arm(arm).environment))
        for arm, found in ratios.items():
            found.append(math.log(took[arm] / took[data.baseline]))
    return {arm: interval(found, CONFIDENCE) for arm, found in ratios.items()}


def compared(trial: JudgedTrial, passes: int) -> list[tuple[str, bool]]:
    """Return a line for each arm that the run judged, and whether the two are apart."""
    told = {f.arm: f.estimate for f in trial.findings if f.metric.name == STEP_TIME.name}
    plain = measured_plainly(trial, passes)
    lines = []
    for arm, lab in told.items():
        own = plain[arm]
        apart = abs(lab.point - own.point) > math.hypot(lab.half_width, own.half_width)
        shown = (f"{math.exp(e.point):.3f}× ±{100 * e.half_width:.1f} %" for e in (lab, own))
        name = f"{trial.data.declared.experiment}, {arm}"
        lines.append((f"{name:50} {'  '.join(shown)}{'  APART' if apart else ''}", apart))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both measurements of each arm, and how many are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("-k", default="", help="experiments whose name holds one of these words")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--arm", nargs=5, metavar="NAME", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.arm:
        file, experiment, case, arm, steps = asked.arm
        print(step_time_s(file, experiment, case, arm, int(steps)))
        return
    every: list[bool] = []
    for trial in read_and_judge(asked.run).trials:
        name, words = trial.data.declared.experiment, asked.k.split()
        if trial.data.blocks and (not words or any(word in name for word in words)):
            for line, apart in compared(trial, asked.passes):
                print(line, flush=True)
                every.append(apart)
    print(json.dumps({"arms": len(every), "apart": sum(every)}))


if __name__ == "__main__":
    main()
