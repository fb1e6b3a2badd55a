"""The seam behind which frameworks live: one file a framework."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from keras_ab.bench.lab.words.backend_names import check_backend
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.lab.words.steps import MemoryShare, Products, StepWork
from keras_ab.bench.lab.worker.probes import Probes
from keras_ab.bench.lab.worker.tracing import Tracer


def _nothing() -> None:
    """Do nothing: most frameworks train a model's variables in place."""


def _not_counted(_: Any) -> StepWork:
    raise NotMeasuredHere(
        "the work of a step is read from a program in XLA's HLO",
        "a step that has none",
        "nothing: time and memory are measured all the same",
    )


@dataclass(frozen=True)
class Training:
    """Keras' own training step of one model, as a backend runs it.

    Args:
        step: train on one batch that lies on the device; returns the loss that Keras reports.
        settle: bring the model's variables up to date with the steps taken so far.
        work: return what a step on a batch has to do, counted, not timed.
    """

    step: Callable[[Any], Any]
    settle: Callable[[], None] = _nothing
    work: Callable[[Any], StepWork] = _not_counted

    @property
    def in_place(self) -> bool:
        """Whether the model's own variables are trained, so that they can be set between steps."""
        return self.settle is _nothing


class Backend(Protocol):
    """What the lab needs of a framework; implemented by the modules of this package."""

    PRELOAD: tuple[str, ...]
    """Modules that a forkserver imports once; importing them must touch no device."""

    ENVIRONMENT: dict[str, str]
    """Environment variables of the forkserver."""

    INSTALL: str
    """What to do where `PRELOAD` cannot be imported."""

    INSTALL_GPU: str
    """What to do where it does not see the GPU; empty where it has no device of its own."""

    def open_device(self, memory: MemoryShare | None, counted: bool = False) -> None:
        """Make the device ready, in a fresh worker, with a fixed share of a GPU's memory.

        None lets the share grow. Where memory is to be `counted`, the device gets an allocator that
        counts, if there is one; it may have another price.
        """

    def seed(self, seed: int) -> None:
        """Seed every generator."""

    def device_kind(self) -> Literal["gpu", "cpu"]:
        """Return the kind of device that work goes to which is not told to go elsewhere."""

    def use_products(self, products: Products) -> None:
        """Multiply float32 in this precision, where the device can multiply in both."""

    def products(self) -> Products:
        """Return the precision in which float32 is multiplied now."""

    def synchronise(self) -> None:
        """Wait until the device has done all work handed to it."""

    def reset_peak_memory(self) -> None:
        """Forget the peak of device memory, where the framework can."""

    def peak_memory_bytes(self) -> int | None:
        """Return the peak of device memory since the reset; None where nobody counts it."""

    def to_numpy(self, value: Any) -> Any:
        """Return a tensor, or what NumPy takes for an array, as an array on the host."""

    def memory_bytes(self) -> int | None:
        """Return the device memory in use now; None where nobody counts it."""

    def probes(self) -> Probes:
        """Return what shows how fast the device is at best."""

    def Tracer(self, folder: Path) -> Tracer:  # noqa: N802 - a class of each backend
        """Begin a trace by the framework's own profiler, whose files go into a folder."""

    def facts(self) -> dict[str, Any]:
        """Return devices and settings, as JSON values."""


class KerasBackend(Backend, Protocol):
    """What workloads need of a framework that Keras runs on."""

    def training(self, model: Any, *, jit: bool = False, eager: bool = False) -> Training:
        """Return the training step of a compiled Keras model.

        A step of Keras' own training in work of one's own::

            def trained(units, case):
                import keras

                layers = [keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)]
                model = keras.Sequential(layers)
                model.compile(optimizer="sgd", loss="mse")
                model.optimizer.build(model.trainable_variables)
                batch = keras.ops.ones((case["batch"], 4)), keras.ops.ones((case["batch"], 1))
                training = backends.of_keras().training(model)
                return Prepared(lambda: training.step(batch))


            ARMS = (arm("narrow", trained, 8, "8 units"), arm("wide", trained, 64, "64 units"))
            CASES = grid(batch=(32,))

        Args:
            model: compiled, its variables and those of its optimizer built.
            jit: hand the step to the framework's compiler; JAX does so in any case.
            eager: run operation by operation, as for debugging; overrules `jit`.
        """

    def evaluated(self, model: Any, batch: Any) -> Any:
        """Return the loss that a model's `test_step` says of a batch, as it is handed over."""

    def loss_and_gradients(
        self, model: Any, batch: Any, *, jit: bool = False
    ) -> tuple[Any, list[Any]]:
        """Return the loss of a batch and its gradients by the trainable variables."""


def load(name: str) -> Any:
    """Return the backend called `name`."""
    check_backend(name)
    return importlib.import_module(f"keras_ab.bench.lab.worker.backends.{name}")


def told_a_gpu() -> str:
    """Return the UUID by which this process was told to use one GPU, or nothing."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible if visible.startswith(("GPU-", "MIG-")) else ""


def tf32_allowed() -> bool:
    """Tell whether NVIDIA's libraries may multiply in TensorFloat-32, as they read it at loading.

    Source: NVIDIA, cuBLAS documentation, NVIDIA_TF32_OVERRIDE, https://docs.nvidia.com/cuda/cublas/.
    """
    return os.environ.get("NVIDIA_TF32_OVERRIDE") != "0"


def refuse_fallback(backend: Backend) -> None:
    """Refuse to compute on the CPU in the place of the GPU that a run is measured on.

    Raises:
        NotMeasuredHere: with what to install.
    """
    uuid = told_a_gpu()
    if uuid and backend.INSTALL_GPU and backend.device_kind() != "gpu":
        raise NotMeasuredHere(
            "a run that is measured on a GPU computes on it",
            f"{uuid}, which the framework does not see: it would fall back to the CPU",
            f"{backend.INSTALL_GPU}; or measure the CPU, with --ab-device cpu",
        )


def of_keras() -> Any:
    """Return the backend that Keras runs on in this process, a `KerasBackend`."""
    import keras

    return load(keras.backend.backend())
