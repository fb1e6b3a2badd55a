"""Adafactor with a truly sublinear state, fused over all variables."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native.fused import FusedUpdate


def reference(
    w: np.ndarray,
    r: np.ndarray,
    c: np.ndarray | None,
    g: np.ndarray,
    *,
    rho: float,
    decay: float,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 1e-3,
    clip_threshold: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Compute one step in float64.

    Formula: R = (1−δ)R + δ mean_cols(G²+ε₁); C = (1−δ)C + δ mean_rows(G²+ε₁);
    V = R C / mean(R); U = G/√V; W = W − max(ε₂, RMS(W)) ρ U / max(1, RMS(U)/d). Means stand for
    the paper's sums: V is the same. Below rank 2, V = (1−δ)V + δ(G²+ε₁).

    Args:
        w: The variable; from rank 2 on, the last two axes are factored, the others are a stack.
        r: (..., rows), or V itself below rank 2.
        c: (..., cols), or None below rank 2.
        g: The gradient.
        rho: ρ_t.
        decay: δ = 1 − β̂₂,t = t^(−0.8).
        epsilon_1: ε₁.
        epsilon_2: ε₂.
        clip_threshold: d.

    Returns:
        (w, r, c) after the step, float64.

    Source: Shazeer and Stern (2018), Adafactor: Adaptive Learning Rates with Sublinear Memory
    Cost, https://arxiv.org/abs/1804.04235, Algorithms 4 to 6.
    """
    w, r, g = (np.asarray(x, np.float64) for x in (w, r, g))
    if not w.size:
        return w, r, c
    with np.errstate(all="ignore"):
        square = g * g + epsilon_1
        if c is None:
            r = (1 - decay) * r + decay * square
            v = r
        else:
            r = (1 - decay) * r + decay * square.mean(axis=-1)
            c = (1 - decay) * np.asarray(c, np.float64) + decay * square.mean(axis=-2)
            v = r[..., None] * c[..., None, :] / r.mean(axis=-1)[..., None, None]
        u = g / np.sqrt(v)
        scale = np.maximum(epsilon_2, _rms(w)) * rho / np.maximum(1, _rms(u) / clip_threshold)
        return w - scale * u, r, c


def _rms(x: np.ndarray) -> float:
    return math.sqrt(np.mean(x * x))


@keras.saving.register_keras_serializable("keras_ab.native")
class Adafactor(FusedUpdate, keras.optimizers.Adafactor):
    """Adafactor with Keras' arguments and the paper's memory.

    Keras 3.15.1's own keeps a slot of the variable's size beside R and C, and gives NaN for a
    gradient with a zero row and a zero column; this one does neither. R and C are float32.
    """

    target = "kab_adafactor"
    slots_in_place = False

    def build(self, variables: list[Any]) -> None:
        """Make R and C, or V below rank 2."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)  # not Adafactor's: its slot is full-size
        self._factors = [self._make_factors(v) for v in variables]

    def _make_factors(self, variable: Any) -> list[Any]:
        shape = tuple(variable.shape)
        shapes = {"v": shape} if len(shape) < 2 else {"r": shape[:-1], "c": shape[:-2] + shape[-1:]}
        return [
            self.add_variable(each, dtype="float32", name=f"{variable.name}_{name}")
            for name, each in shapes.items()
        ]

    def _decay(self) -> Any:
        step = ops.cast(self.iterations + 1, "float32")
        return ops.power(step, ops.cast(self.beta_2_decay, "float32"))

    def _rho(self, learning_rate: Any) -> Any:
        """Return ρ_t = min(lr, 1/√t), as Keras does; its relative_step changes nothing more."""
        step = ops.cast(self.iterations + 1, "float32")
        return ops.minimum(ops.cast(learning_rate, "float32"), 1 / ops.sqrt(step))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one variable's step in plain operations."""
        factors = self._factors[self._get_variable_index(variable)]
        g, w = ops.cast(gradient, "float32"), ops.cast(variable, "float32")
        square, decay = g * g + self.epsilon_1, self._decay()
        axes = [-1, -2] if len(factors) == 2 else [None]
        new = [
            (1 - decay) * f + decay * (square if axis is None else ops.mean(square, axis=axis))
            for f, axis in zip(factors, axes, strict=True)
        ]
        u = g * _inverse_root(new)
        rms = [ops.sqrt(ops.mean(x * x)) for x in (w, u)]
        scale = ops.maximum(self.epsilon_2, rms[0]) * self._rho(learning_rate)
        scale = scale / ops.maximum(1.0, rms[1] / self.clip_threshold)
        for factor, value in zip(factors, new, strict=True):
            self.assign(factor, value)
        self.assign(variable, ops.cast(w - scale * u, variable.dtype))

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return ρ_t and δ_t."""
        return [self._rho(learning_rate), self._decay()]

    def kernel_slots(self, index: int) -> list[Any]:
        """Return R and C, or V."""
        return self._factors[index]

    def kernel_attributes(self) -> dict[str, float]:
        """Return ε₁, ε₂ and d."""
        return {
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
        }


def _inverse_root(factors: list[Any]) -> Any:
    """Return 1/√V, never through V: its product of two small factors underflows to 0."""
    if len(factors) == 1:
        return 1 / ops.sqrt(factors[0])
    r, c = factors
    rows = ops.sqrt(ops.mean(r, axis=-1, keepdims=True)) / ops.sqrt(r)
    return rows[..., None] * (1 / ops.sqrt(c))[..., None, :]
