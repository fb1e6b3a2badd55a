"""SM3-II, fused over all variables; formula and plain form are those of kernels/sm3.py."""

from typing import Any

import keras

from keras_ab.kernels import sm3
from keras_ab.kernels.native.fused import FusedUpdate
from keras_ab.kernels.require import require

MAX_RANK = 8


@keras.saving.register_keras_serializable("keras_ab.native")
class SM3(FusedUpdate, sm3.SM3):
    """SM3-II with one kernel call a step.

    Args:
        *args: Arguments of ``kernels.sm3.SM3``.
        **kwargs: The same by name.

    Raises:
        ValueError: As there, or for SM3-I.
    """

    target = "kab_sm3"
    slots_in_place = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        require(
            self.variant == "II",
            "The fused SM3 must have variant='II'.",
            self.variant,
            "Use kernels.sm3.SM3.",
        )

    def build(self, variables: list[Any]) -> None:
        for variable in variables:
            require(
                len(variable.shape) <= MAX_RANK,
                f"A variable must have at most {MAX_RANK} axes in the fused SM3.",
                (variable.path, tuple(variable.shape)),
                "Use kernels.sm3.SM3.",
            )
        super().build(variables)

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return η."""
        return [learning_rate]

    def kernel_slots(self, index: int) -> list[Any]:
        """Return the accumulators, then the momentum."""
        return [*self._accumulators[index], *(m[index] for m in [self._momentums] if m)]

    def kernel_attributes(self) -> dict[str, float]:
        """Return β and ε."""
        return {"momentum": self.momentum, "epsilon": self.epsilon}
