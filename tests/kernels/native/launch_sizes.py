"""How many blocks each CUDA kernel is launched with, in the cases that a GPU measures.

Nothing is run: the emulator's driver keeps the grids. Tensors are addresses that nobody reads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from keras_ab.bench import bench_kernels
from keras_ab.bench.lab.words.declare import SELECTIONS, Experiment
from keras_ab.bench.workloads.fused_kernels import kernel_shapes
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases
from tests.kernels.native.frames import Handlers

ADDRESS = 2**40
"""Of every tensor of an optimizer: aligned, as XLA's are."""

HEAD = ("kernel", "blocks of a launch")

Params = Mapping[str, Any]


def _pointers(kind: type) -> dict[str, int]:
    """Return an address for each pointer of a struct."""
    fields = getattr(kind, "_fields_", ())
    return {field[0]: ADDRESS for field in fields if field[1] is ctypes.c_void_p}


def _adam(cuda: c.Cuda, _: Handlers, case: Params) -> None:
    each = _pointers(c.Adam) | {"n": case["rows"] * case["columns"], "dtype": 0}
    cuda.adam(c.many(c.Adam, [each] * case["variables"]), 1e-3, cases.ADAM)


def _sm3(cuda: c.Cuda, _: Handlers, case: Params) -> None:
    shape = (case["rows"], case["columns"])
    each = _pointers(c.Sm3) | {"n": prod(shape), "rank": 2, "dtype": 0}
    each["dims"] = (ctypes.c_int64 * c.MAX_RANK)(*shape)
    cuda.sm3(c.many(c.Sm3, [each] * case["variables"]), 1e-3, 0.0)


def _adafactor(cuda: c.Cuda, _: Handlers, case: Params) -> None:
    sizes = {"lead": 1, "rows": case["rows"], "cols": case["columns"]}
    each = _pointers(c.Adafactor) | sizes | {"n": case["rows"] * case["columns"], "dtype": 0}
    structs = c.many(c.Adafactor, [each] * case["variables"])
    cuda.adafactor(structs, (0.01, 0.3, *cases.ADAFACTOR.values()))


def _clip(cuda: c.Cuda, _: Handlers, case: Params) -> None:
    each = _pointers(c.Clip) | {"fan_in": case["rows"], "units": case["columns"], "dtype": 0}
    cuda.clip(c.many(c.Clip, [each] * case["variables"]), 0.01, 1e-3)


def _cross_entropy(_: c.Cuda, handlers: Handlers, case: Params) -> None:
    shape = (case["batch"], case["classes"])
    labels, upstream = np.empty(shape[:1], np.int64), np.empty(shape[:1], np.float32)
    handlers.cross_entropy(np.empty(shape, np.float32), labels, upstream)


def _standardize(_: c.Cuda, handlers: Handlers, case: Params) -> None:
    for shape in kernel_shapes(case):
        w, up = np.empty(shape, np.float32), np.empty(shape, np.float32)
        handlers.standardize(w, np.empty(shape[-1:], np.float32), up)


def _batch_statistics(_: c.Cuda, handlers: Handlers, case: Params) -> None:
    shape = (case["rows"], case["channels"])
    d_mean, d_variance = np.empty(shape[1:], np.float32), np.empty(1, np.float32)
    handlers.batch_statistics(np.empty(shape, np.float32), d_mean, d_variance)


STEPS = (
    (bench_kernels.ADAM, _adam),
    (bench_kernels.SM3, _sm3),
    (bench_kernels.ADAFACTOR, _adafactor),
    (bench_kernels.AGC, _clip),
    (bench_kernels.CROSS_ENTROPY, _cross_entropy),
    (bench_kernels.STANDARDIZATION, _standardize),
    (bench_kernels.STATISTICS, _batch_statistics),
)


def largest_case(experiment: Experiment) -> Params:
    """Return the last case that a GPU measures: the largest."""
    return SELECTIONS["gpu"](experiment.cases)[-1].params


def launched(cuda: c.Cuda, handlers: Handlers, driver: ctypes.CDLL) -> Iterator[tuple[str, int]]:
    """Yield the kernels of each step's launches, with their blocks, in the largest cases."""
    grids = (ctypes.c_char * 65536).in_dll(driver, "mock_grids")
    dry = ctypes.c_int.in_dll(driver, "mock_dry")
    dry.value = 1
    for experiment, step in STEPS:
        grids.value = b""
        step(cuda, handlers, largest_case(experiment))
        told = grids.value.decode().split()
        yield from zip(told[::2], map(int, told[1::2]), strict=True)
    dry.value = 0


def table(found: Iterable[tuple[str, int]]) -> str:
    """Return the table in Markdown: of each kernel the smallest and the largest launch."""
    rows, sizes = [HEAD, ("---",) * len(HEAD)], list(found)
    for kernel in dict.fromkeys(kernel for kernel, _ in sizes):
        blocks = [size for name, size in sizes if name == kernel]
        least, most = min(blocks), max(blocks)
        rows.append((kernel, str(least) if least == most else f"{least} to {most}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
