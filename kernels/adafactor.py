"""Adafactor with a second moment that is factored, never stored in full.

Source: N. Shazeer, M. Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
https://arxiv.org/abs/1804.04235, algorithms 4, 5 and 6.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.plain_tensor import SumsRows, dense
from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require_between, require_learning_rate

# The smallest normal float32. Hardware may flush what is smaller to zero, in some operations only.
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def factor_shapes(shape: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of R and C, axes kept; below rank 2 the one of V.

    The paper factors matrices. A tensor of higher rank is a stack of matrices over its last two
    axes, as in Keras' own Adafactor.
    """
    if len(shape) < 2:
        return (tuple(shape),)
    return (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])


def reference_adafactor(
    x: np.ndarray,
    gradients: Sequence[np.ndarray],
    learning_rate: float = 1e-2,
    beta_1: float = 0.0,
    decay_rate: float = 0.8,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 1e-3,
    clip_threshold: float | None = 1.0,
    relative_step: bool = True,
    scale_parameter: bool = True,
) -> np.ndarray:
    """Run algorithm 4 (matrices) or 5 (vectors) with the proposed settings of algorithm 6.

    ρ_t = min(η, 1/√t)                      η alone without relative_step
    β̂₂ₜ = 1 - t^(-c)
    Û_t, α_t as in ``reference_update``
    M_t = β₁ M_{t-1} + (1 - β₁) α_t Û_t,    X_t = X_{t-1} - M_t

    Args:
        x: First weights, any shape.
        gradients: One gradient for each step, each of ``x``'s shape.
        learning_rate: η.
        beta_1: β₁; 0 is the paper's algorithm.
        decay_rate: c.
        epsilon_1: ε₁.
        epsilon_2: ε₂.
        clip_threshold: d; None leaves the update unclipped.
        relative_step: Whether the rate is bounded by 1/√t.
        scale_parameter: Whether the step is relative to the weights' RMS.

    Returns:
        The weights after all steps, float64, of ``x``'s shape.
    """
    x = np.array(x, np.float64)
    m = np.zeros_like(x)
    moments = [np.zeros(shape) for shape in factor_shapes(x.shape)]
    constants = epsilon_1, epsilon_2, clip_threshold, scale_parameter
    for t, gradient in enumerate(gradients, start=1):
        rho = min(learning_rate, t**-0.5) if relative_step else learning_rate
        update, moments = reference_update(x, moments, gradient, rho, t**-decay_rate, *constants)
        m = beta_1 * m + (1.0 - beta_1) * update
        x = x - m
    return x


