"""What the fused optimizers share: one kernel call that updates every variable."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ab.kernels.native import switch
from keras_ab.kernels.native.call import Request, call, unconverted
from keras_ab.kernels.native.stablehlo import Tensor
from keras_ab.kernels.plain_tensor import SumsRows, dense

DTYPES = ("float32", "bfloat16", "float16")


class FusedUpdate(SumsRows):
    """A mixin, before a Keras optimizer, that replaces its step by one call of a kernel.

    The class that mixes it in keeps its own `update_step`, which is the reference. Clipping,
    weight decay, moving averages, accumulation and loss scaling stay Keras' own.

    The kernel takes its scalars, then for each variable the variable, its slots and its gradient;
    it gives each variable and its slots anew.
    """

    target = ""
    # Slots that are updated in place; those of the others are read after they are written.
    slots_in_place = True

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return the scalar operands, float32, computed from Keras' variables."""
        raise NotImplementedError

    def kernel_slots(self, index: int) -> list[Any]:
        """Return the optimizer variables of the trainable variable `index`, in kernel order."""
        raise NotImplementedError

    def kernel_attributes(self) -> dict[str, float]:
        """Return the constants of the kernel."""
        raise NotImplementedError

    @unconverted
    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        if not switch.native():
            super()._backend_update_step(grads, trainable_variables, learning_rate)  # type: ignore[misc]
            return
        check_variables(trainable_variables)
        pairs = [
            (v, keras.ops.cast(dense(g), v.dtype))
            for g, v in zip(grads, trainable_variables, strict=True)
            if 0 not in v.shape
        ]
        variables, gradients = [v for v, _ in pairs], [g for _, g in pairs]
        scalars = [keras.ops.cast(s, "float32") for s in self.kernel_scalars(learning_rate)]
        compiled(self, "_kernel_step", variables, self._update)(scalars, gradients)

    def _update(self, variables: list[Any], scalars: list[Any], gradients: list[Any]) -> None:
        """Call the kernel on all variables and assign what it gives."""
        layout = _Layout(len(scalars))
        operands, written = list(scalars), []
        for variable, gradient in zip(variables, gradients, strict=True):
            slots = self.kernel_slots(self._get_variable_index(variable))  # type: ignore[attr-defined]
            own = [variable, *slots]
            operands += [*(keras.ops.convert_to_tensor(v) for v in own), gradient]
            written += own
            layout.add(len(own), in_place=len(own) if self.slots_in_place else 1)
        results = [Tensor(tuple(v.shape), v.dtype) for v in written]
        request = Request(
            self.target, operands, results, self.kernel_attributes(), tuple(layout.aliases)
        )
        for variable, value in zip(written, call(request), strict=True):
            variable.assign(value)


class _Layout:
    """Counts operands and results, and pairs those that share memory."""

    def __init__(self, scalars: int) -> None:
        self.operand, self.result = scalars, 0
        self.aliases: list[tuple[int, int]] = []

    def add(self, own: int, in_place: int) -> None:
        self.aliases += [(self.operand + i, self.result + i) for i in range(in_place)]
        self.operand += own + 1
        self.result += own


class _Held:
    """Keeps a compiled function out of sight of TensorFlow's tracking, which would export it."""

    def __init__(self, key: tuple[int, ...], function: Any) -> None:
        self.key, self.function = key, function


def compiled(owner: Any, name: str, variables: list[Any], update: Any) -> Any:
    """Return `update` with its variables bound; on TensorFlow as a jit-compiled function.

    Outside jit TensorFlow copies a variable on its way into a kernel (2.5 times the step at 25 M
    parameters, 2-core x86-64); inside, the update is in place.
    """
    if keras.backend.backend() != "tensorflow":
        return lambda *inputs: update(variables, *inputs)
    import tensorflow as tf

    key = tuple(id(v) for v in variables)
    held = owner.__dict__.get(name)
    if held is None or held.key != key:
        bound = tf.function(
            lambda *inputs: update(variables, *inputs), jit_compile=True, autograph=False
        )
        held = _Held(key, bound)
        object.__setattr__(owner, name, held)
    return held.function


def check_variables(variables: Sequence[Any]) -> None:
    """Raise where a fused update cannot serve these variables, before anything is traced."""
    for variable in variables:
        if variable.dtype not in DTYPES:
            raise TypeError(
                f"A fused update needs variables of {', '.join(DTYPES)}; got {variable.dtype} for "
                f"{variable.path}; use the stock optimizer"
            )
    if keras.backend.backend() == "tensorflow":
        _refuse_distribution()


def _refuse_distribution() -> None:
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        raise NotImplementedError(
            f"A fused update needs one replica; got a tf.distribute strategy of {replicas}; "
            'use the stock optimizer, or kernels.use("reference")'
        )
