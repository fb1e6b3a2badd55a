"""Adaptive gradient clipping, fused over all variables."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, unconverted
from keras_ab.kernels.native.fused import check_variables, compiled, dense
from keras_ab.kernels.native.stablehlo import Tensor


def unit_axes(rank: int) -> tuple[int, ...]:
    """Return the axes that one output unit's norm runs over.

    A vector or scalar is one unit; rank 2 and 3 project the first axis; a convolution kernel
    projects all axes but the last. By rank, not after a squeeze: a 1×1×1×N kernel is a kernel.
    """
    if rank < 2:
        return tuple(range(rank))
    return (0,) if rank < 4 else tuple(range(rank - 1))


def unit_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the units' norms, with the axes kept that they run over."""
    axes = unit_axes(len(shape))
    return tuple(1 if axis in axes else d for axis, d in enumerate(shape))


def reference(
    w: np.ndarray, g: np.ndarray, *, clipping: float = 0.01, epsilon: float = 1e-3
) -> np.ndarray:
    """Compute the clipped gradient in float64.

    Formula: for each unit i, G_i λ max(‖W_i‖, ε)/‖G_i‖ where ‖G_i‖ > λ max(‖W_i‖, ε), else G_i.

    Args:
        w: The variable, any shape.
        g: Its gradient.
        clipping: λ.
        epsilon: ε, which keeps zero weights trainable.

    Source: Brock, De, Smith and Simonyan (2021), High-Performance Large-Scale Image Recognition
    Without Normalization, https://arxiv.org/abs/2102.06171, equation 3.
    """
    w, g = np.asarray(w, np.float64), np.asarray(g, np.float64)
    axes = unit_axes(w.ndim)
    with np.errstate(all="ignore"):
        limit = clipping * np.maximum(_norm(w, axes), epsilon)
        norm = _norm(g, axes)
        return g * np.where(norm > limit, limit / norm, 1.0)


def _norm(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.sqrt(np.sum(x * x, axis=axes, keepdims=True))


@keras.saving.register_keras_serializable("keras_ab.native")
class AdaptiveClip(keras.optimizers.Optimizer):
    """A wrapper that clips adaptively, then lets any Keras optimizer take its step.

    Args:
        optimizer: The optimizer inside.
        clipping: λ.
        epsilon: ε.
        exclude: Variables whose path holds one of these strings are not clipped; the paper leaves
            out the last linear layer.
    """

    def __init__(
        self,
        optimizer: Any,
        clipping: float = 0.01,
        epsilon: float = 1e-3,
        exclude: tuple[str, ...] = (),
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Wrap `optimizer`; further arguments are Keras' own and concern only the wrapper.

        Raises:
            ValueError: clipping or epsilon is not positive.
        """
        if clipping <= 0 or epsilon <= 0:
            raise ValueError(
                f"clipping and epsilon must be positive; got {clipping} and {epsilon}; "
                "the paper has 0.01 and 0.001"
            )
        kwargs.pop("learning_rate", None)
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        self.inner_optimizer = keras.optimizers.get(optimizer)
        self.clipping, self.epsilon, self.exclude = clipping, epsilon, tuple(exclude)

    def build(self, variables: list[Any]) -> None:
        """Build the optimizer inside; the wrapper keeps nothing."""
        if self.built:
            return
        super().build(variables)
        self.inner_optimizer.build(variables)

    @property
    def variables(self) -> list[Any]:
        """The wrapper's variables and the inner optimizer's."""
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @unconverted
    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Clip, then apply.

        With native kernels both run in one jit-compiled function: XLA then fuses the product with
        the factors into the inner optimizer's update.
        """
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        if not self.built:
            self.build(variables)
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        present, own = [dense(g) for g, _ in pairs], [v for _, v in pairs]
        if switch.native():
            check_variables(own)
            compiled(self, "_kernel_step", own, self._step)(present)
        else:
            self._step(own, present)
        self._iterations.assign_add(1)

    def _step(self, variables: list[Any], gradients: list[Any]) -> None:
        self.inner_optimizer.apply(self.clipped(gradients, variables), variables)

    def clipped(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        """Return the gradients, clipped but for the excluded variables."""
        chosen = [
            i
            for i, v in enumerate(variables)
            if 0 not in v.shape and not any(part in v.path for part in self.exclude)
        ]
        own = [variables[i] for i in chosen]
        held = [ops.cast(gradients[i], variables[i].dtype) for i in chosen]
        clipped = list(gradients)
        for i, g, factor in zip(chosen, held, self._factors(own, held), strict=True):
            clipped[i] = ops.cast(ops.cast(g, "float32") * factor, g.dtype)
        return clipped

    def _factors(self, variables: list[Any], gradients: list[Any]) -> list[Any]:
        """Return a factor for each unit, of a shape that multiplies the gradient."""
        if not variables:
            return []
        pairs = list(zip(variables, gradients, strict=True))
        if not switch.native():
            return [self._plain(v, g) for v, g in pairs]
        operands = [x for v, g in pairs for x in (ops.convert_to_tensor(v), g)]
        shapes = [unit_shape(tuple(v.shape)) for v in variables]
        results = [Tensor(shape, "float32") for shape in shapes]
        attributes = {"clipping": self.clipping, "epsilon": self.epsilon}
        return call(Request("kab_adaptive_clip", operands, results, attributes))

    def _plain(self, variable: Any, gradient: Any) -> Any:
        w, g = ops.cast(variable, "float32"), ops.cast(gradient, "float32")
        axes = unit_axes(len(variable.shape))
        w_norm, norm = (ops.sqrt(ops.sum(x * x, axis=axes, keepdims=True)) for x in (w, g))
        limit = self.clipping * ops.maximum(w_norm, self.epsilon)
        return ops.where(norm > limit, limit / ops.where(norm > limit, norm, 1.0), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the wrapper and the optimizer inside."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "clipping": self.clipping,
            "epsilon": self.epsilon,
            "exclude": list(self.exclude),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "AdaptiveClip":
        """Rebuild both."""
        inner = keras.saving.deserialize_keras_object(config.pop("optimizer"), custom_objects)
        return cls(inner, **config)