def reference_update(
    x: np.ndarray,
    moments: Sequence[np.ndarray],
    gradient: np.ndarray,
    rho: float,
    new: float,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 1e-3,
    clip_threshold: float | None = 1.0,
    scale_parameter: bool = True,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return what one step subtracts from the weights, and the moments after it, in float64.

    R_t = β̂₂ₜ R_{t-1} + (1 - β̂₂ₜ) (G_t² + ε₁) 1_m          row sums
    C_t = β̂₂ₜ C_{t-1} + (1 - β̂₂ₜ) 1_nᵀ (G_t² + ε₁)         column sums
    V̂_t = R_t C_t / (1_nᵀ R_t)              a vector keeps V̂_t itself
    U_t = G_t / √V̂_t
    Û_t = U_t / max(1, RMS(U_t) / d)
    α_t = max(ε₂, RMS(X_{t-1})) ρ_t         ρ_t alone without scale_parameter

    Means stand in for the sums: the quotient is the same.

    Args:
        x: X.
        moments: R and C, or V, of ``factor_shapes``.
        gradient: G.
        rho: ρ_t.
        new: 1 - β̂₂ₜ.
        epsilon_1: ε₁.
        epsilon_2: ε₂.
        clip_threshold: d or None.
        scale_parameter: Whether the step is relative to the weights' RMS.
    """
    x, g = np.asarray(x, np.float64), np.asarray(gradient, np.float64)
    if not x.size:
        return np.zeros_like(x), list(moments)
    with np.errstate(all="ignore"):
        squares = g**2 + epsilon_1
        moments = [
            (1.0 - new) * np.asarray(m, np.float64)
            + new * squares.mean(_ones(np.shape(m)), keepdims=True)
            for m in moments
        ]
        v = moments[0]
        if len(moments) == 2:
            v = v * moments[1] / v.mean(-2, keepdims=True)
        u = g / np.sqrt(v)
        if clip_threshold is not None:
            u = u / np.maximum(1.0, _reference_rms(u) / clip_threshold)
        alpha = rho * (np.maximum(epsilon_2, _reference_rms(x)) if scale_parameter else 1.0)
        return alpha * u, moments


def _reference_rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def _ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes along which a shape is 1."""
    return tuple(axis for axis, n in enumerate(shape) if n == 1)


@keras.saving.register_keras_serializable(package="keras_ab")
class Adafactor(SumsRows, keras.optimizers.Optimizer):
    """Optimise with second moments kept as row and column means.

    The formula is ``reference_adafactor``, with means in place of sums (the quotient is the same).
    A weight of shape ``(n, m)`` keeps n + m numbers in float32 (float64 for float64 weights), a
    vector keeps its own size. ``beta_1`` above 0 adds a slot of the weight's shape and dtype; the
    paper leaves momentum out to save that slot, so the form, an average of the updates, is ours.

    V̂ is never formed: U = G · (mean R / R)^½ · C^-½, factor by factor. For a zero row that meets a
    zero column the product R C is near ε₁², which is 0 in float32, and 0/√0 is NaN.

    Args:
        learning_rate: η: a number, a ``LearningRateSchedule`` or a callable.
        beta_1: β₁ in [0, 1).
        decay_rate: c in (0, 1]; β̂₂ₜ = 1 - t^(-c).
        epsilon_1: ε₁, added to the squared gradient; at least the smallest normal float32.
        epsilon_2: ε₂, the least RMS that a weight is taken to have.
        clip_threshold: d, the largest RMS of an update; None for no clipping.
        relative_step: Whether the rate is min(η, 1/√t) instead of η.
        scale_parameter: Whether the step is multiplied by max(ε₂, RMS(X)).
        name: Name of the optimizer.
        **base: Further arguments of ``keras.optimizers.Optimizer``.

    Raises:
        ValueError: When a hyperparameter is out of its range.

    Source: Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235, algorithms 4 to 6.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-2,
        beta_1: float = 0.0,
        decay_rate: float = 0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float | None = 1.0,
        relative_step: bool = True,
        scale_parameter: bool = True,
        name: str = "adafactor",
        **base: Any,
    ) -> None:
        super().__init__(learning_rate=require_learning_rate(learning_rate), name=name, **base)
        self.beta_1 = require_between("beta_1", beta_1, 0.0, 1.0, high_included=False)
        self.decay_rate = require_between("decay_rate", decay_rate, 0.0, 1.0, low_included=False)
        self.epsilon_1 = require_between("epsilon_1", epsilon_1, SMALLEST_NORMAL)
        self.epsilon_2 = require_between("epsilon_2", epsilon_2, 0.0)
        self.clip_threshold = clip_threshold
        if clip_threshold is not None:
            require_between("clip_threshold", clip_threshold, 0.0, low_included=False)
        self.relative_step = relative_step
        self.scale_parameter = scale_parameter

    def build(self, variables: list) -> None:
        if self.built:
            return
        super().build(variables)
        self._second_moments = [self._build_second_moments(v) for v in variables]
        self._momentums = (
            self.add_optimizer_variables(variables, "momentum") if self.beta_1 else None
        )

    def _build_second_moments(self, variable: Any) -> list:
        dtype = accumulation_dtype(keras.backend.standardize_dtype(variable.dtype))
        shapes = factor_shapes(variable.shape)
        names = ("row", "column") if len(shapes) == 2 else ("velocity",)
        return [
            self.add_variable(shape, dtype=dtype, name=f"{variable.name}_{name}")
            for shape, name in zip(shapes, names, strict=True)
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
        dtype = self._second_moments[index][0].dtype
        x = ops.cast(ops.convert_to_tensor(variable), dtype)
        u = self._clipped(self._normalised(ops.cast(dense(gradient), dtype), index))
        update = self._smoothed(self._step_size(x, learning_rate) * u, index)
        self.assign(variable, ops.cast(x - update, variable.dtype))

    def _normalised(self, g: Any, index: int) -> Any:
        moments = self._second_moments[index]
        squares = ops.square(g) + self.epsilon_1
        new = self._new(g.dtype)
        averages = []
        for moment in moments:
            average = (1.0 - new) * moment + new * _mean_to(squares, moment.shape)
            self.assign(moment, average)
            averages.append(average)
        if len(averages) == 1:
            return g / ops.sqrt(averages[0])
        row, column = averages
        row_scale = ops.sqrt(ops.mean(row, axis=-2, keepdims=True)) / ops.sqrt(row)
        return g * row_scale / ops.sqrt(column)

    def _clipped(self, u: Any) -> Any:
        if self.clip_threshold is None:
            return u
        return u / ops.maximum(1.0, _rms(u) / self.clip_threshold)

    def _new(self, dtype: Any) -> Any:
        """Return 1 - β̂₂ₜ."""
        return ops.power(ops.cast(self.iterations + 1, dtype), -self.decay_rate)

    def _rho(self, learning_rate: Any, dtype: Any) -> Any:
        rho = ops.cast(learning_rate, dtype)
        if self.relative_step:
            rho = ops.minimum(rho, ops.rsqrt(ops.cast(self.iterations + 1, dtype)))
        return rho

    def _step_size(self, x: Any, learning_rate: Any) -> Any:
        rho = self._rho(learning_rate, x.dtype)
        return rho * ops.maximum(_rms(x), self.epsilon_2) if self.scale_parameter else rho

    def _smoothed(self, update: Any, index: int) -> Any:
        if self._momentums is None:
            return update
        slot = self._momentums[index]
        m = self.beta_1 * ops.cast(slot, update.dtype) + (1.0 - self.beta_1) * update
        self.assign(slot, ops.cast(m, slot.dtype))
        return m

    def get_config(self) -> dict[str, Any]:
        own = {
            "beta_1": self.beta_1,
            "decay_rate": self.decay_rate,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
            "scale_parameter": self.scale_parameter,
        }
        return {**super().get_config(), **own}


def _rms(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


def _mean_to(x: Any, shape: Sequence[int]) -> Any:
    """Return the mean over every axis along which ``shape`` is 1, axes kept."""
    return ops.mean(x, axis=_ones(shape), keepdims=True) if _ones(shape) else x
