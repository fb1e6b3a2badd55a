"""Adaptive gradient clipping around any optimizer.

Source: A. Brock, S. De, S. L. Smith, K. Simonyan, "High-Performance Large-Scale Image Recognition
Without Normalization", 2021, https://arxiv.org/abs/2102.06171, section 4.1, equation 3.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.plain_tensor import dense
from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between

NOT_ON_THE_INNER_OPTIMIZER = ("gradient_accumulation_steps", "loss_scale_factor")


def unit_axes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the axes over which one unit's norm is taken, for each weight of a model by its path.

    A unit is one output of a layer, and its axes are the layer's inputs: the first of a
    ``(inputs, outputs)`` matrix, all but the last of a convolution's kernel, all but the last two
    of a depthwise one, all but the last but one of a transposed one, and what an ``EinsumDense``
    sums over, as in attention's projections. A bias, a gain or a scalar is one unit as a whole.

    Args:
        model: A built model.

    Raises:
        ValueError: When weights of different layers have one path, and units along other axes.
    """
    found: dict[str, tuple[int, ...]] = {}
    owned = ((layer, v) for layer in model._flatten_layers() for v in layer._trainable_variables)
    for layer, variable in owned:
        if len(variable.shape) > 1:
            axes = _axes_in(layer, variable)
            require(
                found.setdefault(variable.path, axes) == axes,
                "Weights with units along different axes must have different paths.",
                (variable.path, found[variable.path], axes),
                "Name their layers.",
            )
    return found


def _axes_in(layer: Any, variable: Any) -> tuple[int, ...]:
    rank = len(variable.shape)
    if variable.name in WHOLE:
        return tuple(range(rank))
    if isinstance(layer, keras.layers.EinsumDense) and variable is layer._kernel:
        return _summed(layer.equation)
    if "depthwise" in variable.name or isinstance(layer, DEPTHWISE):
        return tuple(range(rank - 2))
    if isinstance(layer, TRANSPOSED):
        return (*range(rank - 2), rank - 1)
    return tuple(range(rank - 1))


WHOLE = ("bias", "gamma", "beta", "alpha", "gain", "scale")
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def _summed(equation: str) -> tuple[int, ...]:
    """Return the axes of an einsum's second operand that the result lacks."""
    operands, result = equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1]
    return tuple(axis for axis, letter in enumerate(kernel) if letter not in result)


def axes_by_rank(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of one unit up to rank 2, where the shape alone says them.

    Raises:
        ValueError: From rank 3 on: a convolution's kernel and an attention's projection look alike.
    """
    require(
        len(shape) < 3,
        "The axes of a kernel's units must be given from rank 3 on.",
        tuple(shape),
        "Pass axes=unit_axes(model).",
    )
    return (0,) * (len(shape) > 0)


def reference_clipped(
    gradient: np.ndarray,
    weight: np.ndarray,
    clipping: float = 0.01,
    epsilon: float = 1e-3,
    axes: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Clip unit by unit, as equation 3 reads.

        G_i ← λ max(‖W_i‖, ε) / ‖G_i‖ · G_i    where ‖G_i‖ / max(‖W_i‖, ε) > λ

    Args:
        gradient: G, any shape.
        weight: W, of G's shape.
        clipping: λ.
        epsilon: ε.
        axes: Over which a unit's norm is taken; ``axes_by_rank`` where it is None.

    Returns:
        The clipped gradient, float64, of G's shape.
    """
    g, w = np.asarray(gradient, np.float64), np.asarray(weight, np.float64)
    axes = axes_by_rank(g.shape) if axes is None else axes
    with np.errstate(all="ignore"):
        norm, w_norm = (np.sqrt(np.sum(x * x, axis=axes, keepdims=True)) for x in (g, w))
        largest = clipping * np.maximum(w_norm, epsilon)
        return g * np.where(norm > largest, largest / norm, 1.0)


UNIT = 2.0**-50
"""What a gradient at its limit is scaled to before it is squared.

Squares then overflow from 10^34 of the limit on, not from 10^19; what underflows is below 10^-4 of
it. Dividing by the largest element instead would take two more passes over weight and gradient.
"""


def unitwise_norm(x: Any, axes: tuple[int, ...]) -> Any:
    """Return the Frobenius norm over the axes, axes kept."""
    if not axes:
        return ops.abs(x)
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


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
        axes: The axes over which a unit's norm is taken, by the end of the weight's ``path``, as
            ``unit_axes(model)`` gives them; needed for weights of rank 3 and more.
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
        axes: Mapping[str, Sequence[int]] | None = None,
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
        self.axes = {path: tuple(own) for path, own in (axes or {}).items()}

    def build(self, variables: list) -> None:
        if self.built:
            return
        self._require_known_names(variables)
        for variable in variables:
            self._axes_of(variable)
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
        require_one_replica()
        clipped = [self.clipped(g, v) for g, v in zip(grads, trainable_variables, strict=True)]
        self.inner_optimizer.apply(clipped, trainable_variables)

    def clipped(self, gradient: Any, variable: Any) -> Any:
        """Return the gradient as the inner optimizer gets it.

        Args:
            gradient: Gradient of the weight's shape.
            variable: The weight, with its ``path``.
        """
        gradient = dense(gradient)
        if self._is_left(variable):
            return gradient
        dtype = accumulation_dtype(keras.backend.standardize_dtype(variable.dtype))
        axes = self._axes_of(variable)
        g, w = ops.cast(gradient, dtype), ops.cast(ops.convert_to_tensor(variable), dtype)
        largest = self.clipping * ops.maximum(unitwise_norm(w, axes), self.epsilon)
        excess = unitwise_norm(g * (UNIT / largest), axes)
        scale = ops.where(excess > UNIT, UNIT / excess, ops.ones_like(excess))
        return ops.cast(g * scale, gradient.dtype)

    def _axes_of(self, variable: Any) -> tuple[int, ...]:
        if self._is_left(variable):
            return ()
        path = f"/{variable.path}"
        ends = [end for end in self.axes if path.endswith(f"/{end}")]
        if not ends:
            return axes_by_rank(variable.shape)
        own, rank = self.axes[max(ends, key=len)], len(variable.shape)
        require(
            all(-rank <= axis < rank for axis in own),
            f"axes of {variable.path} must be axes of its shape, {tuple(variable.shape)}.",
            own,
            "Pass axes=unit_axes(model).",
        )
        return tuple(sorted({axis % rank for axis in own}))

    def _is_left(self, variable: Any) -> bool:
        """Whether there is nothing to clip."""
        if 0 in variable.shape:
            return True
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
            "axes": {path: list(own) for path, own in self.axes.items()},
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


def require_one_replica() -> None:
    """Raise under a ``tf.distribute`` strategy with several replicas."""
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
