"""PyTorch, behind Keras 3."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from keras_ab.bench.lab.words.steps import MemoryShare, Products, StepWork
from keras_ab.bench.lab.worker.backends import Training, tf32_allowed
from keras_ab.bench.lab.worker.backends.torch_probes import probes as probes
from keras_ab.bench.lab.worker.backends.torch_traces import Tracer as Tracer

PRELOAD: tuple[str, ...] = (
    "keras_ab.bench.lab.worker.backends.without_tensorflow",
    "keras_ab.bench.lab.worker.backends.torch_device",
    "torch",
    "keras",
)
ENVIRONMENT = {
    "KERAS_BACKEND": "torch",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Keras asks for a GPU when it is imported. Answered by NVML, the forkserver opens no CUDA
    # context, which its workers could not use.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
INSTALL = "pip install 'keras-ab[torch]'"
INSTALL_GPU = "install PyTorch's CUDA build, as https://pytorch.org/get-started says"


def open_device(memory: MemoryShare | None, counted: bool = False) -> None:
    """Make the device ready, with its share of the GPU's memory."""
    import torch

    if memory is not None and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(memory.fraction)
    synchronise()


def seed(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators."""
    import keras

    keras.utils.set_random_seed(seed % 2**32)


def device_kind() -> Literal["gpu", "cpu"]:
    """Return whether PyTorch has a GPU."""
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"


def use_products(products: Products) -> None:
    """Set the precision of float32 products on a GPU, of matrices as of convolutions.

    By itself PyTorch multiplies matrices as they are and convolves in TF32.
    """
    import torch

    if device_kind() == "gpu":
        torch.backends.cuda.matmul.allow_tf32 = products == "tf32"
        torch.backends.cudnn.allow_tf32 = products == "tf32"


def products() -> Products:
    """Return how float32 matrices are multiplied: in TF32 where it is on and the GPU has it."""
    import torch

    able = device_kind() == "gpu" and torch.cuda.get_device_capability() >= (8, 0)
    on = able and torch.get_float32_matmul_precision() != "highest"
    return "tf32" if on and tf32_allowed() else "float32"


def synchronise() -> None:
    """Wait for the GPU; on the CPU, PyTorch has done its work when it returns."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peak_memory() -> None:
    """Set the GPU allocator's peak to what is in use now."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes() -> int | None:
    """Return the GPU allocator's peak; None on the CPU, where PyTorch does not count."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def memory_bytes() -> int | None:
    """Return what the GPU's allocator has handed out now; None on the CPU."""
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else None


def to_numpy(value: Any) -> Any:
    """Return an array on the host."""
    import keras

    return keras.ops.convert_to_numpy(value)


def facts() -> dict[str, Any]:
    """Return devices, build, precision and thread settings."""
    import keras
    import torch

    count = torch.cuda.device_count()
    gpus = [{"name": torch.cuda.get_device_name(i), "kind": "gpu"} for i in range(count)]
    return {
        "devices": [{"name": "CPU", "kind": "cpu"}, *gpus],
        "memory_statistics": peak_memory_bytes() is not None,
        "built_with_cuda": torch.version.cuda is not None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "dtype_policy": keras.config.dtype_policy().name,
        "float32_products": products(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
    }


def training(model: Any, *, jit: bool = False, eager: bool = False) -> Training:
    """Return Keras' step, eager as PyTorch is, or compiled by `torch.compile`."""
    import torch

    train = torch.compile(model.train_step) if jit and not eager else model.train_step
    return Training(lambda batch: train(batch)["loss"], work=lambda batch: step_work(model, batch))


def step_work(model: Any, batch: Any) -> StepWork:
    """Return the work of a training step, from the operations of one that is taken for it.

    Products are counted by PyTorch's own formulas. A step reads and writes all that it trains and
    keeps, and reads its batch.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    flop: Counter[str] = Counter()

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            made = operation(*args, **(kwargs or {}))
            if formula := flop_registry.get(operation.overloadpacket):
                kind = str(args[0].dtype).removeprefix("torch.")
                flop[kind] += formula(*args, **(kwargs or {}), out_val=made)
            return made

    with Counting():
        model.train_step(batch)
    kept = {id(v): v.value.nbytes for v in (*model.variables, *model.optimizer.variables)}
    read = sum(array.nbytes for array in batch if isinstance(array, torch.Tensor))
    return StepWork({kind: float(n) for kind, n in flop.items()}, 2.0 * sum(kept.values()) + read)


def evaluated(model: Any, batch: Any) -> Any:
    """Return the loss of a batch by the step itself, which nothing compiles."""
    return model.test_step(batch)["loss"]


def loss_and_gradients(model: Any, batch: Any, *, jit: bool = False) -> tuple[Any, list[Any]]:
    """Return the loss of a batch and its gradients, from a backward pass that nothing compiles."""
    inputs, labels = batch
    model.zero_grad()
    predicted = model(inputs, training=True)
    loss = model.compute_loss(x=inputs, y=labels, y_pred=predicted, training=True)
    loss.backward()
    gradients = [variable.value.grad.clone() for variable in model.trainable_variables]
    model.zero_grad()
    return loss.detach(), gradients
