"""Adafactor, fused over all variables; formula and plain form are those of kernels/adafactor.py."""

from typing import Any

import keras

from keras_ab.kernels import adafactor
from keras_ab.kernels.native.fused import FusedUpdate
from keras_ab.kernels.require import require


@keras.saving.register_keras_serializable("keras_ab.native")
class Adafactor(FusedUpdate, adafactor.Adafactor):
    """Adafactor with one kernel call a step.

    Keras 3.15.1's own keeps a slot of the variable's size beside R and C, and gives NaN for a
    gradient with a zero row and a zero column; this one does neither.

    Args:
        *args: Arguments of ``kernels.adafactor.Adafactor``.
        **kwargs: The same by name.

    Raises:
        ValueError: As there, or for what the kernel does not compute.
    """

    target = "kab_adafactor"
    slots_in_place = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        left_out = self.beta_1, self.scale_parameter, self.clip_threshold is None
        require(
            left_out == (0.0, True, False),
            "The fused Adafactor must have beta_1=0, scale_parameter=True and a clip_threshold.",
            (self.beta_1, self.scale_parameter, self.clip_threshold),
            "Use kernels.adafactor.Adafactor.",
        )

    def kernel_scalars(self, learning_rate: Any) -> list[Any]:
        """Return ρ_t and 1 - β̂₂ₜ."""
        return [self._rho(learning_rate, "float32"), self._new("float32")]

    def kernel_slots(self, index: int) -> list[Any]:
        """Return R and C, or V."""
        return self._second_moments[index]

    def kernel_attributes(self) -> dict[str, float]:
        """Return ε₁, ε₂ and d."""
        names = "epsilon_1", "epsilon_2", "clip_threshold"
        return {name: getattr(self, name) for name in names}
