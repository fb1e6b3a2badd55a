"""Why a technique leaves a subject nothing to gain; empty where it may."""

from __future__ import annotations

from keras_ab.bench.own import batches
from keras_ab.bench.own.look import Found

WORTH_MERGING_S = 0.01
"""A batch that takes longer has nothing to gain from several in one execution: Keras hands one over
in a millisecond or less."""

CACHED_S = batches.CACHED_S / 4
"""An epoch that takes longer is not gone through before each start, to fill a cache with it: well
below what is waited for before that is given up."""

FLOATS = ("float32", "float64")


def always(_: Found) -> str:
    """Say nothing against it."""
    return ""


def xla(found: Found) -> str:
    """Say why not, unless XLA has something to compile."""
    if found.jit:
        return "the step is compiled by XLA already"
    return "run_eagerly=True leaves nothing to compile" if found.eager else ""


def without_jit(found: Found) -> str:
    """Say why not, unless there is something to do without the backend's compiler."""
    if found.jit and found.backend == "jax":
        return "on JAX what is not compiled runs operation by operation"
    return "" if found.jit else "that compiler compiles nothing as it is"


def compiled(found: Found) -> str:
    """Say why not, unless the step runs eagerly."""
    return "" if found.eager else "the step is compiled already"


def execution(found: Found) -> str:
    """Say why not, unless several batches in one execution save anything."""
    if found.backend != "tensorflow":
        return f"Keras has one batch an execution on {found.backend}"
    if not found.as_fit:
        return f"a {found.data} hands over one batch at a time"
    if found.steps_per_execution > 1:
        return f"{found.steps_per_execution} batches an execution as it is"
    if found.batch_s > WORTH_MERGING_S:
        return f"a batch takes {found.batch_s:.2g} s, of which merging saves a millisecond or less"
    return "a step that runs eagerly has no execution" if found.eager else ""


def policy(found: Found) -> str:
    """Say why not, unless the model computes in float32."""
    return "" if found.policy == "float32" else f"the model computes in {found.policy}"


def half(found: Found) -> str:
    """Say why not, unless the device has half precision."""
    on_cpu = "float16 is for GPUs; on a CPU there is bfloat16"
    return policy(found) or ("" if found.on_gpu else on_cpu)


def sparse(found: Found) -> str:
    """Say why not, unless labels are stored as one-hot rows."""
    if found.labels == "indices":
        return "labels are class indices already"
    if found.labels != "one-hot" or found.loss != "categorical_crossentropy":
        return "labels are no one-hot rows under a categorical cross-entropy"
    if found.loss_settings:
        return f"the loss has {', '.join(found.loss_settings)}, which one of indices may not have"
    return "" if found.data == "arrays" else "batches come with their labels made"


def byte_inputs(found: Found) -> str:
    """Say why not, unless inputs would fit into bytes."""
    if found.data != "arrays":
        return "batches come with their inputs made"
    if any(dtype not in (*FLOATS, "int64", "int32") for dtype in found.inputs):
        return f"inputs are {', '.join(found.inputs)}"
    return "" if found.whole else "inputs are not whole numbers from 0 to 255"


def prefetch(found: Found) -> str:
    """Say why not, unless nothing prefetches yet."""
    if found.data == "arrays":
        return "arrays are in memory; Keras prefetches their batches"
    if found.prefetches:
        return "the input pipeline prefetches already"
    return "" if found.data == "tf.data" else f"{found.data} has no pipeline to prefetch in"


def cache(found: Found) -> str:
    """Say why not, unless nothing is cached yet."""
    if found.caches:
        return "the examples are kept in memory already"
    if found.data != "tf.data":
        return f"{found.data} has no pipeline to cache in"
    if not found.batches:
        return "nobody knows whether its examples ever end"
    epoch_s = found.batches * found.batch_s
    too_long = f"an epoch takes {epoch_s:.2g} s, too long to fill it before each start"
    return too_long if epoch_s > CACHED_S else ""


def _no_kernels(found: Found) -> str:
    there = found.backend in ("tensorflow", "jax")
    return "" if there else f"our kernels run on TensorFlow and JAX, not on {found.backend}"


def adam(found: Found) -> str:
    """Say why not, unless our Adam can take its place."""
    if why := _no_kernels(found):
        return why
    if found.optimizer != "Adam":
        return f"the optimizer is {found.optimizer}, not Adam"
    return "it is an Adam with amsgrad, which ours has not" if found.amsgrad else ""


def other_optimizer(found: Found) -> str:
    """Say why not, unless the optimizer keeps two numbers a weight."""
    kept = ("Adam", "AdamW", "Nadam", "Adamax")
    return "" if found.optimizer in kept else f"{found.optimizer} keeps little state as it is"


def cross_entropy(found: Found) -> str:
    """Say why not, unless our loss can take its place."""
    if why := _no_kernels(found):
        return why
    if found.loss != "sparse_categorical_crossentropy":
        return f"the loss is {found.loss or 'its own'}, not a sparse cross-entropy"
    if found.loss_settings:
        return f"the loss has {', '.join(found.loss_settings)}, which ours has not"
    return "" if found.from_logits else "the model returns probabilities; the kernel takes logits"


def clip(found: Found) -> str:
    """Say why not, unless nothing is clipped yet."""
    return "gradients are clipped already" if found.clipped else ""


def arrays(found: Found) -> str:
    """Say why not, unless batches can be of another size."""
    return "" if found.data == "arrays" else "batches come as large as they are"


RECURRENT = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "SimpleRNN")
"""Keras' layers whose activation cannot be set, which recomputing it does."""


def recompute(found: Found) -> str:
    """Say why not, unless Keras can wrap the activation of every layer."""
    for name in found.layers:
        if name in RECURRENT:
            return f"Keras cannot: it sets a layer's activation anew, and {name}'s cannot be set"
    return ""


def recompute_all(found: Found) -> str:
    """Say why not, unless Keras can compute any layer again."""
    if found.backend != "tensorflow":
        return ""
    return "Keras cannot: in a graph of TensorFlow's it recomputes no layer that is told `training`"


def accumulate(found: Found) -> str:
    """Say why not, unless two halves of a batch are the same work."""
    if found.batch % 2:
        return f"a batch of {found.batch} has no halves"
    if "BatchNormalization" in found.layers:
        return "BatchNormalization would see half batches: not the same work"
    return arrays(found)


def cpu(found: Found) -> str:
    """Say why not, unless TensorFlow computes on the processor."""
    if found.backend != "tensorflow":
        return f"it is a setting of TensorFlow's, not of {found.backend}"
    return "a GPU computes" if found.on_gpu else ""


def one_dnn(found: Found) -> str:
    """Say why not, unless oneDNN can be switched on."""
    return cpu(found) or ("it is on already" if found.one_dnn else "")


def without_one_dnn(found: Found) -> str:
    """Say why not, unless oneDNN can be switched off."""
    return cpu(found) or ("" if found.one_dnn else "it is off already")
