"""How near each native CPU kernel comes to the least time that its bytes take on this machine.

Run with ``python -m tests.studies.kernel_bandwidth --fill``, with nothing else running: it writes
the table of kernels/native/README.md; some ten minutes on two cores. A block is a fresh process,
in which these take turns, in an order drawn anew for each round: a kernel; a plain copy, and an
update in place, of as many bytes as the kernel must move (`kernels/native/least_bytes.py`), on
every core; and the kernel's arithmetic on as many elements, few at a time, that stay in the cache.
The share is the time of the faster plain one over the kernel's; 1 is the machine's limit. The last
one's time over the kernel's says what stands in the way: near 1, it is the arithmetic. Arrays are
cut from one, so that all have the large pages that the operating system gives.

``python -m tests.studies.kernel_bandwidth sm3 adam`` prints it for some kernels.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_double, c_int32, c_int64
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge.estimate import hodges_lehmann
from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.loop.load import Load
from keras_ab.bench.lab.worker.probes import cache_bytes
from keras_ab.bench.workloads.fused_kernels import kernel_shapes
from keras_ab.kernels.native import register
from keras_ab.kernels.native.least_bytes import least_bytes
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases
from tests.studies.tables import fill, ratio

BLOCKS, ROUNDS = 5, 15
CORES = len(os.sched_getaffinity(0))
README = Path(register.__file__).with_name("README.md")
Step = Callable[[], Any]
Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Problem:
    """What a step of a kernel is called with.

    Args:
        case: its size, for people.
        shapes: of the tensors.
        make: returns the step, for tensors of such shapes.
    """

    case: str
    shapes: Shapes
    make: Callable[[c.Cpu, Shapes], Step]


@dataclass(frozen=True)
class Block:
    """What one process found.

    Args:
        log_share: the log of the faster plain loop's time over the kernel's.
        log_arithmetic: the log of its arithmetic's time, without memory, over the kernel's.
        others: cores that other processes kept busy meanwhile.
    """

    log_share: float
    log_arithmetic: float
    others: float


def arrays(shapes: Shapes, scale: float = 1.0) -> list[np.ndarray]:
    """Return random arrays, cut from one."""
    ends = [0, *accumulate(-(-math.prod(shape) // 16) * 16 for shape in shapes)]
    rng = np.random.default_rng(1)
    whole = rng.standard_normal(ends[-1], dtype=np.float32) * np.float32(scale)
    pieces = (whole[first:last] for first, last in pairwise(ends))
    return [x[: math.prod(shape)].reshape(shape) for x, shape in zip(pieces, shapes, strict=True)]


# A step holds its tensors in a default argument: the structs have their addresses alone.


def adam(kernels: c.Cpu, shapes: Shapes) -> Step:
    w, m, v, g = (arrays(shapes, scale) for scale in (1, 0, 0, 0.02))
    tensors = [dict(zip("wmvg", own, strict=True)) for own in zip(w, m, v, g, strict=True)]
    structs = c.adam_structs(tensors)
    return lambda _=tensors: kernels.adam(structs, 1e-3, cases.ADAM)


def sm3(kernels: c.Cpu, shapes: Shapes) -> Step:
    w, g = arrays(shapes), arrays(shapes, 0.02)
    tensors = [
        {
            "w": one,
            "g": other,
            "mu": [np.full(n, 1e-3, np.float32) for n in one.shape],
            "mu_out": [np.empty(n, np.float32) for n in one.shape],
        }
        for one, other in zip(w, g, strict=True)
    ]
    structs = c.sm3_structs(tensors)
    return lambda _=tensors: kernels.sm3(structs, 1e-2, 0.0)


def adafactor(kernels: c.Cpu, shapes: Shapes) -> Step:
    w, g = arrays(shapes), arrays(shapes, 0.02)
    tensors = []
    for one, other in zip(w, g, strict=True):
        moments = {
            name: np.full(n, 1e-3, np.float32) for name, n in zip("rc", one.shape, strict=True)
        }
        new = {f"{name}_out": np.empty_like(moment) for name, moment in moments.items()}
        tensors.append({"w": one, "g": other} | moments | new)
    structs, step = c.adafactor_structs(tensors), (1e-2, 0.3, *cases.ADAFACTOR.values())
    return lambda _=tensors: kernels.adafactor(structs, step)


def adaptive_clip(kernels: c.Cpu, shapes: Shapes) -> Step:
    w, g = arrays(shapes), arrays(shapes, 0.02)
    tensors = [
        {"w": one, "g": other, "factor": np.empty(one.shape[1], np.float32)}
        for one, other in zip(w, g, strict=True)
    ]
    structs = c.clip_structs(tensors)
    return lambda _=tensors: kernels.clip(structs, 0.01, 1e-3)


def cross_entropy(kernels: c.Cpu, shapes: Shapes) -> Step:
    (x,), (d,) = arrays(shapes, 3.0), arrays(shapes)
    batch, classes = x.shape
    labels = np.random.default_rng(2).integers(0, classes, batch, dtype=np.int32)
    loss, maximum, total, upstream = np.ones((4, batch), np.float32)
    common = (x, c_int32(0), labels, c_int32(4), *map(c_int64, x.shape))

    def step() -> None:
        kernels.tensor("cross_entropy_forward", *common, loss, maximum, total)
        kernels.tensor("cross_entropy_backward", *common, maximum, total, upstream, d)

    return step


def standardize(kernels: c.Cpu, shapes: Shapes) -> Step:
    """All forward, then all backward, as a training step has them."""
    w, y, u, d = (arrays(shapes, scale) for scale in (0.1, 0, 1, 0))
    calls: list[list[tuple[Any, ...]]] = [[], []]
    for one, out, up, down in zip(w, y, u, d, strict=True):
        gain, d_gain = np.ones((2, one.shape[1]), np.float32)
        size = (*map(c_int64, one.shape), c_double(1e-4))
        calls[0].append(("standardize_forward", one, c_int32(0), gain, *size, out))
        calls[1].append(("standardize_backward", one, c_int32(0), gain, up, *size, down, d_gain))

    def step() -> None:
        for call in calls[0] + calls[1][::-1]:
            kernels.tensor(*call)

    return step


def batch_statistics(kernels: c.Cpu, shapes: Shapes) -> Step:
    (x,), (d,) = arrays(shapes), arrays(shapes)
    mean, d_mean = np.ones((2, x.shape[1]), np.float32)
    variance, d_variance = np.ones((2, 1), np.float32)
    common = (x, c_int32(0))
    size = tuple(map(c_int64, x.shape))

    def step() -> None:
        kernels.tensor("batch_statistics_forward", *common, *size, mean, variance)
        kernels.tensor("batch_statistics_backward", *common, mean, d_mean, d_variance, *size, d)

    return step


MATRICES = [(500, 500)] * 100
FILTERS = [(math.prod(shape[:-1]), shape[-1]) for shape in kernel_shapes({"stages": 4})]
PROBLEMS = {
    "adam": Problem("100 variables, 25 M", MATRICES, adam),
    "sm3": Problem("100 variables, 25 M", MATRICES, sm3),
    "adafactor": Problem("100 variables, 25 M", MATRICES, adafactor),
    "adaptive_clip": Problem("100 variables, 25 M", MATRICES, adaptive_clip),
    "cross_entropy": Problem("512 × 32000", [(512, 32000)], cross_entropy),
    "standardize": Problem("ResNet-50, four stages", FILTERS, standardize),
    "batch_statistics": Problem("100352 × 128", [(100352, 128)], batch_statistics),
}


def last_cache_bytes() -> int:
    """Return the size of this machine's last-level cache."""
    return max(cache_bytes(level) for level in (2, 3, 4))


