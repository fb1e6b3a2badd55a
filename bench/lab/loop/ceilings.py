"""The machine's ceilings: how fast it copies, multiplies and dispatches at best, measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.arm_process import Workers
from keras_ab.bench.lab.loop.forkserver import WorkerLost, WorkerTimeout
from keras_ab.bench.lab.record.records import Ceiling
from keras_ab.bench.lab.words.errors import LabError

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
        ask = partial(_ask, worker)
        for name, sizes in ask({"do": "probes", "backend": backend}).items():
            yield _sampled(ask, name, sizes)
    finally:
        worker.stop()


def _sampled(ask: Callable[[dict[str, Any]], dict[str, Any]], name: str, sizes: int) -> Ceiling:
    """Sample one probe in the smallest of its sizes that lasts long enough."""
    for size in range(sizes):
        built = ask({"do": "probe", "name": name, "size": size})
        ask({"do": "sample", "steps": 1})
        if ask({"do": "sample", "steps": 1})["duration_s"] >= LONG_ENOUGH_S:
            break
    steps = ask({"do": "calibrate", "sample_time_s": LONG_ENOUGH_S})["steps"]
    times = [ask({"do": "sample", "steps": steps})["duration_s"] for _ in range(SAMPLES)]
    return Ceiling(name=name, **built, steps=steps, samples_s=times)


def _ask(worker: Any, request: dict[str, Any]) -> dict[str, Any]:
    worker.send(request)
    try:
        answer = worker.receive(TIME_LIMIT_S)
    except (WorkerLost, WorkerTimeout) as lost:
        answer = {"error": str(lost) or f"no answer within {TIME_LIMIT_S:g} s"}
    if "result" not in answer:
        raise LabError(
            "every ceiling of the machine can be measured",
            f"{request.get('name', request['do'])}: {answer.get('error', answer.get('absent'))}",
            "free some memory, or measure without ceilings",
        )
    return answer["result"]
