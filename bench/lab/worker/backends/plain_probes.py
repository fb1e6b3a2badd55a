"""What NumPy does at best."""

from __future__ import annotations

from functools import partial

import numpy as np

from keras_ab.bench.lab.worker.probes import SIDES, Probe, Probes


def probes() -> Probes:
    """Return NumPy's matrix product, in growing sizes."""
    return {"matmul_float32": tuple(partial(product, side) for side in SIDES)}


def product(side: int) -> Probe:
    """Multiply two square random matrices: ``2 side³`` floating-point operations."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    return Probe(lambda: a @ b, "FLOP/s", 2.0 * side**3, 3 * a.nbytes)
