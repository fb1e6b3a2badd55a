"""What PyTorch's device does at best: products, copies and the dispatch of one op."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.worker.probes import COPIED_BYTES, SIDES, Probe, Probes


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def probes() -> Probes:
    """Return the probes of the device that PyTorch uses, by name, in growing sizes."""
    precisions = {"float32": "highest", "bfloat16": "highest", "float16": "highest"}
    found: dict[str, Any] = {"host_to_device": (to_device,), "dispatch_eager": (one_op,)}
    if _device() == "cuda":
        found["device_copy"] = (on_device,)
        precisions["tf32"] = "high"
    for name, precision in precisions.items():
        dtype = "float32" if name == "tf32" else name
        found[f"matmul_{name}"] = tuple(partial(product, dtype, precision, n) for n in SIDES)
    return found


def to_device() -> Probe:
    """Hand a NumPy array over to the device, as an input pipeline's last step does."""
    import torch

    array = torch.from_numpy(np.random.default_rng(0).random(COPIED_BYTES // 4, dtype=np.float32))
    device = _device()
    return Probe(lambda: array.to(device, copy=True), "B/s", COPIED_BYTES, 2 * COPIED_BYTES)


def on_device() -> Probe:
    """Copy a tensor from device memory to device memory."""
    import torch

    source = torch.rand(COPIED_BYTES // 4, device=_device())
    return Probe(source.clone, "B/s", 2 * COPIED_BYTES, 2 * COPIED_BYTES)


def product(dtype: str, precision: str, side: int) -> Probe:
    """Multiply two square random matrices: ``2 side³`` floating-point operations."""
    import torch

    torch.set_float32_matmul_precision(precision)
    kind = getattr(torch, dtype)
    a, b = (torch.randn(side, side, device=_device()).to(kind) for _ in range(2))
    return Probe(lambda: torch.matmul(a, b), "FLOP/s", 2.0 * side**3, 3 * a.nbytes)


def one_op() -> Probe:
    """Add two scalars: all of the time goes into asking for it."""
    import torch

    x = torch.rand((), device=_device())
    return Probe(lambda: torch.add(x, x), "s", 1, 8)
