"""Extended batch normalisation's statistics, forward and backward.

The formula is ``kernels.extended_batch_norm.reference_moments`` with ``"channel_means"``.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, differentiable, unconverted
from keras_ab.kernels.native.stablehlo import Like, Tensor
from keras_ab.kernels.plain_tensor import plain_tensor

DTYPES = ("float32", "bfloat16", "float16")


def reference_gradient(x: np.ndarray, d_mean: np.ndarray, d_variance: float) -> np.ndarray:
    """Compute the gradient for x in float64: d_μ_c / M + d_σ² 2 (x − μ_c) / (M C)."""
    flat = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    with np.errstate(all="ignore"):
        spread = 2 * float(d_variance) / flat.size * (flat - flat.mean(axis=0))
        return (np.asarray(d_mean, np.float64) / len(flat) + spread).reshape(x.shape)


@unconverted
def batch_statistics(x: Any) -> tuple[Any, Any]:
    """Return (mean (channels,), variance ()) in float32, differentiable in x.

    Args:
        x: (..., channels) with at least two axes and a known number of channels; float32,
            bfloat16 or float16.

    Raises:
        ValueError: The shape is not as above.
        TypeError: The dtype is not as above.
        NotAvailable: Native kernels are asked for and not there.
    """
    x = plain_tensor(x)
    if len(x.shape) < 2 or x.shape[-1] is None:
        raise ValueError(
            "batch_statistics needs (..., channels) with at least two axes and channels known; "
            f"got {tuple(x.shape)}; add the batch axis"
        )
    if keras.backend.standardize_dtype(x.dtype) not in DTYPES:
        raise TypeError(f"batch_statistics needs {', '.join(DTYPES)}; got {x.dtype}; cast it")
    flat = ops.reshape(x, (-1, x.shape[-1]))
    return (_native if switch.native() else _plain)(flat)


def _plain(x: Any) -> tuple[Any, Any]:
    x = ops.cast(x, "float32")
    mean = ops.mean(x, axis=0)
    return mean, ops.mean(ops.square(x - mean))


def _native(x: Any) -> tuple[Any, Any]:
    dtype, channels = keras.backend.standardize_dtype(x.dtype), x.shape[-1]

    def forward(x: Any) -> tuple[Any, Any]:
        results = [Tensor((channels,), "float32"), Tensor((), "float32")]
        mean, variance = call(Request("kab_batch_statistics_forward", [x], results))
        return (mean, variance), (x, mean)

    def backward(residuals: Any, upstream: tuple[Any, ...]) -> tuple[Any]:
        operands = [*residuals, *(ops.cast(u, "float32") for u in upstream)]
        result = Tensor((Like(0, 0), channels), dtype)
        return (call(Request("kab_batch_statistics_backward", operands, [result]))[0],)

    return differentiable(forward, backward)(x)