def moved(kernel: str, shapes: Shapes) -> int:
    """Return the least bytes of one step, with this machine's last-level cache."""
    return sum(least_bytes(kernel, math.prod(shape), last_cache_bytes()) for shape in shapes)


def copy(size: int) -> Step:
    """Return a plain copy on every core that moves so many bytes, half of them read."""
    return _on_every_core(np.copyto, *arrays([(size // 8,)] * 2))


def update(size: int) -> Step:
    """Return a plain update in place on every core that moves so many bytes, half of them read."""
    one = np.float32(1)
    return _on_every_core(lambda x: np.add(x, one, out=x), *arrays([(size // 8,)]))


def _on_every_core(move: Callable[..., Any], *whole: np.ndarray) -> Step:
    pool = ThreadPoolExecutor(CORES)
    pieces = list(zip(*(np.array_split(a, CORES) for a in whole), strict=True))
    return lambda: list(pool.map(lambda piece: move(*piece), pieces))


def few(shapes: Shapes, elements: float) -> tuple[int, int]:
    """Return the largest of these shapes, with as many of its rows as have so many elements."""
    rows, columns = max(shapes, key=math.prod)
    return min(rows, max(1, int(elements / columns))), columns


def arithmetic(kernel: str, problem: Problem) -> Step:
    """Return the kernel's arithmetic on as many elements, few at a time, that stay in the cache.

    Each core has its own and wakes no other, which would take longer than so few elements do.
    """
    size = last_cache_bytes() / 4 / CORES
    shape = few(problem.shapes, size / least_bytes(kernel, 1, cache=0))
    steps = [problem.make(c.Cpu(register.library()), [shape]) for _ in range(CORES)]
    times = round(sum(map(math.prod, problem.shapes)) / CORES / math.prod(shape))
    pool = ThreadPoolExecutor(CORES)
    return lambda: list(pool.map(lambda step: [step() for _ in range(times)], steps))


def _lasts(step: Step) -> float:
    start = clock.now()
    step()
    return clock.now() - start


def block(kernel: str, problem: Problem, seed: int, rounds: int = ROUNDS) -> Block:
    """Time the kernel, its arithmetic and both plain loops in this process, in turns."""
    rng, size = np.random.default_rng(seed), moved(kernel, problem.shapes)
    own_step = problem.make(c.Cpu(register.library(), CORES), problem.shapes)
    steps = own_step, arithmetic(kernel, problem), copy(size), update(size)
    load = Load()
    load.begin()
    lasted = np.empty((rounds + 2, len(steps)))
    for turn in lasted:
        for i in rng.permutation(len(steps)):
            turn[i] = _lasts(steps[i])
    logs = np.log(lasted[2:])  # the first find pages and clocks asleep
    alone, copied, updated = (hodges_lehmann(list(logs[:, i] - logs[:, 0])) for i in (1, 2, 3))
    return Block(min(copied, updated), alone, load.others(workers_cpu_s=0.0))


def in_fresh_process(kernel: str, seed: int) -> Block:
    """Return what `block` returns in a process of its own."""
    command = [sys.executable, "-m", "tests.studies.kernel_bandwidth", "--block", kernel, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Block(**json.loads(done.stdout))


def row(kernel: str, problem: Problem, blocks: Sequence[Block]) -> str:
    """Return a kernel's row."""
    least = moved(kernel, problem.shapes) / sum(map(math.prod, problem.shapes))
    shares = [each.log_share for each in blocks], [each.log_arithmetic for each in blocks]
    cells = kernel, problem.case, f"{least:.3g}", *map(ratio, shares)
    return f"| {' | '.join(cells)} |"


def table(found: Sequence[dict[str, Block]]) -> str:
    """Return the table of blocks, and what there is to know of where they ran."""
    heads = "kernel", "case", "least bytes an element", "share of the limit", "arithmetic alone"
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [row(k, PROBLEMS[k], [blocks[k] for blocks in found]) for k in found[0]]
    others = max(block.others for blocks in found for block in blocks.values())
    where = (
        f"On {facts.machine()['cpu']}, {CORES} cores, a last-level cache of "
        f"{last_cache_bytes() / 2**20:.3g} MiB, {clock.timestamp()[:10]}; {len(found)} blocks of "
        f"{ROUNDS} rounds. Other processes kept at most {others:.2g} cores busy."
    )
    return "\n".join([*lines, "", where, ""])


def main(arguments: Sequence[str]) -> None:
    """Print the table, or write it into the page."""
    if arguments[:1] == ["--block"]:
        print(json.dumps(vars(block(arguments[1], PROBLEMS[arguments[1]], int(arguments[2])))))
        return
    into_page = arguments[:1] == ["--fill"]
    kernels = arguments[into_page:] or list(PROBLEMS)
    made = table([{k: in_fresh_process(k, seed) for k in kernels} for seed in range(BLOCKS)])
    if into_page:
        fill(README, "kernel_bandwidth", made)
    print(made)


if __name__ == "__main__":
    main(sys.argv[1:])
