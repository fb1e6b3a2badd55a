"""How a recipe's learning rate moves from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_ab.bench.workloads.recipe import Recipe

LOWEST = 0.25
"""Lower bound of a cyclical rate, as a share of the upper.

Source: L. N. Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3: a third or a fourth.
"""

CYCLES = 3
"""Cycles in a training. Same source, section 3.2: three train well, more go on improving."""


def learning_rate(recipe: Recipe) -> Any:
    """Return the recipe's rate: a number, or a schedule whose highest rate it is.

    ``triangular`` and ``triangular2`` go through three cycles in ``schedule_steps`` steps,
    ``cosine`` decays to zero in them.
    """
    highest, steps = recipe.learning_rate, recipe.schedule_steps
    if recipe.schedule == "constant":
        return highest
    if recipe.schedule == "cosine":
        import keras

        return keras.optimizers.schedules.CosineDecay(highest, steps)
    from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate

    return CyclicalLearningRate(
        LOWEST * highest, highest, steps // (2 * CYCLES), policy=recipe.schedule
    )
