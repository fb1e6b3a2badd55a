"""What TensorFlow's device does at best: products, copies and the dispatch of one op."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.worker.probes import COPIED_BYTES, SIDES, Probe, Probes


def probes() -> Probes:
    """Return the probes of the device that TensorFlow uses, by name, in growing sizes."""
    import tensorflow as tf

    found: dict[str, Any] = {"host_to_device": (to_device,)}
    types = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16"}
    if tf.config.list_logical_devices("GPU"):
        found["device_copy"] = (on_device,)
        types["tf32"] = "float32"
    for name, dtype in types.items():
        sizes = (partial(product, dtype, name == "tf32", side) for side in SIDES)
        found[f"matmul_{name}"] = tuple(sizes)
    for how in ("eager", "graph", "xla"):
        found[f"dispatch_{how}"] = (partial(one_op, how),)
    return found


def to_device() -> Probe:
    """Hand a NumPy array over to the device, as an input pipeline's last step does."""
    import tensorflow as tf

    array = np.random.default_rng(0).random(COPIED_BYTES // 4, dtype=np.float32)
    return Probe(lambda: tf.constant(array), "B/s", COPIED_BYTES, 2 * COPIED_BYTES)


def on_device() -> Probe:
    """Copy a tensor from device memory to device memory."""
    import tensorflow as tf

    source = tf.random.stateless_uniform((COPIED_BYTES // 4,), (0, 1))
    return Probe(lambda: tf.raw_ops.DeepCopy(x=source), "B/s", 2 * COPIED_BYTES, 2 * COPIED_BYTES)


def product(dtype: str, tf32: bool, side: int) -> Probe:
    """Multiply two square random matrices: ``2 side³`` floating-point operations."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    a, b = (tf.cast(tf.random.stateless_normal((side, side), (0, seed)), dtype) for seed in (1, 2))
    held = 3 * side**2 * a.dtype.size
    return Probe(lambda: tf.linalg.matmul(a, b), "FLOP/s", 2.0 * side**3, held)


def one_op(how: str) -> Probe:
    """Add two scalars: all of the time goes into asking for it."""
    import tensorflow as tf

    x = tf.random.stateless_uniform((), (0, 1))
    add = {
        "eager": tf.add,
        "graph": tf.function(tf.add),
        "xla": tf.function(tf.add, jit_compile=True),
    }[how]
    return Probe(lambda: add(x, x), "s", 1, 8)
