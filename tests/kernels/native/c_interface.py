"""The kernels' C interface on NumPy arrays: the CPU's own, and launches on a (mock) driver."""

import ctypes
from collections.abc import Callable
from ctypes import byref, c_double, c_float, c_int32, c_int64, c_void_p
from typing import Any

import ml_dtypes
import numpy as np

from keras_ab.kernels.sm3 import SMALLEST_NORMAL

DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
CODES = {np.dtype(t): i for i, t in enumerate(DTYPES.values())}
MAX_RANK = 8


class Adam(ctypes.Structure):
    _fields_ = (
        *[(k, c_void_p) for k in ("w", "m", "v", "g", "w_out", "m_out", "v_out")],
        ("n", c_int64),
        ("dtype", c_int32),
    )


class Sm3(ctypes.Structure):
    _fields_ = (
        *[(k, c_void_p) for k in ("w", "g", "momentum", "w_out", "momentum_out")],
        ("accumulator", c_void_p * MAX_RANK),
        ("accumulator_out", c_void_p * MAX_RANK),
        ("dims", c_int64 * MAX_RANK),
        ("n", c_int64),
        ("rank", c_int32),
        ("dtype", c_int32),
    )


class Adafactor(ctypes.Structure):
    _fields_ = (
        *[(k, c_void_p) for k in ("w", "g", "w_out", "r", "c", "r_out", "c_out")],
        *[(k, c_int64) for k in ("lead", "rows", "cols", "n")],
        ("dtype", c_int32),
    )


class AdafactorStep(ctypes.Structure):
    _fields_ = tuple(
        (k, c_double) for k in ("rho", "decay", "epsilon_1", "epsilon_2", "clip_threshold")
    )


class Clip(ctypes.Structure):
    _fields_ = (
        *[(k, c_void_p) for k in ("w", "g", "factor")],
        ("fan_in", c_int64),
        ("units", c_int64),
        ("dtype", c_int32),
    )


