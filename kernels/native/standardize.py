"""Scaled weight standardisation of one kernel, forward and backward."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, differentiable, unconverted
from keras_ab.kernels.native.stablehlo import Tensor

DTYPES = ("float32", "bfloat16", "float16")
EPSILON = 1e-4  # Brock et al.'s code, https://github.com/google-deepmind/deepmind-research


def reference(kernel: np.ndarray, gain: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
    """Compute the standardised kernel in float64.

    Formula: Ŵ_i = g_i (W_i − μ_i) / √max(N σ_i², ε), for each output unit i of fan-in N.

    Args:
        kernel: (..., in, out); all axes but the last are fan-in.
        gain: (out,).
        epsilon: ε.

    Source: Brock, De and Smith (2021), Characterizing signal propagation to close the performance
    gap in unnormalized ResNets, https://arxiv.org/abs/2101.08692, equation 2; ε as in the code of
    https://arxiv.org/abs/2102.06171.
    """
    w = np.asarray(kernel, np.float64).reshape(_fan_in(kernel), kernel.shape[-1])
    with np.errstate(all="ignore"):
        d = w - w.mean(axis=0)
        scale = 1 / np.sqrt(np.maximum((d * d).sum(axis=0), epsilon))
        return (d * scale * np.asarray(gain, np.float64)).reshape(kernel.shape)


def _fan_in(kernel: np.ndarray) -> int:
    return math.prod(kernel.shape[:-1])


def reference_gradient(
    kernel: np.ndarray, gain: np.ndarray, upstream: np.ndarray, epsilon: float = EPSILON
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the gradients for kernel and gain in float64, by the chain rule step by step."""
    w = np.asarray(kernel, np.float64).reshape(_fan_in(kernel), kernel.shape[-1])
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
    kernel, gain = ops.convert_to_tensor(kernel), ops.convert_to_tensor(gain)
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
    w = ops.cast(kernel, "float32")
    axes = tuple(range(len(kernel.shape) - 1))
    d = w - ops.mean(w, axis=axes, keepdims=True)
    squares = ops.sum(d * d, axis=axes, keepdims=True)
    return ops.cast(d * ops.rsqrt(ops.maximum(squares, epsilon)) * gain, kernel.dtype)


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
