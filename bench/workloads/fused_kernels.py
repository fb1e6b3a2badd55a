"""The work of the fused kernels, in each form that a user may pick, and plain copies beside it.

A form is ``native``; ``xla``, the same in Keras operations, compiled by XLA; or ``graph``, the same
run by the graph executor. Native and xla differ in the kernel and, where an experiment says that
the plain form is Keras' own optimizer, in how that one writes the same step: Keras' Adafactor keeps
and moves one more slot of the variables' size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params, Prepared
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.workloads.training import OBSERVED_STEPS

MOST_COMPARED = 2**25
"""Numbers of a result that the guards compare; of more, so many are drawn."""

SMALL_COPY = 2**20
"""Bytes below which a second thread would cost a copy more than it saves."""


@dataclass(frozen=True)
class Job:
    """One step in one form.

    Args:
        step: a function of tensors to named tensors, which the guards compare.
        inputs: what it is called with.
        weights: variables that it updates, which the guards compare as well.
    """

    step: Callable[..., dict[str, Any]]
    inputs: list[Any]
    weights: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """What one kernel does in a step.

    Args:
        op: the kernel's name in ``keras_ab.kernels.status()``.
        elements: the numbers that a case's tensors hold, all together.
        moved: bytes that must be read or written for each of them, at the least.
        build: called with a case and a form.
    """

    op: str
    elements: Callable[[Params], int]
    moved: int
    build: Callable[[Params, str], Job]

    def bytes_moved(self, case: Params) -> float:
        """Return the least traffic of one step: the same for every arm."""
        return float(self.moved * self.elements(case))


def prepare(work: Work, form: str, case: Params) -> Prepared:
    """Make one step of the work ready to be timed, in a form.

    The inputs are variables that the step reads. As arguments, 100 of them took 6 ms of Python a
    step (2-core x86-64), in every arm; within a training step they would be made inside. None is
    int32: TensorFlow keeps such variables on the host, where no step on a GPU can read them.

    Raises:
        NotMeasuredHere: the form is native and the kernel is not there.
    """
    import tensorflow as tf

    _choose(form)
    job = work.build(case, form)
    inputs = tf.nest.map_structure(lambda x: tf.Variable(x, trainable=False), job.inputs)

    def read_and_step() -> dict[str, Any]:
        return job.step(*tf.nest.map_structure(tf.convert_to_tensor, inputs))

    step = tf.function(read_and_step, jit_compile=form != "graph")

    def observe() -> dict[str, Any]:
        for _ in range(OBSERVED_STEPS):
            results = step()
        seen = results | ({"weights": job.weights} if job.weights else {})
        flat = {name: _drawn(_flat(tensors)) for name, tensors in seen.items()}
        return flat | {"bytes_moved": [work.bytes_moved(case)]}

    return Prepared(
        step=lambda: step()["ready"],
        sizes={"bytes_moved": work.bytes_moved(case)},
        observe=observe,
        notes=_status(work.op),
    )


def _flat(tensors: Any) -> np.ndarray:
    """Return the elements of one tensor or of nested lists of them."""
    if isinstance(tensors, list | tuple):
        return np.concatenate([_flat(each) for each in tensors])
    return np.ravel(np.asarray(tensors))


def _drawn(numbers: np.ndarray) -> np.ndarray:
    """Return all numbers, or of many some, at the same places in every process."""
    if numbers.size <= MOST_COMPARED:
        return numbers
    return numbers[np.random.default_rng(0).integers(numbers.size, size=MOST_COMPARED)]


def _choose(form: str) -> None:
    """Throw the switch for this process; where the kernel is missing, say what to install."""
    from keras_ab import kernels
    from keras_ab.kernels.native import switch

    kernels.use("native" if form == "native" else "reference")
    try:
        switch.native()
    except kernels.NotAvailable as missing:
        raise NotMeasuredHere(missing.must, missing.got, missing.remedy) from missing


def _status(op: str) -> dict[str, str]:
    from keras_ab import kernels

    found = [state for state in kernels.status() if state.op == op]
    return {f"{op} on {state.device}": f"{state.uses}: {state.why}" for state in found}


def prepare_copy(work: Work, case: Params) -> Prepared:
    """Make a plain copy ready that moves as many bytes as the work must, half of them read.

    It is one in the memory that the kernels work in: a GPU's, or the host's, on every usable core.
    """
    import tensorflow as tf

    size = round(work.bytes_moved(case) / 2)
    copying = copy_on_device if tf.config.list_logical_devices("GPU") else copy_on_host
    return copying(size)


def copy_on_device(size: int) -> Prepared:
    """Make a copy of so many bytes (to whole float32) in device memory ready."""
    import tensorflow as tf

    source = tf.random.stateless_uniform((-(-size // 4),), (0, 1))
    return Prepared(
        step=lambda: tf.raw_ops.DeepCopy(x=source),
        sizes={"bytes_moved": 2.0 * size},
        observe=lambda: {"bytes_moved": [2 * size]},
    )


def copy_on_host(size: int) -> Prepared:
    """Make a copy of so many bytes ready, on every usable core."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    threads = 1 if size < SMALL_COPY else len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(threads)
    split = [np.array_split(array, threads) for array in (target, source)]
    pieces = list(zip(*split, strict=True))

    def step() -> float:
        if threads == 1:
            np.copyto(target, source)
        else:
            list(pool.map(lambda piece: np.copyto(*piece), pieces))
        return float(target[-1])

    return Prepared(
        step=step,
        sizes={"bytes_moved": float(source.nbytes + target.nbytes)},
        observe=lambda: {"bytes_moved": [source.nbytes + target.nbytes]},
    )


