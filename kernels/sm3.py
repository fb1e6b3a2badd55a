"""SM3: AdaGrad whose second moments are kept once for each slice of a tensor.

Source: R. Anil, V. Gupta, T. Koren, Y. Singer, "Memory-Efficient Adaptive Optimization", 2019,
https://arxiv.org/abs/1901.11150, algorithms SM3-I and SM3-II.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.plain_tensor import SumsRows, dense
from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between, require_learning_rate

VARIANTS = ("I", "II")

# The smallest normal float32. Hardware may flush what is smaller to zero, in some operations only.
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def accumulator_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of the accumulators, one for each axis, the other axes kept as 1."""
    return [
        tuple(n if axis == kept else 1 for axis, n in enumerate(shape))
        for kept in range(len(shape))
    ] or [()]


def reference_sm3(
    w: np.ndarray,
    gradients: Sequence[np.ndarray],
    learning_rate: float,
    momentum: float = 0.0,
    variant: str = "II",
) -> np.ndarray:
    """Run SM3 from accumulators of zero.

        m_t = β m_{t-1} + (1 - β) u_t,   w_{t+1} = w_t - η m_t     u_t as in ``reference_update``

    Args:
        w: First weights, any shape.
        gradients: One gradient for each step, each of ``w``'s shape.
        learning_rate: η.
        momentum: β; 0 is the plain algorithm.
        variant: ``"I"`` or ``"II"``.

    Returns:
        The weights after all steps, float64, of ``w``'s shape.
    """
    w = np.array(w, np.float64)
    m = np.zeros_like(w)
    mu = [np.zeros(shape) for shape in accumulator_shapes(w.shape)]
    for gradient in gradients:
        u, mu = reference_update(mu, gradient, variant)
        m = momentum * m + (1.0 - momentum) * u
        w = w - learning_rate * m
    return w


def reference_update(
    mu: Sequence[np.ndarray], gradient: np.ndarray, variant: str = "II"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the direction of one step and the accumulators after it, in float64.

    The cover has one set S_r for each slice of the tensor, n_1 + ... + n_p sets in all:

        SM3-I:   μ_t(r) = μ_{t-1}(r) + max_{j in S_r} g_t(j)²
                 ν_t(i) = min_{r: i in S_r} μ_t(r)
        SM3-II:  ν_t(i) = min_{r: i in S_r} μ_{t-1}(r) + g_t(i)²
                 μ_t(r) = max_{j in S_r} ν_t(j)
        both:    u_t = g_t / √ν_t   with 0/0 = 0

    Args:
        mu: μ, of ``accumulator_shapes``.
        gradient: g.
        variant: ``"I"`` or ``"II"``.
    """
    g, mu = np.asarray(gradient, np.float64), [np.asarray(a, np.float64) for a in mu]
    with np.errstate(all="ignore"):
        if variant == "I":
            mu = [a + _reference_max(g**2, a.shape) for a in mu]
            nu = reduce(np.minimum, mu)
        else:
            nu = reduce(np.minimum, mu) + g**2
            mu = [_reference_max(nu, a.shape) for a in mu]
        return np.where(nu == 0.0, 0.0, g / np.sqrt(nu)), mu


def _reference_max(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the maximum over every axis along which ``shape`` is 1; squares are 0 or more."""
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return x.max(axis=axes, keepdims=True, initial=0.0)


@keras.saving.register_keras_serializable(package="keras_ab")
class SM3(SumsRows, keras.optimizers.Optimizer):
    """Optimise with AdaGrad's second moments in one vector for each dimension.

    The formula is ``reference_sm3``. A weight of shape ``(n_1, ..., n_p)`` has p accumulators of
    n_1, ..., n_p elements, in float32 (float64 for float64 weights). Momentum, when it is not 0,
    adds a slot of the weight's own shape and dtype.

    The moments only grow, so the rate decays by itself; the paper trains with a warm-up and a
    constant rate. The form of the momentum is the one of the authors' published experiments.

    Args:
        learning_rate: η: a number, a ``LearningRateSchedule`` or a callable.
        momentum: β in [0, 1).
        variant: ``"II"`` (tighter, the paper's choice) or ``"I"``.
        epsilon: ν at or below which a coordinate is left alone, the paper's 0/0 = 0. The default
            is the smallest normal float32, below which squares are flushed to zero anyway.
        name: Name of the optimizer.
        **base: Further arguments of ``keras.optimizers.Optimizer``.

    Raises:
        ValueError: When a hyperparameter is out of its range.

    Source: Anil et al., 2019, https://arxiv.org/abs/1901.11150, SM3-I, SM3-II, and section 4 for
        the cover of a tensor by its slices.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.0,
        variant: str = "II",
        epsilon: float = SMALLEST_NORMAL,
        name: str = "sm3",
        **base: Any,
    ) -> None:
        super().__init__(learning_rate=require_learning_rate(learning_rate), name=name, **base)
        self.momentum = require_between("momentum", momentum, 0.0, 1.0, high_included=False)
        self.epsilon = require_between("epsilon", epsilon, low=0.0)
        require(
            variant in VARIANTS,
            f"variant must be one of {VARIANTS}.",
            variant,
            "Pass 'II' unless you want the looser bound of SM3-I.",
        )
        self.variant = variant

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        self._accumulators = [self._build_accumulators(v) for v in variables]
        self._momentums = (
            self.add_optimizer_variables(variables, "momentum") if self.momentum else None
        )

    def _build_accumulators(self, variable: Any) -> list:
        dtype = accumulation_dtype(keras.backend.standardize_dtype(variable.dtype))
        return [
            self.add_variable(shape, dtype=dtype, name=f"{variable.name}_accumulator_{axis}")
            for axis, shape in enumerate(accumulator_shapes(variable.shape))
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one step for one weight.

        Args:
            gradient: Gradient of the weight's shape.
            variable: The weight.
            learning_rate: η, a scalar.
        """
        if 0 in variable.shape:
            return
        index = self._get_variable_index(variable)
        accumulators = self._accumulators[index]
        dtype = accumulators[0].dtype
        g = ops.cast(dense(gradient), dtype)
        nu, moments = self._second_moments(ops.square(g), accumulators)
        u = ops.where(nu <= self.epsilon, ops.zeros_like(g), g / ops.sqrt(nu))
        for accumulator, mu in zip(accumulators, moments, strict=True):
            self.assign(accumulator, mu)
        step = ops.cast(learning_rate, dtype) * self._smoothed(u, index)
        self.assign(variable, ops.cast(ops.cast(variable, dtype) - step, variable.dtype))

    def _second_moments(self, squares: Any, accumulators: list) -> tuple[Any, list]:
        if self.variant == "I":
            moments = [mu + _slice_max(squares, mu.shape) for mu in accumulators]
            return reduce(ops.minimum, moments), moments
        nu = reduce(ops.minimum, [ops.convert_to_tensor(mu) for mu in accumulators]) + squares
        return nu, [_slice_max(nu, mu.shape) for mu in accumulators]

    def _smoothed(self, u: Any, index: int) -> Any:
        if self._momentums is None:
            return u
        slot = self._momentums[index]
        m = self.momentum * ops.cast(slot, u.dtype) + (1.0 - self.momentum) * u
        self.assign(slot, ops.cast(m, slot.dtype))
        return m

    def get_config(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "variant": self.variant, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def _slice_max(x: Any, shape: tuple[int, ...]) -> Any:
    """Return the maximum over every axis along which ``shape`` is 1, axes kept."""
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return ops.max(x, axis=axes, keepdims=True) if axes else x
