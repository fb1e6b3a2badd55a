"""Softmax cross-entropy of a linear head that never holds the logits of the whole vocabulary.

Source: the running maximum and sum are those of M. Milakov, N. Gimelshein, "Online normalizer
calculation for softmax", 2018, https://arxiv.org/abs/1805.02867, algorithm 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.class_labels import class_labels, fit
from keras_ab.kernels.ordering import zero_after
from keras_ab.kernels.plain_tensor import plain_tensor
from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require

# Finite, as −∞ less −∞ is NaN; no logit of a finite head is smaller in float32.
LEAST = float(np.finfo(np.float32).min)


class Gradients(NamedTuple):
    """Of the sum of the losses, each weighted by its upstream gradient."""

    hidden: Any
    kernel: Any
    bias: Any


def reference_losses(
    hidden: np.ndarray, kernel: np.ndarray, bias: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Compute the loss of each example, float64.

        z = h W + b,   loss = log Σ_v exp(z_v) - z_y

    Args:
        hidden: h, ``(examples, width)``.
        kernel: W, ``(width, vocabulary)``.
        bias: b, ``(vocabulary,)``.
        labels: y, ``(examples,)``.
    """
    z = np.asarray(hidden, np.float64) @ np.asarray(kernel, np.float64) + bias
    largest = z.max(axis=1)
    return (
        largest
        + np.log(np.exp(z - largest[:, None]).sum(axis=1))
        - z[np.arange(len(labels)), labels]
    )


def reference_gradients(
    hidden: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    labels: np.ndarray,
    upstream: np.ndarray,
) -> Gradients:
    """Compute dz = (softmax(z) - onehot(y)) g, then dh = dz Wᵀ, dW = hᵀ dz, db = Σ dz, float64."""
    h, w = np.asarray(hidden, np.float64), np.asarray(kernel, np.float64)
    z = h @ w + bias
    dz = np.exp(z - z.max(axis=1, keepdims=True))
    dz /= dz.sum(axis=1, keepdims=True)
    dz[np.arange(len(labels)), labels] -= 1.0
    dz *= np.asarray(upstream, np.float64)[:, None]
    return Gradients(dz @ w.T, h.T @ dz, dz.sum(axis=0))


def chunked_cross_entropy(
    hidden: Any, kernel: Any, labels: Any, bias: Any = None, chunk: int = 4096
) -> Any:
    """Return the cross-entropy of each example, as ``reference_losses`` has it.

    Forward, the vocabulary is gone through in chunks with a running maximum and sum. Backward, each
    chunk's logits are computed again. The most that is held is one chunk's logits, ``(examples,
    chunk)``, for one more matrix product than the plain loss: 4 in place of 3.
    Products are in the inputs' dtype; logits, sums and gradients add up in float32 (float64).

    Args:
        hidden: ``(..., width)``.
        kernel: ``(width, vocabulary)``, of the same dtype.
        labels: Whole numbers ``(...)``; one that is not in the vocabulary gives NaN, and NaN for
            gradients.
        bias: ``(vocabulary,)`` or None.
        chunk: Words in a chunk.

    Returns:
        Losses ``(...)``, float32 (float64).

    Raises:
        ValueError: When shapes do not fit or the chunk is no positive whole number.
    """
    hidden, kernel = plain_tensor(hidden), plain_tensor(kernel)
    labels = ops.convert_to_tensor(labels)
    _require_fit(hidden, kernel, labels, chunk)
    width, vocabulary = kernel.shape
    labels = class_labels(labels, vocabulary)
    bias = ops.zeros((vocabulary,), kernel.dtype) if bias is None else plain_tensor(bias)
    flat_labels = ops.reshape(labels, (-1,))
    losses = _losses(flat_labels, min(chunk, vocabulary))(
        ops.reshape(hidden, (-1, width)), kernel, bias
    )
    return ops.reshape(losses, ops.shape(labels))


def _require_fit(hidden: Any, kernel: Any, labels: Any, chunk: int) -> None:
    require(
        isinstance(chunk, int) and chunk > 0,
        "chunk must be a positive whole number of words.",
        chunk,
        "Pass 4096, or less for less memory.",
    )
    shapes = (tuple(hidden.shape), tuple(kernel.shape), tuple(labels.shape))
    require(
        len(kernel.shape) == 2
        and hidden.shape[-1] == kernel.shape[0]
        and fit(labels.shape, tuple(hidden.shape)[:-1]),
        "Shapes must be (..., width), (width, vocabulary) and (...).",
        shapes,
        "Pass hidden, kernel and integer labels of such shapes.",
    )


def _losses(labels: Any, chunk: int) -> Callable[..., Any]:
    """Return the function of hidden, kernel and bias, with its own gradient."""

    @ops.custom_gradient
    def losses(hidden: Any, kernel: Any, bias: Any) -> Any:
        dtype = accumulation_dtype(keras.backend.standardize_dtype(hidden.dtype))
        log_sum, label_logit = _forward(hidden, kernel, bias, labels, chunk, dtype)

        def backward(*upstreams: Any, upstream: Any = None) -> tuple:
            upstream = upstreams[0] if upstream is None else upstream
            return _backward(hidden, kernel, bias, labels, chunk, log_sum, upstream)

        return ops.where(labels >= 0, log_sum - label_logit, float("nan")), backward

    return losses


def _chunk_logits(hidden: Any, kernel: Any, bias: Any, start: Any, size: int, dtype: str) -> Any:
    w = ops.slice(kernel, (0, start), (kernel.shape[0], size))
    b = ops.slice(bias, (start,), (size,))
    return ops.cast(ops.matmul(hidden, w), dtype) + ops.cast(b, dtype)


