"""JAX, behind Keras 3."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from keras_ab.bench.lab.words.steps import MemoryShare, Products, StepWork
from keras_ab.bench.lab.worker import hlo
from keras_ab.bench.lab.worker.backends import Training, tf32_allowed
from keras_ab.bench.lab.worker.backends.jax_probes import probes as probes
from keras_ab.bench.lab.worker.backends.jax_traces import Tracer as Tracer

# Keras imports TensorFlow, where it is installed, once it seeds or trains.
PRELOAD: tuple[str, ...] = ("jax", *["tensorflow"] * bool(find_spec("tensorflow")), "keras")
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # The arms of a block live side by side: none may take the whole GPU for itself.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
INSTALL = "pip install 'keras-ab[jax]'; on an NVIDIA machine also 'jax[cuda12]'"
INSTALL_GPU = "pip install 'jax[cuda12]'"

HIDDEN = ("", "-1")
"""Values of CUDA_VISIBLE_DEVICES that hide every GPU."""

PRODUCTS: dict[Products, str] = {"tf32": "tensorfloat32", "float32": "highest"}
"""Names of precisions as JAX has them."""


def open_device(memory: MemoryShare | None, counted: bool = False) -> None:
    """Make the device ready; the GPU's pool takes its share at once.

    One that grows hands out chunks up to twice too large.
    """
    import jax

    if os.environ.get("CUDA_VISIBLE_DEVICES") in HIDDEN:
        jax.config.update("jax_platforms", "cpu")  # its CUDA plugin would raise, having none
    if memory is not None:
        os.environ.pop("XLA_PYTHON_CLIENT_MEM_FRACTION", None)  # jaxlib refuses it beside its heir
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "true"
        os.environ["XLA_CLIENT_MEM_FRACTION"] = f"{memory.fraction:.4f}"
    jax.devices()
    synchronise()


def seed(seed: int) -> None:
    """Seed Python's, NumPy's and Keras' generators."""
    import keras

    keras.utils.set_random_seed(seed % 2**32)


def device_kind() -> Literal["gpu", "cpu"]:
    """Return whether JAX computes on a GPU."""
    import jax

    return "gpu" if jax.default_backend() == "gpu" else "cpu"


def use_products(products: Products) -> None:
    """Set the precision of float32 products on a GPU; the CPU knows one only."""
    import jax

    if device_kind() == "gpu":
        jax.config.update("jax_default_matmul_precision", PRODUCTS[products])


def products() -> Products:
    """Return how float32 is multiplied: in TF32 unless told otherwise, where the GPU has it."""
    import jax

    if device_kind() != "gpu":
        return "float32"
    able = float(jax.local_devices()[0].compute_capability) >= 8
    whole = jax.config.jax_default_matmul_precision in ("highest", "float32")
    return "tf32" if able and not whole and tf32_allowed() else "float32"


def synchronise() -> None:
    """Wait for every array that is alive: what was handed to the device ends in one of them."""
    import jax

    jax.block_until_ready(jax.live_arrays())
    jax.effects_barrier()


@dataclass
class Ballast:
    """What is held so that a step's peak shows above all earlier ones.

    Args:
        array: what is held.
        bytes: its size; None where there is no room for it.
    """

    array: Any = None
    bytes: int | None = 0


BALLAST = Ballast()


def reset_peak_memory() -> None:
    """Raise what is in use to the peak so far, which JAX cannot forget.

    That is the peak of everything since the process began, autotuning included. What comes on top
    of the ballast is then a step's own.
    """
    import jax.numpy as jnp

    BALLAST.array, BALLAST.bytes = None, 0
    now, peak = memory_bytes(), _memory("peak_bytes_in_use")
    if now is None or peak is None or peak == now:
        return
    if 2 * peak - now > (_memory("bytes_limit") or 0):
        BALLAST.bytes = None
        return
    BALLAST.array = jnp.zeros((peak - now + 3) // 4, "float32").block_until_ready()
    BALLAST.bytes = (memory_bytes() or now) - now


def _memory(statistic: str) -> int | None:
    """Return what the allocator counts; None on the CPU, where JAX does not."""
    import jax

    statistics = jax.local_devices()[0].memory_stats()
    return int(statistics[statistic]) if statistics else None


def peak_memory_bytes() -> int | None:
    """Return the allocator's peak since the reset; None where that cannot be told."""
    peak, beside = _memory("peak_bytes_in_use"), BALLAST.bytes
    return None if peak is None or beside is None else peak - beside


def memory_bytes() -> int | None:
    """Return what the allocator has handed out now; None where it does not count."""
    return _memory("bytes_in_use")


def to_numpy(value: Any) -> Any:
    """Return an array on the host."""
    import numpy as np

    return np.asarray(value)


def facts() -> dict[str, Any]:
    """Return devices, precision and Keras' settings."""
    import jax
    import keras

    return {
        "devices": [{"name": d.device_kind, "kind": d.platform} for d in jax.devices()],
        "memory_statistics": peak_memory_bytes() is not None,
        "dtype_policy": keras.config.dtype_policy().name,
        "float32_products": products(),
        "matmul_precision": jax.config.jax_default_matmul_precision,
        "x64": jax.config.jax_enable_x64,
    }


def _variables(model: Any) -> tuple[list[Any], ...]:
    """Return the variables of a training step's state, in the order that Keras' step takes."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def _state(model: Any) -> tuple[list[Any], ...]:
    """Return the arrays of a training step's state."""
    return tuple([variable.value for variable in part] for part in _variables(model))


def training(model: Any, *, jit: bool = False, eager: bool = False) -> Training:
    """Return Keras' stateless step, its state carried on the device and donated to the next step.

    Keras compiles every step on JAX, so `jit` changes nothing here; `eager` does not compile. A
    donated array is gone: between the first step and `settle`, the model's own variables are void.
    """
    import jax

    state = _state(model)
    train = model.train_step if eager else jax.jit(model.train_step, donate_argnums=0)

    def step(batch: Any) -> Any:
        nonlocal state
        logs, state = train(state, batch)
        return logs["loss"]

    def settle() -> None:
        for part, values in zip(_variables(model), state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    def work(batch: Any) -> StepWork:
        program = jax.jit(model.train_step).lower(state, batch).compiler_ir(dialect="hlo")
        return hlo.count(program.as_hlo_text())

    return Training(step, settle, work)


def evaluated(model: Any, batch: Any) -> Any:
    """Return the loss of a batch by Keras' stateless step, not compiled."""
    trainable, fixed, _, metrics = _state(model)
    logs, _ = model.test_step((trainable, fixed, metrics), batch)
    return logs["loss"]


def loss_and_gradients(model: Any, batch: Any, *, jit: bool = False) -> tuple[Any, list[Any]]:
    """Return the loss of a batch, before any loss scaling, and its gradients."""
    import jax

    trainable, fixed, optimizer, metrics = _state(model)
    inputs, labels = batch

    def loss(weights: list[Any], x: Any, y: Any) -> Any:
        _, (unscaled, *_) = model.compute_loss_and_updates(
            weights, fixed, metrics, x, y, None, training=True, optimizer_variables=optimizer
        )
        return unscaled

    return jax.jit(jax.value_and_grad(loss))(trainable, inputs, labels)
