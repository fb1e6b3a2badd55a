"""How long it takes: reckoned before anything is measured, and from what has been."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.facts import cpu_flags
from keras_ab.bench.lab.loop.measure import PROCESSES
from keras_ab.bench.lab.words.backend_names import KERAS, is_installed
from keras_ab.bench.lab.words.declare import Case, Experiment
from keras_ab.bench.lab.words.plan import Plan, option

PROCESS_S = 0.85
"""What a process takes beside its rounds: to start, build, take its first step and be looked at.

With the figures below it gives 31 minutes for the 46 trials of the quick suite on two virtual cores
of an Intel Xeon, where two runs took 29 and 32: half of the trials took 0.65 to 1.3 of what is
reckoned, and the one with the longest steps 3.3 and 4.9 times as long. On an AMD EPYC, where memory
is counted beside, it gives 41 minutes; run 2026-11-26T1828-e60ebe took 40.
"""

TRAINING_S = 0.5
"""What a training takes, two side by side: the mean of 559 in each of the two; 0.85 on the EPYC."""

COUNTED = 0.9
"""What a process in which memory is counted takes, two side by side, as a share of a timed one.

Ten took 22 s where a timed one took 2.5 s to start, build and take its first step.
"""

ATTEMPT_S = 0.2
"""What an attempt takes: 86 in 17 s, together with the processes of four arms, on the EPYC."""

PLAIN_PROCESS_S = 0.1
"""The same without a framework."""

FOR_ONE_DNN = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}
"""Instruction sets of which TensorFlow wants one before it takes oneDNN's kernels by itself."""


@dataclass(frozen=True)
class Expected:
    """How long something is expected to take, seconds.

    Args:
        least_s: its first blocks.
        most_s: all blocks until its budget is spent.
    """

    least_s: float
    most_s: float

    def __str__(self) -> str:
        least, most = roughly(self.least_s), roughly(self.most_s)
        is_one = least == most or self.most_s <= 1.5 * self.least_s
        return f"about {least}" if is_one else f"{least} to {most}"


def counts_beside(backend: str, device: Device) -> bool:
    """Tell whether memory is counted in processes of its own: where those that are timed do not.

    TensorFlow's do not on a CPU without oneDNN, which is off by default where the processor lacks
    AVX-512 VNNI, AVX-VNNI and AMX.
    """
    told = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    one_dnn = told in ("1", "true") if told else bool(FOR_ONE_DNN & cpu_flags())
    return backend == "tensorflow" and not one_dnn and not device.gpu


def expected(
    experiment: Experiment,
    case: Case,
    plan: Plan,
    backend: str,
    counted_beside: bool = False,
    cores: int = 2,
) -> Expected:
    """Return how long a trial is expected to take.

    Every arm and the control have a process in each block, and one before for the guards; arms of
    frameworks that are not installed have none. What is learnt is judged after the blocks.

    Args:
        experiment: as declared.
        case: of it.
        plan: of the run.
        backend: that it runs on.
        counted_beside: see `counts_beside`.
        cores: as many arms train, and are counted, at a time.
    """
    if backend not in experiment.backends:
        return Expected(0.0, 0.0)
    arms = sum(is_installed(arm.backend or backend) for arm in experiment.arms) + 1
    process_s = PROCESS_S if backend in KERAS else PLAIN_PROCESS_S
    before_s = process_s * arms + ATTEMPT_S * len(experiment.attempts)
    if not experiment.timed:
        return Expected(before_s, before_s)
    block_s = arms * (process_s + plan.rounds * plan.sample_time_s)
    after_s = TRAINING_S * trainings(experiment, case)
    if counted_beside:
        after_s += PROCESSES * (arms - 1) * COUNTED * process_s
    after_s *= 2 / max(1, min(cores, arms - 1))  # both are told of two at a time
    least_s = before_s + plan.min_blocks * block_s + after_s
    return Expected(least_s, max(least_s, plan.budget_s + block_s + after_s))


def trainings(experiment: Experiment, case: Case) -> int:
    """Return how often arms are trained in a case: from each seed, at each rate to choose from."""
    quality = experiment.quality_of(case)
    if not quality:
        return 0
    tuning = len(quality.learning_rates) * len(quality.tuning_seeds)
    return len(quality.arms or experiment.arms) * (tuning + len(quality.seeds))


