"""The machine's ceilings: how fast it copies, multiplies and dispatches at best, measured here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, Workers, ask
from keras_ab.bench.lab.record.records import Ceiling
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.worker.protocol import (
    Answer,
    Calibrate,
    ListProbes,
    PrepareProbe,
    Request,
    Sample,
)

SAMPLES = 11
"""Of each ceiling: the interval of their median leaves out the lowest and the highest."""

LONG_ENOUGH_S = 0.1
"""A probe is made larger until a step lasts this long: what starts a step no longer matters."""

TIME_LIMIT_S = 300.0
LOOKS = 10_000


def clock_steps() -> list[float]:
    """Look at the clock again and again; return the steps that it made, in seconds."""
    ticks = [clock.now() for _ in range(LOOKS)]
    return [b - a for a, b in pairwise(ticks) if b > a]


def measure(workers: Workers, backend: str) -> Iterator[Ceiling]:
    """Measure every ceiling of this machine and yield its raw samples; takes about a minute.

    Raises:
        LabError: where a probe fails.
    """
    clocked = [min(clock_steps()) for _ in range(SAMPLES)]
    yield Ceiling(
        name="timer_resolution", unit="s", work=1, data_bytes=0, steps=1, samples_s=clocked
    )
    worker = workers.start()
    try:
        for name, sizes in _ask(worker, "probes", ListProbes(backend)).items():
            yield _sampled(worker, name, sizes)
    finally:
        worker.stop()


def _sampled(worker: Worker, name: str, sizes: int) -> Ceiling:
    """Sample one probe in the smallest of its sizes that lasts long enough."""

    def sample(steps: int) -> float:
        return _ask(worker, name, Sample(steps)).duration_s

    for size in range(sizes):
        probe = _ask(worker, name, PrepareProbe(name, size))
        sample(1)
        if sample(1) >= LONG_ENOUGH_S:
            break
    steps = _ask(worker, name, Calibrate(LONG_ENOUGH_S))
    times = [sample(steps) for _ in range(SAMPLES)]
    return Ceiling(name=name, **vars(probe), steps=steps, samples_s=times)


def _ask(worker: Worker, probe: str, request: Request[Answer]) -> Answer:
    try:
        return ask(worker, request, TIME_LIMIT_S)
    except NoAnswer as why:
        raise LabError(
            "every ceiling of the machine can be measured",
            f"{probe}: {why.message}",
            "free some memory, or measure without ceilings",
        ) from why
