"""SM3-II, fused over all variables: Adagrad's step from one accumulator an axis."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native.fused import FusedUpdate

MAX_RANK = 8


def reference(
    w: np.ndarray,
    accumulators: list[np.ndarray],
    g: np.ndarray,
    *,
    learning_rate: float,
    m: np.ndarray | None = None,
    momentum: float = 0.0,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray | None]:
    """Compute one step in float64.

    Formula: ν(i) = min_r μ(r) + g(i)² over the slices r that hold i; step = g/√ν, 0/0 = 0;
    with momentum m = βm + (1−β)step, step = m; w = w − η step; μ(r) = max of ν over r.

    Args:
        w: The variable, any shape.
        accumulators: μ, a vector for each axis; for rank 0 and 1 one array of w's shape.
        g: The gradient.
        learning_rate: η.
        m: The momentum, of w's shape, or None.
        momentum: β.

    Returns:
        (w, accumulators, m) after the step, float64.

    Source: Anil, Gupta, Koren and Singer (2019), Memory-Efficient Adaptive Optimization,
    https://arxiv.org/abs/1901.11150, Algorithm SM3-II and section 4.
    """
    w, g = np.asarray(w, np.float64), np.asarray(g, np.float64)
    mu = [np.asarray(a, np.float64) for a in accumulators]
    with np.errstate(all="ignore"):
        nu = _minimum(mu, w.ndim) + g * g
        step = np.where(nu == 0, 0, g / np.sqrt(nu))
        if m is not None:
            m = momentum * np.asarray(m, np.float64) + (1 - momentum) * step
            step = m
        new = [nu] if w.ndim < 2 else [_maximum(nu, axis) for axis in range(w.ndim)]
        return w - learning_rate * step, new, m


def _minimum(mu: list[np.ndarray], rank: int) -> np.ndarray:
    if rank < 2:
        return mu[0]
    spread = [a.reshape([-1 if i == axis else 1 for i in range(rank)]) for axis, a in enumerate(mu)]
    low = spread[0]
    for other in spread[1:]:
        low = np.minimum(low, other)
    return low


def _maximum(nu: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(i for i in range(nu.ndim) if i != axis)
    return nu.max(axis=others) if nu.size else np.zeros(nu.shape[axis])


@keras.saving.register_keras_serializable("keras_ab.native")
class SM3(FusedUpdate, keras.optimizers.Optimizer):
    """SM3-II as a Keras optimizer; a variable (m, n) keeps m + n float32 numbers.

    Args:
        learning_rate: η, constant in the paper after a warm-up.
        momentum: β; 0 keeps no momentum.
        kwargs: Keras' own, such as weight_decay and name.
    """

    target = "kab_sm3"
    slots_in_place = False

    def __init__(self, learning_rate: Any = 0.1, momentum: float = 0.0, **kwargs: Any) -> None:
        """Keep the hyperparameters.

        Raises:
            ValueError: momentum is not in [0, 1).
        """
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); got {momentum}; 0.9 is usual")
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables: list[Any]) -> None:
        """Make the accumulators, and the momentum where it is used."""
        if self.built:
            return
        super().build(variables)
        self._accumulators = [self._make_accumulators(v) for v in variables]
        self._momentums = []
        if self.momentum:
            self._momentums = self.add_optimizer_variables(variables, "momentum")

    def _make_accumulators(self, variable: Any) -> list[Any]:
        rank = len(variable.shape)
        if rank > MAX_RANK:
            raise ValueError(
                f"SM3 takes variables of at most {MAX_RANK} axes; got {variable.path} with {rank}; "
                "reshape it"
            )
        shapes = [(d,) for d in variable.shape] if rank > 1 else [tuple(variable.shape)]
        return [
            self.add_variable(shape, dtype="float32", name=f"{variable.name}_accumulator_{axis}")
            for axis, shape in enumerate(shapes)
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one variable's step in plain operations."""
        index = self._get_variable_index(variable)
        accumulators, rank = self._accumulators[index], len(variable.shape)
        g = ops.cast(gradient, "float32")
        nu = self._spread_minimum(accumulators, rank) + g * g
        step = ops.where(nu == 0, 0.0, g / ops.sqrt(ops.where(nu == 0, 1.0, nu)))
        if self.momentum:
            m = self._momentums[index]
            step = ops.cast(m, "float32") * self.momentum + step * (1 - self.momentum)
            self.assign(m, ops.cast(step, m.dtype))
        for axis, accumulator in enumerate(accumulators):
            others = tuple(i for i in range(rank) if i != axis)
            self.assign(accumulator, ops.max(nu, axis=others) if rank > 1 else nu)
        rate = ops.cast(learning_rate, "float32")
        new = ops.cast(variable, "float32") - rate * step
        self.assign(variable, ops.cast(new, variable.dtype))

    def _spread_minimum(self, accumulators: list[Any], rank: int) -> Any:
        if rank < 2:
            return ops.convert_to_tensor(accumulators[0])
        spread = [
            ops.reshape(a, [-1 if i == axis else 1 for i in range(rank)])
            for axis, a in enumerate(accumulators)
        ]
        low = spread[0]
        for other in spread[1:]:
            low = ops.minimum(low, other)
        return low

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return η."""
        return [learning_rate]

    def kernel_slots(self, index: int) -> list[Any]:
        """Return the accumulators, then the momentum."""
        momentum = [self._momentums[index]] if self.momentum else []
        return [*self._accumulators[index], *momentum]

    def kernel_attributes(self) -> dict[str, float]:
        """Return β."""
        return {"momentum": self.momentum}

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the optimizer."""
        return {**super().get_config(), "momentum": self.momentum}