def _label_logit(z: Any, labels: Any, start: Any, size: int) -> Any:
    """Return each example's logit of its label, 0 where that is no word of the chunk."""
    at = labels - start
    logit = ops.take_along_axis(z, ops.expand_dims(ops.clip(at, 0, size - 1), 1), axis=1)[:, 0]
    return ops.where(ops.logical_and(at >= 0, at < size), logit, ops.zeros_like(logit))


def _is_label(labels: Any, start: Any, size: int) -> Any:
    """Return a ``(examples, size)`` mask of the words that are their example's label."""
    words = start + ops.arange(size, dtype="int32")
    return ops.equal(ops.expand_dims(labels, 1), words)


def _over_chunks(step: Callable[..., tuple], carried: tuple, vocabulary: int, chunk: int) -> tuple:
    """Carry tensors through the chunks one after another, the last one maybe shorter.

    Each chunk's start is made to wait for the chunk before: TensorFlow would run 10 iterations of a
    loop at once, and hold all their logits.
    """

    def body(i: Any, carried: tuple) -> tuple:
        return step(i * chunk + zero_after(carried[0]), chunk, *carried)

    whole = vocabulary // chunk
    carried = ops.fori_loop(0, whole, body, carried) if whole else carried
    rest = vocabulary - whole * chunk
    return step(whole * chunk + zero_after(carried[0]), rest, *carried) if rest else carried


def _forward(
    hidden: Any, kernel: Any, bias: Any, labels: Any, chunk: int, dtype: str
) -> tuple[Any, Any]:
    """Return log Σ exp(z) and z_y of each example."""

    def step(start: Any, size: int, largest: Any, total: Any, label_logit: Any) -> tuple:
        z = _chunk_logits(hidden, kernel, bias, start, size, dtype)
        new_largest = ops.maximum(largest, ops.max(z, axis=1, initial=LEAST))
        total = total * ops.exp(largest - new_largest)
        total = total + ops.sum(ops.exp(z - ops.expand_dims(new_largest, 1)), axis=1)
        return new_largest, total, label_logit + _label_logit(z, labels, start, size)

    zeros = ops.zeros_like(ops.cast(labels, dtype))
    start = (zeros + LEAST, zeros, zeros)
    largest, total, label_logit = _over_chunks(step, start, kernel.shape[1], chunk)
    return largest + ops.log(total), label_logit


def _backward(
    hidden: Any, kernel: Any, bias: Any, labels: Any, chunk: int, log_sum: Any, upstream: Any
) -> tuple:
    """Return the gradients of hidden, kernel and bias, in their dtypes."""
    dtype = keras.backend.standardize_dtype(log_sum.dtype)
    upstream = ops.where(labels >= 0, ops.cast(upstream, dtype), float("nan"))
    g = ops.expand_dims(upstream, 1)

    def step(start: Any, size: int, dh: Any, dw: Any, db: Any) -> tuple:
        z = _chunk_logits(hidden, kernel, bias, start, size, dtype)
        p = ops.exp(z - ops.expand_dims(log_sum, 1))
        dz = (p - ops.cast(_is_label(labels, start, size), dtype)) * g
        db = ops.slice_update(db, (start,), ops.cast(ops.sum(dz, axis=0), db.dtype))
        dz = ops.cast(dz, hidden.dtype)
        w = ops.slice(kernel, (0, start), (kernel.shape[0], size))
        dh = dh + ops.cast(ops.matmul(dz, ops.transpose(w)), dtype)
        dw_chunk = ops.matmul(ops.transpose(hidden), dz)
        return dh, ops.slice_update(dw, (0, start), ops.cast(dw_chunk, dw.dtype)), db

    zeros = ops.cast(ops.zeros_like(hidden), dtype), ops.zeros_like(kernel), ops.zeros_like(bias)
    dh, dw, db = _over_chunks(step, zeros, kernel.shape[1], chunk)
    return ops.cast(dh, hidden.dtype), dw, db


@keras.saving.register_keras_serializable(package="keras_ab")
class ChunkedCrossEntropyHead(keras.layers.Layer):
    """Give each example's cross-entropy in place of its logits.

    The head and the loss in one layer: ``model.compile(loss=...)`` then only has to average what
    the model puts out, as ``lambda _, losses: losses`` does, over the positions that the mask of
    ``hidden`` leaves.

    Args:
        vocabulary: Words.
        chunk: Words in a chunk.
        use_bias: Whether the logits have a bias.
        kernel_initializer: Initializer of the kernel.
        **options: Further arguments of ``keras.layers.Layer``.

    Call arguments:
        hidden: ``(..., width)``.
        labels: Integers ``(...)``.

    Returns:
        Losses ``(...)``, float32 (float64).
    """

    def __init__(
        self,
        vocabulary: int,
        chunk: int = 4096,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(autocast=False, **options)  # it would round labels that come as floats
        self.supports_masking = True
        self.vocabulary = vocabulary
        self.chunk = chunk
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, hidden_shape: tuple, labels_shape: tuple | None = None) -> None:  # noqa: ARG002
        self.kernel = self.add_weight(
            name="kernel",
            shape=(hidden_shape[-1], self.vocabulary),
            initializer=self.kernel_initializer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.vocabulary,), initializer="zeros")

    def call(self, hidden: Any, labels: Any) -> Any:
        hidden, kernel = (ops.cast(x, self.compute_dtype) for x in (hidden, self.kernel))
        bias = None if self.bias is None else ops.cast(self.bias, self.compute_dtype)
        return chunked_cross_entropy(hidden, kernel, labels, bias, self.chunk)

    def get_config(self) -> dict[str, Any]:
        own = {
            "vocabulary": self.vocabulary,
            "chunk": self.chunk,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
        return {**super().get_config(), **own}
