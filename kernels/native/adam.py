"""Adam, fused over all variables."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native.fused import FusedUpdate
from keras_ab.kernels.plain_tensor import dense
from keras_ab.kernels.precision import accumulation_dtype


def reference(
    w: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    g: np.ndarray,
    *,
    alpha: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute one step in float64.

    Formula: m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²; w = w − α m / (√v + ε̂).

    Args:
        w: The variable, any shape.
        m: Its first moment.
        v: Its second moment.
        g: Its gradient.
        alpha: step_size(...) of this step.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: ε̂, beside the uncorrected √v.

    Returns:
        (w, m, v) after the step, float64.

    Source: Kingma and Ba (2015), Adam: A Method for Stochastic Optimization,
    https://arxiv.org/abs/1412.6980, Algorithm 1 with the last lines of section 2.
    """
    w, m, v, g = (np.asarray(x, np.float64) for x in (w, m, v, g))
    with np.errstate(all="ignore"):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        return w - alpha * m / (np.sqrt(v) + epsilon), m, v


def step_size(learning_rate: float, step: int, beta_1: float, beta_2: float) -> float:
    """Compute α_t = α √(1−β₂ᵗ) / (1−β₁ᵗ), t counted from 1."""
    return learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)


@keras.saving.register_keras_serializable("keras_ab.native")
class Adam(FusedUpdate, keras.optimizers.Adam):
    """Keras' Adam with one kernel call a step; 28 bytes a float32 parameter, each moved once.

    Takes Keras' arguments but for amsgrad; its state and its checkpoints are Keras' own.
    """

    target = "kab_adam"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take keras.optimizers.Adam's arguments.

        Raises:
            ValueError: amsgrad is asked for.
        """
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError(
                "The fused Adam needs amsgrad=False; got True; use keras.optimizers.Adam"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one variable's step in plain operations, in float32 whatever the variable's dtype.

        Keras computes in the variable's: in bfloat16 its 1 - 0.999 is 0.
        """
        if 0 in variable.shape:
            return
        dtype = accumulation_dtype(variable.dtype)
        slots = self.kernel_slots(self._get_variable_index(variable))
        w, m, v, g = (ops.cast(dense(x), dtype) for x in (variable, *slots, gradient))
        m = m + (g - m) * (1.0 - self.beta_1)
        v = v + (g * g - v) * (1.0 - self.beta_2)
        alpha = ops.cast(self.kernel_scalars(learning_rate)[0], dtype)
        w = w - alpha * m / (ops.sqrt(v) + self.epsilon)
        for old, new in zip((variable, *slots), (w, m, v), strict=True):
            self.assign(old, ops.cast(new, old.dtype))

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return α_t, with 1 − βᵗ from expm1: in float32 1 − 0.999 is off in the fifth digit."""
        t = ops.cast(self.iterations + 1, "float32")
        one_minus = [-ops.expm1(t * _log(beta)) for beta in (self.beta_1, self.beta_2)]
        rate = ops.cast(learning_rate, "float32")
        return [rate * ops.sqrt(one_minus[1]) / one_minus[0]]

    def kernel_slots(self, index: int) -> list[Any]:
        """Return the two moments."""
        return [self._momentums[index], self._velocities[index]]

    def kernel_attributes(self) -> dict[str, float]:
        """Return β₁, β₂ and ε̂."""
        return {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


def _log(beta: float) -> float:
    return math.log(beta) if beta else -math.inf
