"""A convolution whose kernel is standardised over each output's inputs, with a learnable gain.

Source: A. Brock, S. De, S. L. Smith, K. Simonyan, "High-Performance Large-Scale Image Recognition
Without Normalization", 2021, https://arxiv.org/abs/2102.06171, equation 1.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between


def reference_standardized(kernel: np.ndarray, gain: np.ndarray, epsilon: float) -> np.ndarray:
    """Standardise output by output.

        Ŵ_i = g_i (W_i - μ_i) / √max(N σ_i², ε)

    N is the fan-in, μ_i and σ_i² are the mean and the variance over it. Equation 1 has no ε; it
    keeps a constant kernel finite.

    Args:
        kernel: W, ``(height, width, inputs, outputs)``.
        gain: g, ``(outputs,)``.
        epsilon: ε.

    Returns:
        Ŵ, float64, of W's shape.
    """
    w = np.array(kernel, np.float64)
    for i in range(w.shape[-1]):
        centred = w[..., i] - w[..., i].mean()
        w[..., i] = gain[i] * centred / np.sqrt(np.maximum(np.sum(centred**2), epsilon))
    return w


def standardized(kernel: Any, gain: Any, epsilon: float) -> Any:
    """Return the kernel as ``reference_standardized`` has it, in the kernel's own dtype.

    Args:
        kernel: ``(height, width, inputs, outputs)``.
        gain: ``(outputs,)``, of the same dtype.
        epsilon: ε.
    """
    axes = tuple(range(len(kernel.shape) - 1))
    centred = kernel - ops.mean(kernel, axis=axes, keepdims=True)
    norm_squared = ops.sum(ops.square(centred), axis=axes, keepdims=True)
    return centred * (gain * ops.rsqrt(ops.maximum(norm_squared, epsilon)))


@keras.saving.register_keras_serializable(package="keras_ab")
class WSConv2D(keras.layers.Conv2D):
    """Convolve with a kernel standardised by ``reference_standardized``.

    Kernel and gain are kept and standardised in the variable dtype; the result is cast to the
    compute dtype. ``kernel`` is the plain weight, the standardised one is ``standardized_kernel``.

    Args:
        filters: Number of outputs.
        kernel_size: Height and width of the kernel.
        *conv: Further positional arguments of ``keras.layers.Conv2D``.
        epsilon: ε. The default is the authors'.
        **options: Further arguments of ``keras.layers.Conv2D``.

    Raises:
        ValueError: When a filter has a single input, whose standardised weight is always 0.

    Source: Brock et al., 2021, https://arxiv.org/abs/2102.06171, equation 1; the learnable gain for
        each output is in the paper's normaliser-free networks.
    """

    def __init__(
        self, filters: int, kernel_size: Any, *conv: Any, epsilon: float = 1e-4, **options: Any
    ) -> None:
        super().__init__(filters, kernel_size, *conv, **options)
        self.epsilon = require_between("epsilon", epsilon, 0.0, low_included=False)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        fan_in = math.prod(self._kernel.shape[:-1])
        require(
            fan_in > 1,
            "Each filter must have at least 2 inputs to have a variance.",
            tuple(self._kernel.shape),
            "Use keras.layers.Conv2D for this layer.",
        )
        self.gain = self.add_weight(name="gain", shape=(self.filters,), initializer="ones")

    def add_weight(self, *shape: Any, **options: Any) -> Any:
        in_full_precision = options.get("name") in ("kernel", "gain")
        return super().add_weight(*shape, **{"autocast": not in_full_precision, **options})

    @property
    def standardized_kernel(self) -> Any:
        """The kernel that the layer convolves with, in the variable dtype's precision."""
        return self._standardized(self.kernel)

    def _standardized(self, kernel: Any) -> Any:
        dtype = accumulation_dtype(self.variable_dtype)
        return standardized(ops.cast(kernel, dtype), ops.cast(self.gain, dtype), self.epsilon)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, ops.cast(self._standardized(kernel), inputs.dtype))

    def save_own_variables(self, store: Any) -> None:
        """Save the gain too, which ``Conv2D`` would leave out."""
        super().save_own_variables(store)
        if self.built:
            store["gain"] = self.gain

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        if self.built:
            self.gain.assign(store["gain"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
