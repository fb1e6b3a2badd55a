"""Scaled weight standardisation of one kernel, forward and backward.

Formula and plain form are those of kernels/weight_standardization.py.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, differentiable, unconverted
from keras_ab.kernels.native.stablehlo import Tensor
from keras_ab.kernels.plain_tensor import plain_tensor
from keras_ab.kernels.weight_standardization import standardized

DTYPES = ("float32", "bfloat16", "float16")
EPSILON = 1e-4  # Brock et al.'s code, https://github.com/google-deepmind/deepmind-research


def reference_gradient(
    kernel: np.ndarray, gain: np.ndarray, upstream: np.ndarray, epsilon: float = EPSILON
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the gradients for kernel and gain in float64, by the chain rule step by step."""
    w = np.asarray(kernel, np.float64).reshape(math.prod(kernel.shape[:-1]), kernel.shape[-1])
    u = np.asarray(upstream, np.float64).reshape(w.shape)
    with np.errstate(all="ignore"):
        d = w - w.mean(axis=0)
        squares = (d * d).sum(axis=0)
        a = 1 / np.sqrt(np.maximum(squares, epsilon))
        d_gain = (u * d * a).sum(axis=0)
        d_a = (u * d).sum(axis=0) * gain
        d_squares = np.where(squares < epsilon, 0, d_a * -0.5 * a**3)
        d_d = u * a * gain + 2 * d * d_squares
        return (d_d - d_d.mean(axis=0)).reshape(kernel.shape), d_gain


@unconverted
def standardize(kernel: Any, gain: Any, epsilon: float = EPSILON) -> Any:
    """Return the standardised kernel in its own dtype, differentiable in kernel and gain.

    Args:
        kernel: (..., in, out) with at least two axes; float32, bfloat16 or float16.
        gain: (out,); cast to float32.
        epsilon: ε > 0.

    Raises:
        ValueError: A shape or ε is not as above.
        TypeError: A dtype is not as above.
        NotAvailable: Native kernels are asked for and not there.
    """
    kernel, gain = plain_tensor(kernel), plain_tensor(gain)
    _check(kernel, gain, epsilon)
    gain = ops.cast(gain, "float32")
    return (_native if switch.native() else _plain)(kernel, gain, epsilon)


def _check(kernel: Any, gain: Any, epsilon: float) -> None:
    if len(kernel.shape) < 2 or tuple(gain.shape) != (kernel.shape[-1],):
        raise ValueError(
            "standardize needs a kernel (..., in, out) and a gain (out,); got "
            f"{tuple(kernel.shape)} and {tuple(gain.shape)}; give one gain an output unit"
        )
    if keras.backend.standardize_dtype(kernel.dtype) not in DTYPES:
        raise TypeError(
            f"standardize needs a kernel of {', '.join(DTYPES)}; got {kernel.dtype}; cast it"
        )
    if epsilon <= 0:
        raise ValueError(f"epsilon must be positive; got {epsilon}; the paper's code has 1e-4")


def _plain(kernel: Any, gain: Any, epsilon: float) -> Any:
    return ops.cast(standardized(ops.cast(kernel, "float32"), gain, epsilon), kernel.dtype)


def _native(kernel: Any, gain: Any, epsilon: float) -> Any:
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    like_kernel = Tensor(tuple(kernel.shape), dtype)
    attributes = {"epsilon": epsilon}

    def forward(kernel: Any, gain: Any) -> tuple[Any, Any]:
        request = Request("kab_standardize_forward", [kernel, gain], [like_kernel], attributes)
        return call(request)[0], (kernel, gain)

    def backward(residuals: Any, upstream: tuple[Any, ...]) -> tuple[Any, ...]:
        results = [like_kernel, Tensor((kernel.shape[-1],), "float32")]
        operands = [*residuals, ops.cast(upstream[0], dtype)]
        return tuple(call(Request("kab_standardize_backward", operands, results, attributes)))

    return differentiable(forward, backward)(kernel, gain)
