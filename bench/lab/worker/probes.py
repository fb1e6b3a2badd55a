"""Pieces of work that show the ceilings of a machine; run in a worker process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

SIDES = (1024, 2048, 4096, 8192)
"""Of square matrices: a product grows until it lasts long enough to be a ceiling."""

COPIED_BYTES = 2**29
"""Of an array that is copied to or on a device: no GPU's cache holds an eighth of it."""


@dataclass(frozen=True)
class Probe:
    """A piece of work whose rate is a ceiling of the machine.

    Args:
        step: do it once.
        unit: of its rate; ``s`` where what counts is how long a step lasts.
        work: bytes moved (read and written both count) or floating-point operations of a step.
        data_bytes: memory that a step works on.
    """

    step: Callable[[], Any]
    unit: Literal["B/s", "FLOP/s", "s"]
    work: float
    data_bytes: int


Probes = Mapping[str, Sequence[Callable[[], Probe]]]
"""By name: what builds the probe, in growing sizes."""


def cache_bytes(level: int) -> int:
    """Return the size of one cache of the first core; 0 where the kernel does not tell."""
    for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if int((cache / "level").read_text()) == level:
                return int((cache / "size").read_text().strip().removesuffix("K")) * 2**10
        except (OSError, ValueError):
            continue
    return 0


def beyond_caches_bytes(largest_cache: int, available: int) -> int:
    """Return the size of an array that no cache holds, as far as memory allows.

    Four times the largest cache, at least 256 MiB, at most an eighth of the available memory.
    """
    return min(max(4 * largest_cache, 2**28), available // 8)


def host_probes() -> Probes:
    """Return the probes that need no framework."""
    largest = max(cache_bytes(level) for level in (2, 3, 4))
    beyond = beyond_caches_bytes(largest, psutil.virtual_memory().available)
    within = (cache_bytes(2) or 2**20) // 4 * len(os.sched_getaffinity(0))
    return {
        "host_copy": (partial(copying, beyond, 1),),
        "cached_copy": (partial(copying, within, 1000),),
    }


def copying(size: int, times: int) -> Probe:
    """Return a probe in which every core copies its part of an array of random bytes.

    Args:
        size: bytes of the array.
        times: copies in a step; those after the first find the array in a cache that holds it.

    Source: J. D. McCalpin, Memory Bandwidth and Machine Balance in Current High Performance
    Computers, 1995 (STREAM), https://www.cs.virginia.edu/stream/: bytes read and bytes written
    both count, bytes that the cache reads in order to write do not.
    """
    cores = len(os.sched_getaffinity(0))
    source = np.random.default_rng(0).integers(2**63, size=size // 8)
    target = np.full_like(source, 1)  # written, so that its pages are there
    parts = list(zip(np.array_split(source, cores), np.array_split(target, cores), strict=True))
    pool = ThreadPoolExecutor(cores)

    def copy(part: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(times):
            np.copyto(part[1], part[0])

    return Probe(lambda: list(pool.map(copy, parts)), "B/s", 2.0 * source.nbytes * times, 2 * size)
