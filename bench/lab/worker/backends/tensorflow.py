"""TensorFlow, behind Keras 3."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from keras_ab.bench.lab.words.steps import MemoryShare, Products, StepWork
from keras_ab.bench.lab.worker import hlo
from keras_ab.bench.lab.worker.backends import Training, tf32_allowed
from keras_ab.bench.lab.worker.backends.tensorflow_probes import probes as probes
from keras_ab.bench.lab.worker.backends.tensorflow_traces import Tracer as Tracer

PRELOAD: tuple[str, ...] = ("tensorflow", "keras")
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
INSTALL = "pip install 'keras-ab[cpu]', or 'keras-ab[gpu]' on an NVIDIA machine"
INSTALL_GPU = (
    "pip uninstall tensorflow-cpu; pip install 'keras-ab[gpu]', and see in what the process "
    "printed (TF_CPP_MIN_LOG_LEVEL=0) which library cannot be opened"
)

POOL = "TF_CPU_ALLOCATOR_USE_BFC"
"""Variable that gives TensorFlow's CPU device an allocator that counts, read as the device opens.

With oneDNN on it has one anyway. Without, it takes each tensor from the C library, which asks the
kernel for the pages of a large one anew at every step. The pool saves that, so it would change what
is timed: on an AMD EPYC with two cores, NumPy's cast of 6 MB of float64 took 0.7x the time of
TensorFlow's own without the pool, and 1.5x with it.
"""

POOL_SHAPE = (2, 2**30)
"""Shape, in bytes, of the block that pre-warms the CPU allocator's pool.

TensorFlow's CPU allocator hands out whole chunks of its pool and splits a chunk only when it is at
least twice the request; counts are exact once the pool holds one block that dwarfs every request.
The block is virtual memory that is never touched: 32 MB of resident bookkeeping per GB. Two axes,
because each must fit 32 bits.
"""


def open_device(memory: MemoryShare | None, counted: bool = False) -> None:
    """Give the GPU's pool its size, or else pre-warm the CPU's.

    A GPU's pool that grows hands out chunks up to twice too large. One of a fixed size is a single
    block from the beginning, and splits it at what is asked for. A CPU has a pool where TensorFlow
    gives it one, and where its memory is to be `counted`; see `POOL`.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        _size_pool(gpu, memory)
    if not gpus:
        if counted:
            os.environ[POOL] = "1"
        if one_dnn() or cpu_pool():
            with tf.device("CPU:0"):
                tf.raw_ops.Empty(shape=POOL_SHAPE, dtype=tf.uint8, init=False)
    synchronise()


def _size_pool(gpu: Any, memory: MemoryShare | None) -> None:
    import tensorflow as tf

    if memory is None:
        tf.config.experimental.set_memory_growth(gpu, True)
        return
    fixed = tf.config.LogicalDeviceConfiguration(memory_limit=memory.bytes // 2**20)  # in MiB
    tf.config.set_logical_device_configuration(gpu, [fixed])


def seed(seed: int) -> None:
    """Seed Python's, NumPy's and TensorFlow's generators."""
    import keras

    keras.utils.set_random_seed(seed % 2**32)


def device_kind() -> Literal["gpu", "cpu"]:
    """Return whether TensorFlow has a GPU."""
    import tensorflow as tf

    return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"


def use_products(products: Products) -> None:
    """Set the precision of float32 products on a GPU."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(products == "tf32")


def products() -> Products:
    """Return how float32 is multiplied: in TF32 where it is on and the GPU has it."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    told = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    able = any(details.get("compute_capability", (0, 0)) >= (8, 0) for details in told)
    on = tf.config.experimental.tensor_float_32_execution_enabled()
    return "tf32" if able and on and tf32_allowed() else "float32"


def one_dnn() -> bool:
    """Tell whether oneDNN is on, as TensorFlow decides it: by the processor, or as it is told to.

    Off by default on processors without AVX-512 VNNI, AVX-VNNI or AMX.
    """
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def cpu_pool() -> bool:
    """Tell whether the variable gives the CPU device a pool."""
    return os.environ.get(POOL, "") == "1"


def synchronise() -> None:
    """Wait for every device's stream."""
    import tensorflow as tf

    tf.test.experimental.sync_devices()


def memory_device() -> str:
    """Return the name of the device whose allocator is asked."""
    return f"{device_kind().upper()}:0"


def reset_peak_memory() -> None:
    """Set the allocator's peak to what is in use now."""
    import tensorflow as tf

    try:
        tf.config.experimental.reset_memory_stats(memory_device())
    except ValueError:
        return  # no allocator that counts; peak_memory_bytes says so


def peak_memory_bytes() -> int | None:
    """Return the allocator's peak; None where it does not count.

    TensorFlow's CPU device counts with oneDNN on, or by its pool; see `POOL`.
    """
    import tensorflow as tf

    try:
        return int(tf.config.experimental.get_memory_info(memory_device())["peak"])
    except ValueError:
        return None


def to_numpy(value: Any) -> Any:
    """Return an array on the host."""
    import numpy as np

    return np.asarray(value)


def memory_bytes() -> int | None:
    """Return what the allocator has handed out now; None where it does not count."""
    import tensorflow as tf

    try:
        return int(tf.config.experimental.get_memory_info(memory_device())["current"])
    except ValueError:
        return None


def step_work(function: Callable[..., Any], *arguments: Any) -> StepWork:
    """Return the work of a function of tensors, from the program that XLA would be given.

    It is the same work for the graph executor: nothing is compiled or run here.
    """
    import tensorflow as tf

    program = tf.function(function, jit_compile=True).experimental_get_compiler_ir(*arguments)
    return hlo.count(program(stage="hlo"))


def facts() -> dict[str, Any]:
    """Return devices, build, precision and thread settings."""
    import keras
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    reset_peak_memory()
    return {
        "devices": [
            {"name": d.name, "kind": d.device_type.lower()}
            for d in tf.config.list_logical_devices()
        ],
        "one_dnn": one_dnn(),
        "cpu_pool": cpu_pool(),
        "memory_statistics": peak_memory_bytes() is not None,
        "built_with_cuda": bool(build.get("is_cuda_build")),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "dtype_policy": keras.config.dtype_policy().name,
        "float32_products": products(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
    }


def training(model: Any, *, jit: bool = False, eager: bool = False) -> Training:
    """Return Keras' step as one graph, as XLA compiles it, or operation by operation."""
    import tensorflow as tf

    graph = partial(tf.function, jit_compile=jit, autograph=False)  # as Keras' trainer traces
    train = model.train_step if eager else graph(model.train_step)
    return Training(
        lambda batch: train(batch)["loss"], work=lambda batch: step_work(model.train_step, batch)
    )


def evaluated(model: Any, batch: Any) -> Any:
    """Return the loss of a batch by the function that `evaluate` calls."""
    return (model.make_test_function() or model.test_function)(iter([batch]))["loss"]


def loss_and_gradients(model: Any, batch: Any, *, jit: bool = False) -> tuple[Any, list[Any]]:
    """Return the loss of a batch, before any loss scaling, and its gradients."""
    import tensorflow as tf

    @tf.function(jit_compile=jit, autograph=False)
    def graph(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)
        return loss, tape.gradient(loss, model.trainable_variables)

    return graph(*batch)