def at(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


ALIGNED_BYTES = 256
"""Of a GPU's memory. Source: CUDA C++ Programming Guide, "Device Memory Accesses"."""


def on_device(array: np.ndarray, memory: np.ndarray | None = None) -> np.ndarray:
    """Return a copy of an array that begins where an array in a GPU's memory could.

    It lies in `memory`, bytes of which it takes the first that will do, or in memory of its own.
    """
    if memory is None:
        memory = np.empty(array.nbytes + ALIGNED_BYTES, np.uint8)
    begin = -memory.ctypes.data % ALIGNED_BYTES
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def many(kind: type, rows: list[dict[str, Any]]) -> Any:
    return (kind * len(rows))(*[kind(**row) for row in rows])


def number(value: float) -> Any:
    return byref(c_float(value))


class Cpu:
    """Calls the CPU kernels; `threads` of them, or none but the caller."""

    def __init__(self, library: ctypes.CDLL, threads: int | None = None) -> None:
        self.library = library
        library.kab_own_threads.restype = c_void_p
        library.kab_cross_entropy_forward.restype = c_int64
        own = library.kab_own_threads(c_int64(threads)) if threads else None
        self.workers = c_void_p(own)

    def adam(self, structs: Any, alpha: float, rates: tuple[float, ...]) -> None:
        numbers = [c_double(x) for x in (alpha, *rates)]
        self.library.kab_adam(structs, c_int64(len(structs)), *numbers, self.workers)

    def sm3(self, structs: Any, rate: float, momentum: float) -> None:
        numbers = c_double(rate), c_double(momentum), c_double(SMALLEST_NORMAL)
        self.library.kab_sm3(structs, c_int64(len(structs)), *numbers, self.workers)

    def adafactor(self, structs: Any, step: tuple[float, ...]) -> None:
        held = AdafactorStep(*step)
        self.library.kab_adafactor(structs, c_int64(len(structs)), byref(held), self.workers)

    def clip(self, structs: Any, clipping: float, epsilon: float) -> None:
        numbers = c_double(clipping), c_double(epsilon)
        self.library.kab_adaptive_clip(structs, c_int64(len(structs)), *numbers, self.workers)

    def tensor(self, name: str, *arguments: Any) -> int:
        """Call a per-tensor kernel: arrays by address, numbers by their ctypes."""
        plain = [c_void_p(at(a)) if isinstance(a, np.ndarray) else a for a in arguments]
        return getattr(self.library, f"kab_{name}")(*plain, self.workers)


class Cuda:
    """Makes the same calls as launches, on a driver that a test provides.

    Attributes:
        place: puts scratch memory where it is to lie.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.place: Callable[[np.ndarray], np.ndarray] = np.asarray
        for name in ("adam", "sm3", "adafactor", "adaptive_clip"):
            getattr(library, f"kab_launch_{name}").restype = ctypes.c_char_p
        library.kab_launch.restype = ctypes.c_char_p
        library.kab_adafactor_scratch.restype = c_int64

    def check(self, error: bytes | None) -> None:
        if error is not None:
            raise RuntimeError(error.decode())

    def adam(self, structs: Any, alpha: float, rates: tuple[float, ...]) -> None:
        numbers = [c_double(x) for x in rates]
        call = self.library.kab_launch_adam
        self.check(call(structs, c_int64(len(structs)), number(alpha), *numbers, None))

    def sm3(self, structs: Any, rate: float, momentum: float) -> None:
        call = self.library.kab_launch_sm3
        numbers = number(rate), c_double(momentum), c_double(SMALLEST_NORMAL)
        self.check(call(structs, c_int64(len(structs)), *numbers, None))

    def adafactor(self, structs: Any, step: tuple[float, ...]) -> None:
        numbers = self.library.kab_adafactor_scratch(structs, c_int64(len(structs)))
        scratch = self.place(np.full(numbers, np.nan))
        rho, decay, *rest = step
        numbers = [c_double(x) for x in rest]
        call, count = self.library.kab_launch_adafactor, c_int64(len(structs))
        held = c_void_p(at(scratch))
        self.check(call(structs, count, number(rho), number(decay), *numbers, held, None))

    def clip(self, structs: Any, clipping: float, epsilon: float) -> None:
        call = self.library.kab_launch_adaptive_clip
        numbers = c_double(clipping), c_double(epsilon)
        self.check(call(structs, c_int64(len(structs)), *numbers, None))

    def launch(self, unit: str, kernel: str, grid: tuple[int, int], *arguments: Any) -> None:
        held = [c_void_p(at(a)) if isinstance(a, np.ndarray) else a for a in arguments]
        pointers = (c_void_p * len(held))(*[ctypes.cast(byref(h), c_void_p) for h in held])
        name = f"kab_cuda_kernel_{kernel}".encode()
        self.check(self.library.kab_launch(unit.encode(), name, *grid, None, pointers))


def adam_structs(tensors: list[dict[str, np.ndarray]]) -> Any:
    """Update in place: each tensor is a dict of w, m, v and g."""
    rows = []
    for t in tensors:
        own = {k: at(t[k]) for k in ("w", "m", "v", "g")}
        outs = {f"{k}_out": at(t[k]) for k in ("w", "m", "v")}
        rows.append({**own, **outs, "n": t["w"].size, "dtype": CODES[t["w"].dtype]})
    return many(Adam, rows)


def sm3_structs(tensors: list[dict[str, Any]]) -> Any:
    """Update w and m in place; accumulators from "mu" to "mu_out"."""
    rows = []
    for t in tensors:
        w, pad = t["w"], MAX_RANK - len(t["mu"])
        row = {k: at(t[k]) for k in ("w", "g")} | {"w_out": at(w)}
        row["momentum"] = row["momentum_out"] = at(t.get("m"))
        row["accumulator"] = (c_void_p * MAX_RANK)(*map(at, t["mu"]), *[None] * pad)
        row["accumulator_out"] = (c_void_p * MAX_RANK)(*map(at, t["mu_out"]), *[None] * pad)
        dims = w.shape if w.ndim > 1 else (w.size,)
        row["dims"] = (c_int64 * MAX_RANK)(*dims)
        rows.append({**row, "n": w.size, "rank": w.ndim, "dtype": CODES[w.dtype]})
    return many(Sm3, rows)


def adafactor_structs(tensors: list[dict[str, Any]]) -> Any:
    """Update w in place; r and c to "r_out" and "c_out"."""
    rows = []
    for t in tensors:
        w = t["w"]
        row = {k: at(t.get(k)) for k in ("w", "g", "r", "c", "r_out", "c_out")} | {"w_out": at(w)}
        if w.ndim > 1:
            lead = int(np.prod(w.shape[:-2], dtype=np.int64))
            row |= {"lead": lead, "rows": w.shape[-2], "cols": w.shape[-1]}
        rows.append({**row, "n": w.size, "dtype": CODES[w.dtype]})
    return many(Adafactor, rows)


def clip_structs(tensors: list[dict[str, Any]]) -> Any:
    rows = []
    for t in tensors:
        row = {k: at(t[k]) for k in ("w", "g", "factor")}
        units = t["factor"].size
        fan_in = t["w"].size // units if units else 0
        rows.append({**row, "fan_in": fan_in, "units": units, "dtype": CODES[t["w"].dtype]})
    return many(Clip, rows)
