"""Adaptive clipping, fused over all variables.

Formula and plain form are those of kernels/adaptive_gradient_clipping.py.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_ab.kernels.adaptive_gradient_clipping import (
    AdaptiveGradientClipping,
    require_one_replica,
)
from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, unconverted
from keras_ab.kernels.native.fused import check_variables, compiled
from keras_ab.kernels.native.stablehlo import Tensor
from keras_ab.kernels.plain_tensor import dense
from keras_ab.kernels.require import require


@keras.saving.register_keras_serializable("keras_ab.native")
class AdaptiveClip(AdaptiveGradientClipping):
    """Clip all gradients with one kernel call, then let any Keras optimizer take its step.

    With native kernels both run in one jit-compiled function: XLA then fuses the product with the
    factors into the inner optimizer's update.

    Args:
        *args: Arguments of ``kernels.adaptive_gradient_clipping.AdaptiveGradientClipping``.
        **kwargs: The same by name.

    Raises:
        ValueError: As there, or when the inner optimizer's learning rate is a Python function: in a
            compiled step it would be called once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rate = self.inner_optimizer._learning_rate
        require(
            isinstance(rate, keras.Variable | keras.optimizers.schedules.LearningRateSchedule),
            "inner_optimizer's learning_rate must be a number or a schedule, as its step is "
            "compiled.",
            rate,
            "Pass a LearningRateSchedule, or use AdaptiveGradientClipping.",
        )

    @unconverted
    def _backend_update_step(self, grads: list, trainable_variables: list, rate: Any) -> None:
        if not switch.native():
            super()._backend_update_step(grads, trainable_variables, rate)
            return
        require_one_replica()
        check_variables(trainable_variables)
        gradients = [dense(g) for g in grads]
        compiled(self, "_kernel_step", trainable_variables, self._step)(gradients)

    def _step(self, variables: list[Any], gradients: list[Any]) -> None:
        chosen = [i for i, v in enumerate(variables) if not self._is_left(v)]
        factors = self._factors([(variables[i], gradients[i]) for i in chosen])
        clipped = list(gradients)
        for i, factor in zip(chosen, factors, strict=True):
            g = gradients[i]
            clipped[i] = ops.cast(ops.cast(g, "float32") * factor, g.dtype)
        self.inner_optimizer.apply(clipped, variables)

    def _factors(self, pairs: list[tuple[Any, Any]]) -> list[Any]:
        """Return a factor for each unit, of a shape that multiplies the gradient."""
        if not pairs:
            return []
        axes = [self._axes_of(v) for v, _ in pairs]
        operands = [
            _inputs_first(ops.cast(x, v.dtype), own)
            for (v, g), own in zip(pairs, axes, strict=True)
            for x in (ops.convert_to_tensor(v), g)
        ]
        shapes = [_kept(v.shape, own) for (v, _), own in zip(pairs, axes, strict=True)]
        results = [Tensor((math.prod(shape),), "float32") for shape in shapes]
        attributes = {"clipping": self.clipping, "epsilon": self.epsilon}
        factors = call(Request("kab_adaptive_clip", operands, results, attributes))
        return [ops.reshape(f, shape) for f, shape in zip(factors, shapes, strict=True)]


def _inputs_first(x: Any, axes: tuple[int, ...]) -> Any:
    """Return the tensor as the kernel goes through it: a transposed convolution's is turned."""
    order = [*axes, *(axis for axis in range(len(x.shape)) if axis not in axes)]
    return x if order == sorted(order) else ops.transpose(x, order)


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))
