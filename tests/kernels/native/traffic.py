"""The bytes that the CUDA kernels move, counted by the emulator, beside the least that they must.

``python -m tests.kernels.native.traffic`` prints a line for each kernel: its name, the elements of
each array and the bytes moved. It needs GCC; no GPU.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ab.kernels.native.least_bytes import least_bytes
from tests.kernels.native import c_interface as c
from tests.kernels.native import cases
from tests.kernels.native.emulator import Emulator, counting
from tests.kernels.native.frames import Handlers

HEAD = ("kernel", "bytes an element", "the least", "ratio")
WEIGHTS = (512, 512)
LOGITS, KERNEL, ACTIVATIONS = (64, 8192), (4608, 64), (16384, 64)
"""Arrays of a megabyte and more: many times what four blocks find in the cache."""


@dataclass(frozen=True)
class Moved:
    """What a kernel moved in one step.

    Args:
        kernel: its name in `least_bytes.PASSES`.
        elements: of each array.
        moved_bytes: between memory and caches.
    """

    kernel: str
    elements: int
    moved_bytes: int

    @property
    def least_bytes(self) -> int:
        """What its mathematics must move where caches keep nothing from pass to pass."""
        return least_bytes(self.kernel, self.elements, cache=0)

    @property
    def ratio(self) -> float:
        """How many times the least it moved."""
        return self.moved_bytes / self.least_bytes


def _placed(tensor: dict[str, Any]) -> dict[str, Any]:
    """Move a tensor's arrays to the device; they must be held, as structs have their addresses."""
    return {
        name: list(map(c.on_device, found)) if isinstance(found, list) else c.on_device(found)
        for name, found in tensor.items()
    }


def _adam(cuda: c.Cuda, _: Handlers, rng: np.random.Generator) -> None:
    t = _placed({name: cases.positive(rng, WEIGHTS, np.float32) for name in "wmvg"})
    cuda.adam(c.adam_structs([t]), 1e-2, cases.ADAM)


def _sm3(cuda: c.Cuda, _: Handlers, rng: np.random.Generator) -> None:
    tensors = [_placed(cases.sm3_tensor(rng, WEIGHTS, np.float32, 0.0))]
    cuda.sm3(c.sm3_structs(tensors), 0.1, 0.0)


def _adafactor(cuda: c.Cuda, _: Handlers, rng: np.random.Generator) -> None:
    tensors = [_placed(cases.adafactor_tensor(rng, WEIGHTS, np.float32))]
    cuda.adafactor(c.adafactor_structs(tensors), (0.01, 0.3, *cases.ADAFACTOR.values()))


def _clip(cuda: c.Cuda, _: Handlers, rng: np.random.Generator) -> None:
    tensors = [_placed(cases.clip_tensor(rng, WEIGHTS, np.float32))]
    cuda.clip(c.clip_structs(tensors), 0.01, 1e-3)


def _cross_entropy(_: c.Cuda, handlers: Handlers, rng: np.random.Generator) -> None:
    rows, classes = LOGITS
    labels = rng.integers(0, classes, rows, dtype=np.int32)
    upstream = cases.random(rng, (rows,), np.float32)
    handlers.cross_entropy(cases.random(rng, LOGITS, np.float32), labels, upstream)


def _standardize(_: c.Cuda, handlers: Handlers, rng: np.random.Generator) -> None:
    w, up = (cases.random(rng, KERNEL, np.float32) for _ in range(2))
    handlers.standardize(w, cases.positive(rng, KERNEL[1:], np.float32), up)


def _batch_statistics(_: c.Cuda, handlers: Handlers, rng: np.random.Generator) -> None:
    x, d_mean = (cases.random(rng, shape, np.float32) for shape in (ACTIVATIONS, ACTIVATIONS[1:]))
    handlers.batch_statistics(x, d_mean, np.ones(1, np.float32))


STEPS: dict[str, tuple[Callable[..., None], tuple[int, int]]] = {
    "adam": (_adam, WEIGHTS),
    "sm3": (_sm3, WEIGHTS),
    "adafactor": (_adafactor, WEIGHTS),
    "adaptive_clip": (_clip, WEIGHTS),
    "cross_entropy": (_cross_entropy, LOGITS),
    "standardize": (_standardize, KERNEL),
    "batch_statistics": (_batch_statistics, ACTIVATIONS),
}
"""Of each kernel a step, and the shape of its arrays."""


def counted(emulator: Emulator, kernel: str) -> Moved:
    """Return what a kernel moves in a step on float32."""
    step, shape = STEPS[kernel]
    emulator.driver.traffic_begin()
    step(emulator.cuda, emulator.handlers, np.random.default_rng(5))
    return Moved(kernel, int(np.prod(shape)), emulator.driver.traffic_moved())


def counted_apart() -> list[Moved]:
    """Return what each kernel moves, counted in a process that keeps the emulator's driver."""
    command = [sys.executable, "-m", __name__]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (line.split() for line in said.splitlines())
    return [Moved(kernel, int(elements), int(moved)) for kernel, elements, moved in lines]


def table(found: list[Moved]) -> str:
    """Return the table in Markdown, a row for each kernel."""
    rows: list[tuple[Any, ...]] = [HEAD, ("---",) * len(HEAD)]
    for each in found:
        bytes_each = (x / each.elements for x in (each.moved_bytes, each.least_bytes))
        rows.append((each.kernel, *(f"{x:.1f}" for x in bytes_each), f"{each.ratio:.3f}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    with counting() as emulator:
        for kernel in STEPS:
            each = counted(emulator, kernel)
            print(each.kernel, each.elements, each.moved_bytes, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
