"""What the battery needs beside the offers: layers around kernels that have none, and batches."""

from typing import Any

import keras
from keras import ops

from keras_ab.kernels.native.batch_statistics import batch_statistics
from keras_ab.kernels.native.standardize import standardize

REGISTERED = keras.saving.register_keras_serializable("keras_ab.tests")


@REGISTERED
class Standardised(keras.layers.Layer):
    """A convolution whose kernel the native kernel standardises."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], 4), name="kernel")
        self.gain = self.add_weight(shape=(4,), initializer="ones", name="gain")

    def call(self, x: Any) -> Any:
        return ops.conv(x, standardize(self.kernel, self.gain))


@REGISTERED
class Normalised(keras.layers.Layer):
    """Images, normalised by the statistics of the native kernel."""

    def call(self, x: Any) -> Any:
        mean, variance = batch_statistics(x)
        y = (ops.cast(x, "float32") - mean) / ops.sqrt(variance + 1e-3)
        return ops.cast(y, x.dtype)


@REGISTERED
class Averaged(keras.losses.Loss):
    """The loss for a model that puts out losses."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


class Batches(keras.utils.PyDataset):
    """Batches in the dtypes that they have: of whole arrays `fit` makes every float a float32.

    Args:
        arrays: inputs, labels and weights, if any; inputs may be a dict of them.
        size: examples in a batch, but for a last one of the rest.
    """

    def __init__(self, arrays: list[Any], size: int) -> None:
        super().__init__()
        self.arrays, self.size = tuple(arrays), size

    def __len__(self) -> int:
        return -(-len(self.arrays[1]) // self.size)

    def __getitem__(self, index: int) -> Any:
        part = slice(index * self.size, (index + 1) * self.size)
        return keras.tree.map_structure(lambda array: array[part], self.arrays)