# -- one step of each: "ready" is one small tensor, there when the step is done -----------------


def update(make: Callable[[str], Any]) -> Callable[[Params, str], Job]:
    """Return the build of one step of an optimizer, made for a form, on many variables.

    Cases have ``variables``, each of ``(rows, columns)``; gradients are the same in every step.
    """

    def build(case: Params, form: str) -> Job:
        import keras

        shape = (int(case["rows"]), int(case["columns"]))
        count = range(int(case["variables"]))
        variables = [keras.Variable(keras.random.normal(shape)) for _ in count]
        gradients = [keras.random.normal(shape, stddev=0.02) for _ in count]
        optimizer = make(form)
        optimizer.build(variables)

        def step(*gradients: Any) -> dict[str, Any]:
            optimizer.apply(gradients, variables)
            return {"ready": variables[-1].value[-1]}

        return Job(step, gradients, variables)

    return build


def adam(form: str) -> Any:
    """Return Adam in a form: the kernel or Keras'."""
    import keras

    from keras_ab.kernels.native.adam import Adam

    return Adam(1e-3) if form == "native" else keras.optimizers.Adam(1e-3)


def sm3(form: str) -> Any:
    """Return SM3-II in a form; Keras has none."""
    from keras_ab.kernels import sm3
    from keras_ab.kernels.native import sm3 as native

    return (native if form == "native" else sm3).SM3(1e-2)


def adafactor(form: str) -> Any:
    """Return Adafactor in a form: the kernel or Keras'."""
    import keras

    from keras_ab.kernels.native.adafactor import Adafactor

    return Adafactor(1e-2) if form == "native" else keras.optimizers.Adafactor(1e-2)


def adaptive_clip(form: str) -> Any:
    """Return SGD whose gradients are clipped adaptively, in a form; Keras has none."""
    import keras

    from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping
    from keras_ab.kernels.native.adaptive_clip import AdaptiveClip

    wrap = AdaptiveClip if form == "native" else AdaptiveGradientClipping
    return wrap(keras.optimizers.SGD(1e-2), exclude=(), clipping=0.01, epsilon=1e-3)


def parameters(case: Params) -> int:
    """Return the parameters of an update."""
    return int(case["variables"]) * int(case["rows"]) * int(case["columns"])


def cross_entropy(case: Params, form: str) -> Job:
    """Build the losses of ``(batch, classes)`` logits and the gradient for the logits."""
    import keras
    import tensorflow as tf

    from keras_ab.kernels.native.cross_entropy import sparse_cross_entropy

    batch, classes = int(case["batch"]), int(case["classes"])
    inputs = [
        keras.ops.cast(keras.random.randint((batch,), 0, classes), "int64"),
        keras.random.normal((batch, classes), stddev=3.0),
    ]

    def step(labels: Any, logits: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = sparse_cross_entropy(labels, logits)
        return {"ready": losses, "gradients": tape.gradient(losses, logits)}

    return Job(step, inputs)


def logits(case: Params) -> int:
    """Return the logits of a batch."""
    return int(case["batch"]) * int(case["classes"])


BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks in the stages of a ResNet-50.

Source: He, Zhang, Ren and Sun (2015), https://arxiv.org/abs/1512.03385, table 1.
"""


def kernel_shapes(case: Params) -> list[tuple[int, int, int, int]]:
    """Return the convolution kernels of the first ``stages`` stages of a ResNet-50."""
    shapes, entering = [], 64
    for stage in range(int(case["stages"])):
        width = 64 * 2**stage
        for _ in range(BLOCKS[stage]):
            shapes += [(1, 1, entering, width), (3, 3, width, width), (1, 1, width, 4 * width)]
            entering = 4 * width
    return shapes


def standardization(case: Params, form: str) -> Job:
    """Build the standardised kernels of a network and the gradients for kernels and gains."""
    import keras
    import tensorflow as tf

    from keras_ab.kernels.native.standardize import standardize

    shapes = kernel_shapes(case)
    filters = [keras.random.normal(shape, stddev=0.1) for shape in shapes]
    gains = [keras.random.uniform((shape[-1],), 0.5, 1.5) for shape in shapes]
    upstream = [keras.random.normal(shape) for shape in shapes]

    def step(filters: Any, gains: Any, upstream: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            tape.watch([filters, gains])
            standardised = [standardize(w, g) for w, g in zip(filters, gains, strict=True)]
        d_filters, d_gains = tape.gradient(standardised, [filters, gains], upstream)
        return {
            "ready": d_gains[0],
            "standardised": standardised,
            "gradients": [d_filters, d_gains],
        }

    return Job(step, [filters, gains, upstream])


def filter_weights(case: Params) -> int:
    """Return the weights of the kernels that are standardised."""
    return sum(map(math.prod, kernel_shapes(case)))


def statistics(case: Params, form: str) -> Job:
    """Build extended batch normalisation's statistics of ``(rows, channels)`` and the gradient."""
    import keras
    import tensorflow as tf

    from keras_ab.kernels.native.batch_statistics import batch_statistics

    shape = (int(case["rows"]), int(case["channels"]))
    inputs = [keras.random.normal(shape, mean=1.0), keras.random.normal(shape[1:])]

    def step(x: Any, d_mean: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean, variance = batch_statistics(x)
        gradient = tape.gradient([mean, variance], x, [d_mean, tf.constant(0.3)])
        return {"ready": mean, "variance": variance, "gradients": gradient}

    return Job(step, inputs)


def activations(case: Params) -> int:
    """Return the activations of a batch."""
    return int(case["rows"]) * int(case["channels"])
