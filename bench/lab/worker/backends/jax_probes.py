"""What JAX's device does at best: products, copies and the dispatch of one op."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.worker.probes import COPIED_BYTES, SIDES, Probe, Probes


def probes() -> Probes:
    """Return the probes of the device that JAX uses, by name, in growing sizes."""
    import jax

    precisions = {"float32": "highest", "bfloat16": None, "float16": None}
    found: dict[str, Any] = {"host_to_device": (to_device,)}
    if jax.default_backend() == "gpu":
        found["device_copy"] = (on_device,)
        precisions["tf32"] = "tensorfloat32"
    for name, precision in precisions.items():
        dtype = "float32" if name == "tf32" else name
        found[f"matmul_{name}"] = tuple(partial(product, dtype, precision, n) for n in SIDES)
    return found | {f"dispatch_{how}": (partial(one_op, how),) for how in ("eager", "xla")}


def _random(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Any:
    import jax

    return jax.random.normal(jax.random.key(seed), shape, dtype)


def to_device() -> Probe:
    """Hand a NumPy array over to the device, as an input pipeline's last step does."""
    import jax

    array = np.random.default_rng(0).random(COPIED_BYTES // 4, dtype=np.float32)
    return Probe(
        lambda: jax.device_put(array, may_alias=False), "B/s", COPIED_BYTES, 2 * COPIED_BYTES
    )


def on_device() -> Probe:
    """Copy an array from device memory to device memory."""
    import jax.numpy as jnp

    source = _random((COPIED_BYTES // 4,), 0)
    return Probe(lambda: jnp.copy(source), "B/s", 2 * COPIED_BYTES, 2 * COPIED_BYTES)


def product(dtype: str, precision: str | None, side: int) -> Probe:
    """Multiply two square random matrices: ``2 side³`` floating-point operations."""
    import jax.numpy as jnp

    a, b = (_random((side, side), seed, dtype) for seed in (1, 2))
    return Probe(
        lambda: jnp.matmul(a, b, precision=precision), "FLOP/s", 2.0 * side**3, 3 * a.nbytes
    )


def one_op(how: str) -> Probe:
    """Add two scalars: all of the time goes into asking for it."""
    import jax
    import jax.numpy as jnp

    x = _random((), 0)
    add = {"eager": jnp.add, "xla": jax.jit(lambda a, b: a + b)}[how]
    return Probe(lambda: add(x, x), "s", 1, 8)
