"""The one measuring loop: carries out a trial and yields its records as they come."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np
import psutil
from memory_profiler import memory_usage

from bench.lab import clock
from bench.lab.declare import CONTROL, Case, Experiment, Plan, Quality
from bench.lab.estimate import blocks_needed
from bench.lab.facts import Load, gpus
from bench.lab.forkserver import WorkerLost, WorkerTimeout
from bench.lab.metrics import STEP_TIME
from bench.lab.records import (
    Absent,
    ArmRecord,
    Block,
    ClaimRecord,
    End,
    Failure,
    GuardCheck,
    GuardRecord,
    Learned,
    MetricRecord,
    Round,
    Trial,
    TrialLine,
)
from bench.lab.schedule import balanced_orders
from bench.lab.trials import TrialData, block_contrasts
from bench.lab.worker import load_experiment

MEMORY_INTERVAL_S = 0.005
"""How often memory-profiler looks at a worker's resident memory."""

MEMORY_STEPS = 2
"""Steps in which the peaks of memory are looked for: the second runs with the first's left-overs."""


class Worker(Protocol):
    """A fresh process that answers requests; see `bench.lab.forkserver.WorkerProcess`."""

    pid: int

    def send(self, request: dict[str, Any]) -> None:
        """Hand over a request."""

    def answered(self, timeout_s: float) -> bool:
        """Wait for the answer to arrive."""

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the answer."""

    def output(self) -> str:
        """Return the end of what the process printed."""

    def stop(self) -> int:
        """End the process."""


class Workers(Protocol):
    """Where fresh processes come from; see `bench.lab.forkserver.ForkServer`."""

    def start(self) -> Worker:
        """Start a fresh process."""


@dataclass(frozen=True)
class Task:
    """One trial, in names and numbers: it can be carried out here or anywhere else.

    Args:
        file: path of the bench file.
        experiment: name of the experiment in it.
        case: id of the case.
        backend: name of the backend.
        plan: how hard to look.
    """

    file: str
    experiment: str
    case: str
    backend: str
    plan: Plan

    @property
    def trial(self) -> str:
        """The trial's name in records and reports."""
        return f"{self.experiment}[{self.case}]"


class ArmFailed(Exception):
    """An arm could not go on; carries the record that says why."""

    def __init__(self, record: Failure | Absent) -> None:
        super().__init__(record)
        self.record = record


@dataclass
class Devices:
    """What the loop watches and reads beside the workers; tests put fakes here."""

    now: Callable[[], float] = clock.now
    load: Load = field(default_factory=Load)
    gpu_states: Callable[[], list[dict[str, Any]]] = field(
        default_factory=lambda: _gpu_states(gpus())
    )


def _gpu_states(found: list[Any]) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [gpu.state() for gpu in found]


def run_trial(
    task: Task, workers: Workers, previous: Iterable[TrialLine] = (), devices: Devices | None = None
) -> Iterator[TrialLine]:
    """Carry out one trial and yield its records.

    Args:
        task: which trial.
        workers: where fresh processes come from.
        previous: records of the same trial from a run that was cut off; the trial goes on from
            its last finished block.
        devices: clock and gauges.

    Yields:
        Records, as they come; a record that was yielded is measured.
    """
    experiment = load_experiment(task.file, task.experiment)
    loop = _Loop(task, experiment, experiment.case(task.case), workers, devices or Devices())
    yield from loop.run(list(previous))


def declaration(task: Task, experiment: Experiment, case: Case) -> Trial:
    """Return the trial's declaration as a record."""
    return Trial(
        trial=task.trial,
        experiment=experiment.name,
        question=experiment.question,
        method=experiment.method,
        held_fixed=experiment.held_fixed,
        does_not_show=experiment.does_not_show,
        sources=[str(source) for source in experiment.sources],
        case=dict(case.params),
        arms=[ArmRecord(name=a.name, says=a.says, code=a.code) for a in experiment.arms],
        metrics=[MetricRecord(**asdict(m)) for m in experiment.all_metrics],
        claims=[
            ClaimRecord(
                id=f"{experiment.name}.{c.id}",
                statement=c.statement,
                source=str(c.source or experiment.sources[0]),
                arm=c.arm,
                metric=c.metric,
                at_most=c.at_most,
                at_least=c.at_least,
            )
            for c in experiment.claims
            if c.concerns(case.params)
        ],
        guards=[
            GuardRecord(observed=g.observed, tolerance=g.tolerance, says=g.says, arms=list(g.arms))
            for g in experiment.guards
        ],
        quality=experiment.quality.metric.name if experiment.quality else None,
    )


