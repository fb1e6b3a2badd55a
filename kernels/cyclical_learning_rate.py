"""A learning rate that goes up and down between two bounds.

Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2015,
https://arxiv.org/abs/1506.01186, section 3.1.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_ab.kernels.require import require, require_between

POLICIES = ("triangular", "triangular2", "exp_range")


def reference_learning_rate(
    iteration: int,
    base_lr: float,
    max_lr: float,
    stepsize: int,
    policy: str = "triangular",
    gamma: float = 1.0,
) -> float:
    """Return the rate of one iteration.

        cycle = ⌊1 + iteration / (2 stepsize)⌋
        x     = |iteration / stepsize - 2 cycle + 1|
        lr    = base_lr + (max_lr - base_lr) max(0, 1 - x) scale
        scale = 1 (triangular), 2^(1 - cycle) (triangular2), γ^iteration (exp_range)

    Args:
        iteration: Steps taken so far.
        base_lr: Lower bound.
        max_lr: Upper bound of the first cycle.
        stepsize: Iterations in half a cycle.
        policy: One of ``POLICIES``.
        gamma: γ of exp_range.
    """
    cycle = math.floor(1 + iteration / (2 * stepsize))
    x = abs(iteration / stepsize - 2 * cycle + 1)
    scale = {"triangular": 1.0, "triangular2": 2.0 ** (1 - cycle), "exp_range": gamma**iteration}
    return base_lr + (max_lr - base_lr) * max(0.0, 1 - x) * scale[policy]


@keras.saving.register_keras_serializable(package="keras_ab")
class CyclicalLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Vary the rate as ``reference_learning_rate`` does.

    The position in the cycle is an integer remainder, so it is exact after any number of steps.

    Args:
        base_lr: Lower bound.
        max_lr: Upper bound of the first cycle.
        stepsize: Iterations in half a cycle; the paper advises 2 to 10 epochs' worth.
        policy: ``"triangular"``, ``"triangular2"`` (the range halves after each cycle) or
            ``"exp_range"`` (the range shrinks by γ each iteration).
        gamma: γ in (0, 1].

    Raises:
        ValueError: When an argument is out of its range.

    Source: Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.1.
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        stepsize: int,
        policy: str = "triangular",
        gamma: float = 1.0,
    ) -> None:
        self.base_lr = require_between("base_lr", base_lr, 0.0)
        self.max_lr = require_between("max_lr", max_lr, self.base_lr)
        self.gamma = require_between("gamma", gamma, 0.0, 1.0, low_included=False)
        require(
            isinstance(stepsize, int) and stepsize > 0,
            "stepsize must be a positive whole number of iterations.",
            stepsize,
            "Pass half the iterations of a cycle as an int.",
        )
        require(
            policy in POLICIES,
            f"policy must be one of {POLICIES}.",
            policy,
            "Pass 'triangular' for a range that stays.",
        )
        self.stepsize = stepsize
        self.policy = policy

    def __call__(self, step: Any) -> Any:
        """Return the rate, a float32 scalar.

        Args:
            step: Steps taken so far, a scalar.
        """
        step = ops.cast(ops.convert_to_tensor(step), "int32")
        phase = ops.cast(ops.mod(step, 2 * self.stepsize), "float32")
        height = 1.0 - ops.abs(phase / self.stepsize - 1.0)
        return self.base_lr + (self.max_lr - self.base_lr) * height * self._scale(step)

    def _scale(self, step: Any) -> Any:
        if self.policy == "triangular2":
            cycle = ops.cast(ops.floor_divide(step, 2 * self.stepsize), "float32")
            return ops.power(0.5, cycle)
        if self.policy == "exp_range":
            return ops.exp(math.log(self.gamma) * ops.cast(step, "float32"))
        return 1.0

    def get_config(self) -> dict[str, Any]:
        return {
            "base_lr": self.base_lr,
            "max_lr": self.max_lr,
            "stepsize": self.stepsize,
            "policy": self.policy,
            "gamma": self.gamma,
        }
