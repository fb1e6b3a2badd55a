"""Adaptive gradient clipping around any optimizer.

Source: A. Brock, S. De, S. L. Smith, K. Simonyan, "High-Performance Large-Scale Image Recognition
Without Normalization", 2021, https://arxiv.org/abs/2102.06171, section 4.1, equation 3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between

NOT_ON_THE_INNER_OPTIMIZER = ("gradient_accumulation_steps", "loss_scale_factor")


def unit_axes(rank: int, depthwise: bool = False) -> tuple[int, ...]:
    """Return the axes over which one unit's norm is taken.

    A unit is one output: a column of a ``(inputs, outputs)`` matrix, one ``[..., o]`` of a
    convolution's ``(height, width, inputs, outputs)`` kernel (also when the first three are 1), one
    ``[..., i, o]`` of a depthwise kernel. A bias, a gain or a scalar is one unit as a whole.

    Args:
        rank: Number of axes of the weight.
        depthwise: Whether the last two axes are both outputs.
    """
    if rank <= 1:
        return tuple(range(rank))
    return tuple(range(rank - 2 if depthwise else rank - 1))


def reference_clipped(
    gradient: np.ndarray,
    weight: np.ndarray,
    clipping: float = 0.01,
    epsilon: float = 1e-3,
    depthwise: bool = False,
) -> np.ndarray:
    """Clip unit by unit, as equation 3 reads.

        G_i ← λ max(‖W_i‖, ε) / ‖G_i‖ · G_i    where ‖G_i‖ / max(‖W_i‖, ε) > λ

    Args:
        gradient: G, any shape.
        weight: W, of G's shape.
        clipping: λ.
        epsilon: ε.
        depthwise: Whether the last two axes are both outputs.

    Returns:
        The clipped gradient, float64, of G's shape.
    """
    g, w = np.array(gradient, np.float64), np.asarray(weight, np.float64)
    unit_rank = 0 if g.ndim <= 1 else g.ndim - len(unit_axes(g.ndim, depthwise))
    for i in np.ndindex(g.shape[g.ndim - unit_rank :]):
        unit = (..., *i)
        norm = float(np.linalg.norm(np.ravel(g[unit])))
        largest = clipping * max(float(np.linalg.norm(np.ravel(w[unit]))), epsilon)
        if norm > largest:
            g[unit] *= largest / norm
    return g


def unitwise_norm(x: Any, axes: tuple[int, ...]) -> Any:
    """Return the Frobenius norm over the axes, axes kept, without overflow of the squares."""
    if not axes:
        return ops.abs(x)
    largest = ops.max(ops.abs(x), axis=axes, keepdims=True)
    scale = ops.where(largest == 0.0, ops.ones_like(largest), largest)
    return scale * ops.sqrt(ops.sum(ops.square(x / scale), axis=axes, keepdims=True))


@keras.saving.register_keras_serializable(package="keras_ab")
class AdaptiveGradientClipping(keras.optimizers.Optimizer):
    """Clip each unit's gradient to a fraction of the unit's weights, then let an optimizer step.

    The formula is ``reference_clipped``, computed in float32 (float64 for float64 weights). What
    the inner optimizer does itself (weight decay, averaging, its own clipping) comes after it.
    Gradient accumulation and a fixed loss scale belong before it, so they are given here.

    Args:
        inner_optimizer: The optimizer that takes the step.
        exclude: Weights that are left unclipped: strings that occur in their ``path``, or a
            function from a weight to a bool. The paper leaves the final linear layer unclipped;
            pass its name. ``()`` clips everything.
        clipping: λ. The paper takes 0.01 for batches of 4096, more for smaller ones.
        epsilon: ε, the least norm that a unit is taken to have, so that zeros can grow.
        depthwise: Strings in the ``path`` of kernels whose last two axes are both outputs.
        gradient_accumulation_steps: Steps whose mean gradient is clipped and applied.
        loss_scale_factor: Factor by which the loss was multiplied; divided out before the clipping.
        name: Name of the optimizer.

    Raises:
        ValueError: When a hyperparameter is out of its range, when the inner optimizer scales the
            loss or accumulates, when a string of ``exclude`` occurs in no path.
        NotImplementedError: Under a ``tf.distribute`` strategy with several replicas.

    Source: Brock et al., 2021, https://arxiv.org/abs/2102.06171, equation 3. That a vector is one
        unit is how the authors' own training treats it; the paper speaks of a layer's rows.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        exclude: Sequence[str] | Callable[[Any], bool],
        clipping: float = 0.01,
        epsilon: float = 1e-3,
        depthwise: Sequence[str] = ("depthwise",),
        gradient_accumulation_steps: int | None = None,
        loss_scale_factor: float | None = None,
        name: str = "adaptive_gradient_clipping",
    ) -> None:
        _require_plain(inner_optimizer)
        require(
            not isinstance(exclude, str),
            "exclude must be a list of strings or a function.",
            exclude,
            "Pass the name in a list.",
        )
        super().__init__(
            learning_rate=0.0,
            gradient_accumulation_steps=gradient_accumulation_steps,
            loss_scale_factor=loss_scale_factor,
            name=name,
        )
        self.inner_optimizer = inner_optimizer
        self.exclude = exclude if callable(exclude) else tuple(exclude)
        self.clipping = require_between("clipping", clipping, 0.0, low_included=False)
        self.epsilon = require_between("epsilon", epsilon, 0.0, low_included=False)
        self.depthwise = tuple(depthwise)

    def build(self, variables: list) -> None:
        if self.built:
            return
        self._require_known_names(variables)
        self.inner_optimizer.build(variables)
        super().build(variables)

    def _require_known_names(self, variables: list) -> None:
        paths = [v.path for v in variables]
        for name in () if callable(self.exclude) else self.exclude:
            require(
                any(name in path for path in paths),
                f"Every string of exclude must occur in a weight's path, {name!r} does not.",
                paths,
                "Pass the head's layer name, or () to clip every weight.",
            )

    @property
    def variables(self) -> list:
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def finalize_variable_values(self, var_list: list) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def _backend_update_step(self, grads: list, trainable_variables: list, _: Any) -> None:
        _require_one_replica()
        clipped = [self.clipped(g, v) for g, v in zip(grads, trainable_variables, strict=True)]
        self.inner_optimizer.apply(clipped, trainable_variables)

    def clipped(self, gradient: Any, variable: Any) -> Any:
        """Return the gradient as the inner optimizer gets it.

        Args:
            gradient: Gradient of the weight's shape.
            variable: The weight, with its ``path``.
        """
        if self._is_excluded(variable) or 0 in variable.shape:
            return gradient
        gradient = ops.convert_to_tensor(gradient)
        dtype = accumulation_dtype(keras.backend.standardize_dtype(variable.dtype))
        axes = unit_axes(len(variable.shape), any(n in variable.path for n in self.depthwise))
        g = ops.cast(gradient, dtype)
        norm = unitwise_norm(g, axes)
        weight_norm = unitwise_norm(ops.cast(ops.convert_to_tensor(variable), dtype), axes)
        largest = self.clipping * ops.maximum(weight_norm, self.epsilon)
        scale = ops.where(norm > largest, largest / norm, ops.ones_like(norm))
        return ops.cast(g * scale, gradient.dtype)

    def _is_excluded(self, variable: Any) -> bool:
        if callable(self.exclude):
            return bool(self.exclude(variable))
        return any(name in variable.path for name in self.exclude)

    def get_config(self) -> dict[str, Any]:
        exclude = self.exclude
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "exclude": keras.saving.serialize_keras_object(exclude)
            if callable(exclude)
            else list(exclude),
            "clipping": self.clipping,
            "epsilon": self.epsilon,
            "depthwise": list(self.depthwise),
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "loss_scale_factor": self.loss_scale_factor,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Any:
        config = dict(config)
        for key in ("inner_optimizer", "exclude"):
            if isinstance(config[key], dict):
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        return cls(**config)


def _require_plain(optimizer: Any) -> None:
    require(
        isinstance(optimizer, keras.optimizers.Optimizer)
        and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer),
        "inner_optimizer must be a keras.optimizers.Optimizer that does not scale the loss.",
        optimizer,
        "Pass the plain optimizer here, and put LossScaleOptimizer around the clipping.",
    )
    for option in NOT_ON_THE_INNER_OPTIMIZER:
        require(
            getattr(optimizer, option) is None,
            f"inner_optimizer must have no {option}: clipping comes after it.",
            getattr(optimizer, option),
            f"Pass {option} to AdaptiveGradientClipping instead.",
        )


def _require_one_replica() -> None:
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        raise NotImplementedError(
            "The gradient must be summed over replicas before it is clipped, which this optimizer "
            f"does not do. Received: a tf.distribute strategy with {replicas} replicas. "
            "Train on one replica, or clip with the inner optimizer's global_clipnorm."
        )
