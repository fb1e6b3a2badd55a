"""Where the time goes: arms traced in turn, and sampled in the same processes without a trace."""

from __future__ import annotations

import operator
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from keras_ab.bench.lab.loop.arm_process import ArmFailed, ArmProcess
from keras_ab.bench.lab.record.orders import balanced_orders
from keras_ab.bench.lab.record.records import Profile
from keras_ab.bench.lab.worker import protocol
from keras_ab.bench.lab.worker.tracing import middle_half, paces

FEWEST_ROUNDS = 8
"""What a trace has at least, even where each step takes seconds: half of them count."""

LEAST_ASKING_S = 0.1
"""What a short sample is taken to last when rounds are planned: being asked for takes time too."""


def profiled(
    processes: dict[str, ArmProcess],
    steps: int,
    warm: bool,
    time_s: float,
    folder: Path,
    rng: random.Random,
) -> Iterator[Profile | ArmFailed]:
    """Trace every arm, sampled in rounds as in a block; yields what was found.

    Before the trace and after it the same processes are sampled as often without the profiler: how
    long a step takes there is what the trace has to add up to. Arms are compared at one pace of the
    machine.

    Args:
        processes: a process for each arm, its device open; those that fail are taken out.
        steps: in a sample.
        warm: whether steps that are not timed come before each.
        time_s: how long each arm is traced, about.
        folder: of the trial's traces, in that of the run's.
        rng: draws the order of the arms.
    """
    untraced: defaultdict[str, list[float]] = defaultdict(list)
    under_trace: defaultdict[str, list[float]] = defaultdict(list)
    found: dict[str, Profile] = {}
    warm_ups_s = []

    def warm_up(process: ArmProcess, _: int) -> None:
        process.build()
        warm_ups_s.append(process.sample(steps, "warm-up").duration_s)

    def sample(process: ArmProcess, _: int) -> None:
        untraced[process.arm].append(process.sample(steps, warm=warm).duration_s / steps)

    def begin(process: ArmProcess, _: int) -> None:
        process.trace(folder / process.arm)

    def traced(process: ArmProcess, number: int) -> None:
        under_trace[process.arm].append(process.traced(steps, number, warm))

    def end(process: ArmProcess, _: int) -> None:
        files = f"{folder.parent.name}/{folder.name}/{process.arm}"
        found[process.arm] = process.profile(steps, _paces(under_trace), files)

    in_turn = partial(_in_turn, processes, rng)
    yield from in_turn(1, warm_up)
    taken = steps + (protocol.untimed(steps) if warm else 0)
    round_s = max(fmean(warm_ups_s or [0.0]) * taken / steps, LEAST_ASKING_S)
    rounds = max(FEWEST_ROUNDS, int(time_s / round_s))
    yield from in_turn(rounds // 2, sample)
    yield from in_turn(1, begin)
    yield from in_turn(rounds, traced)
    yield from in_turn(1, end)
    yield from in_turn(rounds // 2, sample)
    pace = _paces(untraced)
    for arm in processes:
        at_one_pace = map(operator.truediv, untraced[arm], pace)
        plain = {"untraced_step_time_s": fmean(middle_half(at_one_pace, key=float))}
        yield found[arm].model_copy(update=plain)


def _in_turn(
    processes: dict[str, ArmProcess],
    rng: random.Random,
    rounds: int,
    do: Callable[[ArmProcess, int], None],
) -> Iterator[ArmFailed]:
    """Do something with each process in every round; take out those that fail."""
    orders = balanced_orders(sorted(processes), rng)
    for number in range(rounds if processes else 0):
        for arm in [arm for arm in next(orders) if arm in processes]:
            try:
                do(processes[arm], number)
            except ArmFailed as failed:
                del processes[arm]
                yield failed


def _paces(lasted: Mapping[str, Sequence[float]]) -> list[float]:
    """Return the pace of each round from what the samples lasted of the arms that had them all."""
    rounds = max(map(len, lasted.values()), default=0)
    return paces([samples for samples in lasted.values() if len(samples) == rounds])
