"""Softmax cross-entropy with integer labels, forward and backward each in one pass of memory."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.class_labels import WIDE, ClassLabelLoss, class_labels, one_a_position
from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, differentiable, unconverted
from keras_ab.kernels.native.stablehlo import Like, Tensor
from keras_ab.kernels.plain_tensor import plain_tensor

LOGIT_DTYPES = ("float32", "bfloat16", "float16")


def reference(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Compute the loss in float64.

    Formula: loss_i = log Σ_j exp(x_ij) - x_i,y_i, shifted by the row's maximum.

    Args:
        labels: (batch,), integers in [0, classes).
        logits: (batch, classes), any floating dtype.

    Returns:
        (batch,) float64, in nats.

    Source: Goodfellow, Bengio and Courville (2016), Deep Learning, section 6.2.2.3,
    https://www.deeplearningbook.org.
    """
    x = np.asarray(logits, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
        return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(x)), labels]


def reference_gradient(labels: np.ndarray, logits: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """Compute the gradient for the logits in float64: (softmax(x_i) - onehot(y_i)) u_i."""
    x = np.asarray(logits, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        p[np.arange(len(x)), labels] -= 1
        return p * np.asarray(upstream, np.float64)[:, None]


@unconverted
def sparse_cross_entropy(labels: Any, logits: Any) -> Any:
    """Return the loss of each row, in float32, differentiable in the logits.

    Args:
        labels: (batch,), integers in [0, classes); another value raises on a CPU, and gives NaN
            on a GPU, as TensorFlow's op does. Without native kernels it gives NaN on JAX and
            PyTorch.
        logits: (batch, classes), float32, bfloat16 or float16.

    Raises:
        ValueError: A rank or size is not as above.
        TypeError: A dtype is not as above.
        NotAvailable: Native kernels are asked for and not there.
    """
    labels, logits = plain_tensor(labels), plain_tensor(logits)
    _check(labels, logits)
    if not switch.native():
        return _plain(labels, logits)
    wide = keras.backend.standardize_dtype(labels.dtype) in WIDE
    return _native(ops.cast(labels, "int64" if wide else "int32"), logits)


def _check(labels: Any, logits: Any) -> None:
    dtypes = (
        keras.backend.standardize_dtype(labels.dtype),
        keras.backend.standardize_dtype(logits.dtype),
    )
    if len(logits.shape) != 2 or len(labels.shape) != 1:
        raise ValueError(
            "sparse_cross_entropy needs labels (batch,) and logits (batch, classes); got "
            f"{tuple(labels.shape)} and {tuple(logits.shape)}; reshape them"
        )
    if None not in (labels.shape[0], logits.shape[0]) and labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"sparse_cross_entropy needs one label a row; got {labels.shape[0]} labels for "
            f"{logits.shape[0]} rows; take both from one batch"
        )
    if "int" not in dtypes[0] or dtypes[1] not in LOGIT_DTYPES:
        raise TypeError(
            f"sparse_cross_entropy needs integer labels and logits of {', '.join(LOGIT_DTYPES)}; "
            f"got {dtypes[0]} and {dtypes[1]}; cast them"
        )


def _plain(labels: Any, logits: Any) -> Any:
    x = ops.cast(logits, "float32")
    if keras.backend.backend() == "tensorflow":
        return ops.sparse_categorical_crossentropy(labels, x, from_logits=True)
    # Keras' own multiplies one-hot rows there: 0 for a label out of range, NaN where a word is
    # masked with -inf.
    labels = ops.expand_dims(class_labels(labels, x.shape[-1]), -1)
    chosen = ops.take_along_axis(ops.log_softmax(x, axis=-1), ops.maximum(labels, 0), axis=-1)
    return ops.squeeze(ops.where(labels >= 0, -chosen, float("nan")), axis=-1)


def _native(labels: Any, logits: Any) -> Any:
    dtype = keras.backend.standardize_dtype(logits.dtype)

    def forward(logits: Any, labels: Any) -> tuple[Any, Any]:
        number = Tensor((Like(0, 0),), "float32")
        request = Request("kab_cross_entropy_forward", [logits, labels], [number] * 3)
        loss, maximum, total = call(request)
        return loss, (logits, labels, maximum, total)

    def backward(residuals: Any, upstream: tuple[Any, ...]) -> tuple[Any, None]:
        result = Tensor((Like(0, 0), Like(0, 1)), dtype)
        operands = [*residuals, ops.cast(upstream[0], "float32")]
        return call(Request("kab_cross_entropy_backward", operands, [result]))[0], None

    return differentiable(forward, backward)(logits, labels)


@keras.saving.register_keras_serializable("keras_ab.native")
class SparseCategoricalCrossentropy(ClassLabelLoss):
    """The loss for `compile(loss=...)`: logits (..., classes) and labels (...) or (..., 1)."""

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        """Take Keras' own arguments; logits only, never probabilities."""
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each position, float32 with the labels' shape."""
        classes = y_pred.shape[-1]
        labels = class_labels(one_a_position(y_true, y_pred), classes)
        flat = ops.reshape(labels, (-1,)), ops.reshape(y_pred, (-1, classes))
        return ops.reshape(sparse_cross_entropy(*flat), ops.shape(labels))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the loss."""
        return {"reduction": self.reduction, "name": self.name, "dtype": self.dtype}
