"""Labels that are class numbers, whatever dtype they come in, and losses that take them as such."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_ab.kernels.require import require

EXACT_UP_TO = {
    "float8_e5m2": 2**3,
    "float8_e4m3fn": 2**4,
    "bfloat16": 2**8,
    "float16": 2**11,
    "float32": 2**24,
}
"""The number up to which a floating dtype tells all whole numbers apart."""
WIDE = ("int64", "uint32", "uint64")


def class_labels(labels: Any, classes: int) -> Any:
    """Return labels as int32, and -1 for what is no whole number in [0, classes).

    Args:
        labels: Class numbers of any integer or floating dtype.
        classes: Classes.

    Raises:
        ValueError: When the labels' dtype cannot tell all classes apart: some are wrong already.
    """
    dtype = keras.backend.standardize_dtype(labels.dtype)
    require(
        classes - 1 <= EXACT_UP_TO.get(dtype, classes),
        f"Labels of {classes} classes must be of a dtype that tells them all apart.",
        dtype,
        "Pass integers.",
    )
    if "float" not in dtype:
        labels = ops.cast(labels, "int64" if dtype in WIDE else "int32")
    is_class = ops.logical_and(labels >= 0, labels < classes)
    if "float" in dtype:
        is_class = ops.logical_and(is_class, ops.equal(ops.floor(labels), labels))
    labels = ops.where(is_class, labels, ops.zeros_like(labels))
    return ops.where(is_class, ops.cast(labels, "int32"), -1)


class ClassLabelLoss(keras.losses.Loss):
    """A loss whose labels and logits keep their dtypes until ``call``.

    Keras' own casts both to the loss' dtype first: in bfloat16 the label 1001 becomes 1000. Masks
    and weights are taken as it takes them.
    """

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        mask = keras.src.backend.get_keras_mask(y_pred)
        losses = self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
        return keras.src.losses.loss.reduce_weighted_values(
            losses,
            sample_weight=sample_weight,
            mask=mask,
            reduction=self.reduction,
            dtype=self.dtype,
        )


def one_a_position(y_true: Any, y_pred: Any) -> Any:
    """Return labels ``(...)`` for logits ``(..., classes)``, without a last axis of 1.

    Raises:
        ValueError: When there is not one class number for each position.
    """
    positions = tuple(y_pred.shape)[:-1]
    if len(y_true.shape) == len(y_pred.shape):
        require(
            y_true.shape[-1] == 1,
            "Labels must be class numbers, one for each example.",
            tuple(y_true.shape),
            "Pass sparse labels, such as one-hot ones through argmax.",
        )
        y_true = ops.squeeze(y_true, axis=-1)
    require(
        fit(y_true.shape, positions),
        f"There must be a label for each position of the logits, {positions}.",
        tuple(y_true.shape),
        "Pass labels in the shape of the logits without their last axis.",
    )
    return y_true


def fit(labels: Sequence[int | None], positions: Sequence[int | None]) -> bool:
    """Tell whether shapes agree, as far as their sizes are known before the step."""
    return len(labels) == len(positions) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(labels, positions, strict=True)
    )
