"""An asymmetric convolution block, and its fusion into one convolution.

Source: X. Ding, Y. Guo, G. Ding, J. Han, "ACNet: Strengthening the Kernel Skeletons for Powerful
CNN via Asymmetric Convolution Blocks", 2019, https://arxiv.org/abs/1908.03930, section 3.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.require import require

WHOLE = slice(0, None)
"""All rows, or columns."""


class Branch(NamedTuple):
    """One branch's weights: a kernel, and what its batch normalisation does in inference."""

    kernel: np.ndarray  # (height, width, inputs, outputs)
    gamma: np.ndarray  # (outputs,), as all below
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def reference_branches(
    padded: np.ndarray, branches: Sequence[Branch], size: int, stride: int, epsilon: float
) -> np.ndarray:
    """Convolve and normalise branch by branch, and add.

        O = Σ_b γ_b (x * F_b - μ_b) / √(σ_b² + ε) + β_b

    Every branch is centred on the same element of the input.

    Args:
        padded: x with its padding, ``(batch, height, width, inputs)``.
        branches: The square, the horizontal and the vertical branch.
        size: d of the d×d kernel.
        stride: Step of the window.
        epsilon: ε.

    Returns:
        ``(batch, rows, columns, outputs)``, float64.
    """
    x = np.asarray(padded, np.float64)
    batch, rows, columns = len(x), *((n - size) // stride + 1 for n in padded.shape[1:3])
    out = np.zeros((batch, rows, columns, branches[0].kernel.shape[-1]))
    for b in branches:
        height, width = b.kernel.shape[:2]
        top, left = (size - height) // 2, (size - width) // 2
        scale = b.gamma / np.sqrt(np.asarray(b.variance, np.float64) + epsilon)
        for i, j in np.ndindex(rows, columns):
            row, column = i * stride + top, j * stride + left
            window = x[:, row : row + height, column : column + width]
            response = np.einsum("bhwi,hwio->bo", window, b.kernel.astype(np.float64))
            out[:, i, j] += scale * (response - b.mean) + b.beta
    return out


def fused_weights(branches: Sequence[Branch], epsilon: float) -> list[np.ndarray]:
    """Return the kernel and the bias that do what the branches do in inference.

        F = Σ_b γ_b / √(σ_b² + ε) · F_b, narrow kernels on the skeleton of the square one
        b = Σ_b β_b - γ_b μ_b / √(σ_b² + ε)

    Args:
        branches: The square branch first.
        epsilon: ε.

    Returns:
        Kernel ``(d, d, inputs, outputs)`` and bias ``(outputs,)``, float64.
    """
    size = branches[0].kernel.shape[0]
    kernel = np.zeros_like(branches[0].kernel, np.float64)
    bias = np.zeros_like(branches[0].beta, np.float64)
    for b in branches:
        height, width = b.kernel.shape[:2]
        top, left = (size - height) // 2, (size - width) // 2
        scale = b.gamma / np.sqrt(np.asarray(b.variance, np.float64) + epsilon)
        kernel[top : top + height, left : left + width] += scale * b.kernel
        bias += b.beta - scale * b.mean
    return [kernel, bias]


@keras.saving.register_keras_serializable(package="keras_ab")
class AsymmetricConvolution2D(keras.layers.Layer):
    """Add a d×d, a 1×d and a d×1 convolution, each with its batch normalisation.

    The formula is ``reference_branches``. Inputs are ``(batch, height, width, channels)``. The
    padding is Keras' own for the d×d window, and the narrow ones are centred in it. Where Keras'
    ``"same"`` has their centres elsewhere (images of an even size at stride 2), they are given the
    inputs without their first row or column: else the block could not be fused.

    Args:
        filters: Number of outputs.
        kernel_size: d, odd.
        strides: Step of the window, in both directions.
        padding: ``"same"`` or ``"valid"``.
        kernel_initializer: Initializer of the three kernels.
        kernel_regularizer: Regularizer of the three kernels.
        momentum: Momentum of the batch normalisations.
        epsilon: ε of the batch normalisations.
        **options: Further arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: When d is even, an argument is out of its range, or the images' size is unknown
            where a stride's padding depends on it.

    Source: Ding et al., 2019, https://arxiv.org/abs/1908.03930, section 3.2 and figure 3.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        padding: str = "same",
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        require(
            isinstance(kernel_size, int) and kernel_size > 0 and kernel_size % 2 == 1,
            "kernel_size must be one odd number, so that the kernels share a centre.",
            kernel_size,
            "Pass 3, 5 or 7.",
        )
        require(
            isinstance(strides, int) and strides > 0,
            "strides must be one positive number.",
            strides,
            "Pass 1 or 2.",
        )
        require(
            padding in ("same", "valid"),
            "padding must be 'same' or 'valid'.",
            padding,
            "Pass 'same' to keep the images' size at stride 1.",
        )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.momentum = momentum
        self.epsilon = epsilon
        sizes = {"square": (kernel_size, kernel_size)}
        sizes |= {"horizontal": (1, kernel_size), "vertical": (kernel_size, 1)}
        self.convolutions = [self._convolution(name, size) for name, size in sizes.items()]
        self.normalizations = [self._normalization(name) for name in sizes]

    def _convolution(self, name: str, size: tuple[int, int]) -> Any:
        return keras.layers.Conv2D(
            self.filters,
            size,
            strides=self.strides,
            use_bias=False,
            padding=self.padding,
            data_format="channels_last",
            kernel_initializer=_redrawn(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def _normalization(self, name: str) -> Any:
        return keras.layers.BatchNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype_policy,
            name=f"{name}_normalization",
        )

    def build(self, input_shape: tuple) -> None:
        self._centred(input_shape[1:3])
        d, channels = self.kernel_size, input_shape[-1]
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            convolution.build((None, d, d, channels))
            normalization.build((None, None, None, self.filters))

    def _centred(self, image: Sequence[int | None]) -> list[slice]:
        """Return which rows and which columns a kernel of one row, or of one column, is given.

        The square kernel's first window has its centre d // 2 elements after the padding's begin,
        the narrow kernel's its own on the first element that it is given.
        """
        margin = self.kernel_size // 2
        if self.padding == "valid":
            return [slice(margin, -margin or None)] * 2
        require(
            self.strides == 1 or None not in image,
            "With strides above 1 the images' size must be known, as the padding depends on it.",
            tuple(image),
            "Pass an input with that size, or padding='valid'.",
        )
        return [slice(margin - self._padding_before(n), None) for n in image]

    def _padding_before(self, length: int | None) -> int:
        """Return how many zeros "same" puts before so many rows, or columns, of the square's."""
        left_over = 0 if self.strides == 1 or length is None else (length - 1) % self.strides
        return max(self.kernel_size - 1 - left_over, 0) // 2

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        branches = zip(self._windows(inputs), self.convolutions, self.normalizations, strict=True)
        outputs = [norm(conv(x), training=training) for x, conv, norm in branches]
        return outputs[0] + outputs[1] + outputs[2]

    def _windows(self, inputs: Any) -> list[Any]:
        """Return what each branch convolves: the inputs, cut where its centre else were another."""
        rows, columns = self._centred(inputs.shape[1:3])
        horizontal = inputs if rows == WHOLE else inputs[:, rows]
        vertical = inputs if columns == WHOLE else inputs[:, :, columns]
        return [inputs, horizontal, vertical]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
        ).compute_output_shape(input_shape)

    def branches(self) -> list[Branch]:
        """Return the weights of the square, the horizontal and the vertical branch."""
        pairs = zip(self.convolutions, self.normalizations, strict=True)
        weights = [
            (conv.kernel, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
            for conv, norm in pairs
        ]
        return [Branch(*map(ops.convert_to_numpy, w)) for w in weights]

    def fuse(self) -> Any:
        """Return one built ``Conv2D`` that does what this block does in inference.

        Raises:
            ValueError: When the block has no weights yet.
        """
        require(self.built, "The block must be built.", self, "Call it on a batch first.")
        fused = keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=f"{self.name}_fused",
        )
        kernel, bias = fused_weights(self.branches(), self.epsilon)
        fused.build((None, None, None, kernel.shape[2]))
        fused.set_weights([kernel, bias])
        return fused

    def get_config(self) -> dict[str, Any]:
        own = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
        return {**super().get_config(), **own}


def _redrawn(initializer: Any) -> Any:
    """Return the initializer with a draw of its own, so that no two kernels start the same."""
    return keras.initializers.get(keras.initializers.serialize(initializer))
