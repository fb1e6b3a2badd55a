"""Can the method be trusted on this machine? A/A trials, an injected difference, and its own cost.

Run with ``tox run -e study``; about half an hour. One core is kept busy by another process during
the A/A trials, as on a machine that others use too. With ``--publish`` the table is kept, and
written into the README.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from scipy.stats import mannwhitneyu

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding, assess
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.loop.asking import ask
from keras_ab.bench.lab.loop.doctor import IDENTICAL
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.protocol import ArmNames, Build, Facts, Sample
from tests.studies.tables import measured_on, publish

HERE = Path(__file__).parent
INJECTED = HERE / "bench_injected.py"
STEP_S = 1e-3
"""The step against which the cost of timing is held."""
NAME = "trust"
HEADINGS = ("study", "keras-ab", "without it")
Row = tuple[str, str, str]


def keep_a_core_busy(asked_by: int) -> None:
    """Work until the process that asked for it is gone, however it ended."""
    while os.getppid() == asked_by:
        sum(range(100_000))


@contextmanager
def one_busy_core() -> Iterator[None]:
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=keep_a_core_busy, args=(os.getpid(),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def trial(server: ForkServer, file: Path, experiment: str, plan: Plan) -> Finding:
    """Carry out one trial; return the finding on the step time of its second arm."""
    task = Task(str(file), experiment, "only", "tensorflow", plan)
    data = group(measure_trial(task, server))[task.trial]
    found = assess(data, data.metric("step_time_s"), data.treatments[0], plan)
    assert found is not None, data.failures
    return found


def many(
    server: ForkServer, file: Path, experiment: str, plan: Plan, count: int
) -> Iterator[Finding]:
    """Carry out trials, each from another seed; yield what each finds."""
    for seed in range(count):
        finding = trial(server, file, experiment, replace(plan, seed=seed))
        print(
            f"  {experiment} {seed + 1:3} of {count}: {text.compared(finding)}, "
            f"{text.count(finding.estimate.blocks, 'block')}, {finding.verdict}",
            flush=True,
        )
        yield finding


def one_after_the_other(trials: int) -> int:
    """Count the identical pairs that Mann-Whitney calls different after plain pytest-benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"),
                *(str(HERE / "one_after_the_other.py"), f"--benchmark-json={out}"),
                "--benchmark-quiet",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        entries = json.loads(out.read_text())["benchmarks"]
    times = [entry["stats"]["data"] for entry in entries][: 2 * trials]
    pairs = zip(times[::2], times[1::2], strict=True)
    return sum(mannwhitneyu(a, b).pvalue < 0.05 for a, b in pairs)


def lasting(work: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = clock.now()
        work()
        found.append(clock.now() - start)
    return found


def starting(server: ForkServer) -> tuple[float, float]:
    """Return seconds until the framework is ready: in a forked worker, in a plain process."""

    def forked() -> None:
        worker = server.start()
        ask(worker, Facts("tensorflow"), 60)
        worker.stop()

    def spawned() -> None:
        code = (
            "from keras_ab.bench.lab.worker.handler import Handler; import keras; "
            "from keras_ab.bench.lab.worker.protocol import Facts; "
            "Handler().facts(Facts('tensorflow'))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)

    return median(lasting(forked, 10)), median(lasting(spawned, 5))


def cost_of_timing(server: ForkServer, plan: Plan) -> float:
    """Return the seconds that timing adds to a 1 ms step: what an arm that does nothing shows."""
    steps = round(plan.sample_time_s / STEP_S)
    worker = server.start()
    ask(worker, Build(ArmNames(str(INJECTED), "empty", "empty", "only", "tensorflow"), 0), 60)
    found = [ask(worker, Sample(steps), 60).duration_s / steps for _ in range(200)]
    worker.stop()
    return median(found)


def identical_arms(server: ForkServer, trials: int) -> Row:
    """Compare identical arms with one core kept busy: as the lab does, and one after the other."""
    least = Plan(budget_s=1e-9, rounds=8, sample_time_s=0.02)
    with one_busy_core():
        found = list(many(server, IDENTICAL, "identical_training", least, trials))
        sequential = one_after_the_other(trials)
    apart = sum(f.verdict in (Verdict.BETTER, Verdict.WORSE) for f in found)
    plain = "all of A timed before all of B (pytest-benchmark, Mann-Whitney)"
    return (
        "identical arms called different, one core kept busy",
        f"{apart} of {trials}",
        f"{sequential} of {trials}, {plain}",
    )


def injected(server: ForkServer, trials: int) -> Row:
    """Compare an arm with the same and 3 % more work, by the thorough look."""
    found = list(many(server, INJECTED, "injected", Plan(), trials))
    return (
        "3 % more work found to be worse",
        f"{sum(f.verdict is Verdict.WORSE for f in found)} of {trials}: {spread(found)}",
        "",
    )


def spread(found: Sequence[Finding]) -> str:
    """Return the least and the most that trials find, and the blocks it took."""
    ratios = sorted(f.shown(f.estimate.point) for f in found)
    blocks = sorted(f.estimate.blocks for f in found)
    return (
        f"{ratios[0]:.3f}× to {ratios[-1]:.3f}×, in {blocks[0]} to {blocks[-1]} blocks, "
        f"{median(blocks):.3g} at the median"
    )


def costs(server: ForkServer) -> Iterator[Row]:
    """Time the start of a process, and what timing adds to a step."""
    forked, spawned = map(text.seconds, starting(server))
    yield "a process with its framework ready", forked, f"{spawned}, started as a command"
    added = cost_of_timing(server, Plan())
    share = f"{text.seconds(added)}, {text.percent(added / STEP_S)}"
    yield f"added by timing to a step of {text.seconds(STEP_S)}", share, ""


def table(rows: Sequence[Row]) -> str:
    """Return the study's table as Markdown, with the machine and the day."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", measured_on(), ""])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40, help="A/A trials (default 40)")
    parser.add_argument("--injected", type=int, default=10, help="trials with 3 %% more work")
    parser.add_argument("--publish", action="store_true", help="keep it, and fill the README")
    asked = parser.parse_args()
    server = ForkServer("tensorflow")
    rows = [*costs(server)]
    if asked.injected:
        rows.insert(0, injected(server, asked.injected))
    if asked.trials:
        rows.insert(0, identical_arms(server, asked.trials))
    server.close()
    made = table(rows)
    print(f"\n{made}", end="")
    if asked.publish:
        publish(NAME, made)


if __name__ == "__main__":
    main()
