"""JAX, behind Keras 3."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from keras_ab.bench.lab.words.steps import StepWork
from keras_ab.bench.lab.worker import hlo
from keras_ab.bench.lab.worker.backends import Training
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


def open_device(seed: int) -> None:
    """Seed everything and make the device ready."""
    import jax
    import keras

    jax.devices()
    keras.utils.set_random_seed(seed % 2**32)
    synchronise()


def synchronise() -> None:
    """Wait for every array that is alive: what was handed to the device ends in one of them."""
    import jax

    jax.block_until_ready(jax.live_arrays())
    jax.effects_barrier()


def reset_peak_memory() -> None:
    """Do nothing: JAX cannot forget a peak. It is the peak of the process, which ran one arm."""


def _memory(statistic: str) -> int | None:
    """Return what the allocator counts; None on the CPU, where JAX does not."""
    import jax

    statistics = jax.local_devices()[0].memory_stats()
    return int(statistics[statistic]) if statistics else None


def peak_memory_bytes() -> int | None:
    """Return the allocator's peak in this process; None where it does not count."""
    return _memory("peak_bytes_in_use")


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
