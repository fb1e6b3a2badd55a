"""The machine's ceilings as rates with intervals, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_ab.bench.lab.judge.estimate import Middle, middle
from keras_ab.bench.lab.record.records import Ceiling

TITLES = {
    "timer_resolution": "timer resolution",
    "host_copy": "copy in host memory",
    "cached_copy": "copy within the second cache",
    "device_copy": "copy in device memory",
    "host_to_device": "host to device",
    "matmul_float32": "matrix product, float32",
    "matmul_tf32": "matrix product, TF32",
    "matmul_bfloat16": "matrix product, bfloat16",
    "matmul_float16": "matrix product, float16",
    "dispatch_eager": "dispatch of one op, eager",
    "dispatch_graph": "dispatch of one op, graph",
    "dispatch_xla": "dispatch of one op, XLA",
}
"""Ceilings for people, in the order of the report."""


def rate(record: Ceiling, confidence: float = 0.95) -> Middle:
    """Return the median of a ceiling with its interval, in the ceiling's unit."""
    per_step = [duration / record.steps for duration in record.samples_s]
    if record.unit == "s":
        return middle(per_step, confidence)
    return middle([record.work / duration for duration in per_step], confidence)


def ceilings_in(records: Iterable[Any]) -> dict[str, Ceiling]:
    """Return a run's ceilings by name, in the order of the report; the last of each counts."""
    found = {record.name: record for record in records if isinstance(record, Ceiling)}
    order = [*TITLES, *found]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))