class _Loop:
    """The state of one trial under way."""

    def __init__(
        self, task: Task, experiment: Experiment, case: Case, workers: Workers, devices: Devices
    ) -> None:
        self.task = task
        self.plan = task.plan
        self.experiment = experiment
        self.workers = workers
        self.devices = devices
        self.data = TrialData(declaration(task, experiment, case))
        self.active = [arm.name for arm in experiment.arms]
        self.steps = 1
        self.started = devices.now()

    def run(self, previous: list[TrialLine]) -> Iterator[TrialLine]:
        for line in previous:
            self._recall(line)
        if self.data.end:
            return
        if not previous:
            yield self.data.declared
        for line in self._measure():
            self.data.add(line)
            yield line

    def _recall(self, line: TrialLine) -> None:
        self.data.add(line)
        if isinstance(line, Failure | Absent) and line.arm in self.active:
            self.active.remove(line.arm)
        if isinstance(line, Round):
            self.steps = line.steps

    def _measure(self) -> Iterator[TrialLine]:
        if not self.data.rounds:
            yield from self._rehearse()
        reason = self._why_stop()
        while not reason:
            yield from self._block(1 + max(self.data.rounds, default=-1))
            reason = self._why_stop()
        if self.experiment.quality and reason in ("precise", "budget", "max_blocks"):
            yield from self._learn(self.experiment.quality)
        yield End(trial=self.task.trial, reason=reason, blocks_wanted=self._blocks_wanted())

    # -- stopping -------------------------------------------------------------------------------

    def _why_stop(self) -> Any:
        """Return why no further block follows, or None."""
        done = len(self.data.blocks)
        if self.data.broken:
            return "guard"
        if self.experiment.baseline.name not in self.active or len(self.active) < 2:
            return "failed" if self.data.failures else "absent"
        if done >= self.plan.max_blocks:
            return "max_blocks"
        if done >= self.plan.min_blocks and done >= (self._blocks_wanted() or 0):
            return "precise"
        if done >= self.plan.min_blocks and self._spent_s() > self.plan.budget_s:
            return "budget"
        return None

    def _spent_s(self) -> float:
        return self.devices.now() - self.started

    def _blocks_wanted(self) -> int | None:
        """Return Stein's number of blocks for the noisiest arm, once the first stage is done."""
        stage = self.plan.min_blocks
        metric = self.data.metric(STEP_TIME.name)
        width = float(np.log1p(self.plan.precision))
        contrasts = [block_contrasts(self.data, metric, arm)[:stage] for arm in self.active[1:]]
        full = [values for values in contrasts if len(values) == stage]
        if not full:
            return None
        return max(blocks_needed(values, width, self.plan.confidence) for values in full)

    # -- talking to workers ---------------------------------------------------------------------

    def _ask(
        self, worker: Worker, arm: str, stage: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        worker.send(request)
        return self._reply(worker, arm, stage)

    def _reply(self, worker: Worker, arm: str, stage: str) -> dict[str, Any]:
        limit = self.experiment.arm(arm).time_limit_s
        try:
            answer = worker.receive(limit)
        except WorkerTimeout:
            message = f"no answer within the arm's time limit of {limit:g} s"
            raise self._failed(arm, stage, "timed out", message, worker.output()) from None
        except WorkerLost as lost:
            raise self._failed(arm, stage, "killed", str(lost), lost.output) from None
        if "absent" in answer:
            raise ArmFailed(Absent(trial=self.task.trial, arm=arm, reason=answer["absent"]))
        if "error" in answer:
            raise self._failed(arm, stage, "raised", answer["error"], answer["traceback"])
        return answer["result"]

    def _failed(self, arm: str, stage: str, what: Any, message: str, trace: str = "") -> ArmFailed:
        return ArmFailed(
            Failure(
                trial=self.task.trial,
                arm=arm,
                stage=stage,
                what=what,
                message=message,
                traceback=trace,
            )
        )

    def _drop(self, failed: ArmFailed) -> TrialLine:
        """Take a failed arm out of the trial; the control's failure is the baseline's."""
        record = failed.record
        if record.arm == CONTROL:
            record = record.model_copy(update={"arm": self.experiment.baseline.name})
        if record.arm in self.active:
            self.active.remove(record.arm)
        return record

    def _start(self, stack: ExitStack) -> Worker:
        worker = self.workers.start()
        stack.callback(worker.stop)
        return worker

    def _build(self, worker: Worker, arm: str, **more: Any) -> dict[str, Any]:
        request = self._named(arm) | {"do": "build", "seed": self.plan.seed, **more}
        return self._ask(worker, arm, "build", request)

    def _named(self, arm: str) -> dict[str, Any]:
        """Name the arm so that a worker can find it."""
        task = self.task
        return {
            "file": task.file,
            "experiment": task.experiment,
            "arm": arm,
            "case": task.case,
            "backend": task.backend,
        }

    # -- rehearsal: do the arms run, do they do the same work, how many steps make a sample -------

    def _rehearse(self) -> Iterator[TrialLine]:
        observed: dict[str, dict[str, Any]] = {}
        for arm in list(self.active):
            with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
                worker = self._start(stack)
                try:
                    path = Path(folder) / "observed.npz"
                    self._build(worker, arm, observe_to=str(path))
                    observed[arm] = _load_arrays(path)
                    if arm == self.experiment.baseline.name:
                        self.steps = self._calibrate(worker, arm)
                except ArmFailed as failed:
                    yield self._drop(failed)
        yield from self._check_guards(observed)

    def _calibrate(self, worker: Worker, arm: str) -> int:
        request = {"do": "calibrate", "sample_time_s": self.plan.sample_time_s}
        return self._ask(worker, arm, "calibration", request)["steps"]

    def _check_guards(self, observed: dict[str, dict[str, Any]]) -> Iterator[TrialLine]:
        reference = observed.get(self.experiment.baseline.name)
        if reference is None:
            return
        for guard in self.experiment.guards:
            for arm, arrays in observed.items():
                if guard.arms and arm not in guard.arms:
                    continue
                yield self._check(arm, guard, arrays, reference)

    def _check(self, arm: str, guard: Any, arrays: Any, reference: Any) -> GuardCheck:
        name = guard.observed
        found, wanted = arrays.get(name), reference.get(name)
        finite = found is not None and bool(np.isfinite(found).all())
        error = None
        if guard.tolerance is not None and finite and wanted is not None:
            error = relative_error(found, wanted)
        return GuardCheck(
            trial=self.task.trial, arm=arm, observed=name, finite=finite, relative_error=error
        )

    # -- blocks ---------------------------------------------------------------------------------

    def _block(self, number: int) -> Iterator[TrialLine]:
        rng = random.Random(f"{self.plan.seed}/{self.task.trial}/{number}")
        with ExitStack() as stack:
            bench: dict[str, Worker] = {}
            values: dict[str, dict[str, float]] = {}
            for arm in rng.sample([*self.active, CONTROL], len(self.active) + 1):
                worker = self._start(stack)
                try:
                    values[arm] = self._prepare(worker, arm, rng.getrandbits(32))
                    bench[arm] = worker
                except ArmFailed as failed:
                    yield self._drop(failed)
            yield from self._rounds(number, bench, rng)
            for arm in list(bench):
                try:
                    values[arm] |= self._finish(bench[arm], arm)
                except ArmFailed as failed:
                    del bench[arm]
                    yield self._drop(failed)
            if self.experiment.baseline.name in self.active and CONTROL in bench:
                kept = {arm: values[arm] for arm in bench}
                yield Block(trial=self.task.trial, block=number, values=kept)

    def _prepare(self, worker: Worker, arm: str, layout: int) -> dict[str, float]:
        """Build an arm in its process and warm it up."""
        built = self._build(worker, arm, layout=layout)
        self._ask(worker, arm, "warm-up", {"do": "sample", "steps": self.steps})
        return built.pop("sizes") | built

    def _rounds(
        self, block: int, bench: dict[str, Worker], rng: random.Random
    ) -> Iterator[TrialLine]:
        orders = balanced_orders(sorted(bench), rng)
        for number in range(self.plan.rounds):
            order = [arm for arm in next(orders) if arm in bench]
            if self.experiment.baseline.name not in self.active:
                return
            line, failures = self._round(block, number, order, bench)
            for failed in failures:
                bench.pop(failed.record.arm or "")
                yield self._drop(failed)
            if line:
                yield line

    def _round(
        self, block: int, number: int, order: list[str], bench: dict[str, Worker]
    ) -> tuple[Round | None, list[ArmFailed]]:
        times: dict[str, float] = {}
        failures: list[ArmFailed] = []
        gpu_states: list[dict[str, Any]] = []
        own_cpu = 0.0
        self.devices.load.begin()
        for arm in order:
            try:
                request = {"do": "sample", "steps": self.steps}
                answer = self._ask(bench[arm], arm, "sampling", request)
            except ArmFailed as failed:
                failures.append(failed)
                continue
            times[arm] = answer["duration_s"] / self.steps
            own_cpu += answer["cpu_s"]
            gpu_states += self.devices.gpu_states()
        if not times:
            return None, failures
        line = Round(
            trial=self.task.trial,
            block=block,
            round=number,
            order=list(times),
            steps=self.steps,
            step_time_s=times,
            others_cpu=self.devices.load.others(own_cpu),
            gpu=worst_gpu_state(gpu_states),
        )
        return line, failures

    def _finish(self, worker: Worker, arm: str) -> dict[str, float]:
        """Measure memory, and make sure that what was stepped is still finite."""
        worker.send({"do": "memory", "steps": MEMORY_STEPS})
        sampled = sampled_memory_bytes(worker, self.experiment.arm(arm).time_limit_s)
        peaks = self._reply(worker, arm, "memory")
        if not self._ask(worker, arm, "end of block", {"do": "finish"})["finite"]:
            raise self._failed(
                arm, "end of block", "not finite", "the last step returned NaN or infinity"
            )
        return peaks | ({} if sampled is None else {"peak_host_memory_bytes": sampled})

    # -- quality --------------------------------------------------------------------------------

    def _learn(self, quality: Quality) -> Iterator[TrialLine]:
        with ExitStack() as stack:
            pupils = {arm: self._start(stack) for arm in self.active}
            scores: dict[str, dict[float, list[float]]] = {arm: {} for arm in pupils}
            for rate in quality.learning_rates:
                for seed in quality.tuning_seeds:
                    line, failures = self._lesson(pupils, "tuning", seed, dict.fromkeys(pupils, rate))
                    yield from failures
                    if line:
                        yield line
                        for arm, value in line.values.items():
                            scores[arm].setdefault(rate, []).append(value)
            sign = 1 if quality.metric.better == "more" else -1
            rates = {arm: best_rate(scores[arm], sign) for arm in pupils if scores[arm]}
            for seed in quality.seeds:
                line, failures = self._lesson(pupils, "judged", seed, rates)
                yield from failures
                if line:
                    yield line

    def _lesson(
        self, pupils: dict[str, Worker], purpose: Any, seed: int, rates: dict[str, float]
    ) -> tuple[Learned | None, list[TrialLine]]:
        """Train every arm from one seed; a diverged training is worth nothing while tuning."""
        values: dict[str, float] = {}
        failures: list[TrialLine] = []
        for arm in [arm for arm in pupils if arm in rates]:
            try:
                value = self._train(pupils[arm], arm, seed, rates[arm])
                if value is None and purpose == "judged":
                    raise self._failed(arm, "quality", "not finite", f"outcome of seed {seed} is NaN")
            except ArmFailed as failed:
                del pupils[arm]
                failures.append(self._drop(failed))
                continue
            if value is not None:
                values[arm] = value
        used = {arm: rates[arm] for arm in values}
        line = Learned(
            trial=self.task.trial, purpose=purpose, seed=seed, learning_rate=used, values=values
        )
        return (line if values else None), failures

    def _train(self, worker: Worker, arm: str, seed: int, rate: float) -> float | None:
        request = self._named(arm) | {"do": "train", "seed": seed, "learning_rate": rate}
        return self._ask(worker, arm, "quality", request)["value"]


def best_rate(scores: dict[float, list[float]], sign: int) -> float:
    """Return the learning rate with the best mean; one that ever diverged has fewer scores."""
    most = max(len(values) for values in scores.values())
    steady = {rate: fmean(values) for rate, values in scores.items() if len(values) == most}
    return max(steady, key=lambda rate: sign * steady[rate])


def _load_arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def relative_error(found: Any, wanted: Any) -> float | None:
    """Return ``max|found - wanted| / max|wanted|``; None where the shapes differ."""
    a, b = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if a.shape != b.shape or a.size == 0:
        return None
    scale = float(np.abs(b).max())
    return float(np.abs(a - b).max() / (scale or 1.0))


def sampled_memory_bytes(worker: Worker, limit_s: float) -> float | None:
    """Sample a worker's resident memory until it answers; return the largest seen."""
    peak, end = None, clock.now() + limit_s
    while not worker.answered(0) and clock.now() < end:
        try:
            mebibytes = memory_usage(worker.pid, interval=MEMORY_INTERVAL_S, max_usage=True)
        except psutil.Error:
            break  # the process is gone: the answer that never comes says so
        peak = max(peak or 0.0, mebibytes * 2**20)
    return peak


def worst_gpu_state(states: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the lowest clock, the highest temperature and all throttle reasons of a round."""
    if not states:
        return None
    clocks = [s["sm_clock_hz"] for s in states if s["sm_clock_hz"] is not None]
    temperatures = [s["temperature_c"] for s in states if s["temperature_c"] is not None]
    return {
        "lowest_sm_clock_hz": min(clocks, default=None),
        "temperature_c": max(temperatures, default=None),
        "throttled": sorted({reason for s in states for reason in s["throttled"]}),
    }