def altogether(trials: Iterable[Expected]) -> Expected:
    """Return how long trials take one after the other."""
    listed = list(trials)
    return Expected(sum(e.least_s for e in listed), sum(e.most_s for e in listed))


def announced(trials: Mapping[str, Expected]) -> str:
    """Return how many trials there are, and how long they are expected to take."""
    return f"{count(len(trials), 'trial')}, {altogether(trials.values())}"


def one_alone(experiments: Mapping[str, str], trials: Mapping[str, Expected]) -> list[str]:
    """Return how to measure one experiment alone, where there are several.

    Args:
        experiments: name of each trial's experiment, by the trial's id.
        trials: how long each trial is expected to take.
    """
    first = next(iter(experiments.values()))
    own = {trial: trials[trial] for trial, name in experiments.items() if name == first}
    return [] if len(own) == len(trials) else [f"-k {first}: {announced(own)}"]


def beyond(trials: Mapping[str, Expected], plan: Plan) -> list[str]:
    """Say so where a budget cannot be kept, because a trial has its first blocks in any case."""
    longest_s = max(each.least_s for each in trials.values())
    if longest_s <= plan.budget_s:
        return []
    return [
        f"{option('budget_s')} {plan.budget_s:g} cannot be kept by every trial: the first "
        f"{plan.min_blocks} blocks alone take up to {roughly(longest_s)} "
        f"({option('min_blocks')} and {option('rounds')} make them shorter)"
    ]


class Progress:
    """Counts the trials of an invocation, and reckons how long is left.

    What was reckoned beforehand is corrected by how long the trials took that were measured.

    Args:
        trials: all that were selected, by id, in order, and how long each is expected to take.
        now: monotonic seconds.
        time_in: the time of day that it will be in some seconds.
    """

    def __init__(
        self,
        trials: Mapping[str, Expected],
        now: Callable[[], float] = clock.now,
        time_in: Callable[[float], str] = clock.time_in,
    ) -> None:
        self._left = dict(trials)
        self._count = len(trials)
        self._now, self._time_in = now, time_in
        self._begun = now()
        self._spent_s = self._reckoned_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the trial under way began."""
        return self._now() - self._begun

    def begin(self, says: str) -> str:
        """Take the time at which a trial begins, and return the line that announces it.

        Args:
            says: what people call it.
        """
        self._begun = self._now()
        number = self._count - len(self._left) + 1
        return f"trial {number} of {self._count}: {says}  ({self._what_is_left()})"

    def end(self, trial: str, *, measured: bool = True) -> None:
        """Take the time at which a trial ends.

        Args:
            trial: its id.
            measured: whether it was, and not read from a run file.
        """
        reckoned = self._left.pop(trial, Expected(0.0, 0.0))
        if measured:
            self._spent_s += self.elapsed_s
            self._reckoned_s += reckoned.most_s

    @property
    def done(self) -> str:
        """How many trials have come to their end, in words: ``3 of 42 trials``."""
        return f"{self._count - len(self._left)} of {self._count} trials"

    def _what_is_left(self) -> str:
        left = altogether(self._left.values())
        if not self._reckoned_s:
            return f"{left} left"
        left_s = left.most_s * self._spent_s / self._reckoned_s
        return f"about {roughly(left_s)} left, until {self._time_in(left_s)}"


class Sparingly:
    """Does something again and again that must not take more than a share of the time.

    Args:
        share: of the time since the first.
        now: monotonic seconds.
    """

    def __init__(self, share: float, now: Callable[[], float] = clock.now) -> None:
        self._share, self._now = share, now
        self._begun, self._spent = now(), 0.0

    def do(self, work: Callable[[], object]) -> None:
        """Do it, unless too much was spent on it already."""
        begun = self._now()
        if self._spent <= self._share * (begun - self._begun):
            work()
            self._spent += self._now() - begun


def roughly(seconds: float) -> str:
    """Return a length of time that nobody knows exactly: ``40 s``, ``24 min``, ``3.5 h``."""
    if seconds < 95:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
