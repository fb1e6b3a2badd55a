"""Schedules by name: how a learning rate moves from step to step."""

from __future__ import annotations

from typing import Any

SCHEDULES = ("constant", "triangular", "triangular2", "cosine")

LOWEST = 0.25
"""Lower bound of a cyclical rate, as a share of the upper.

Source: L. N. Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3: a third or a fourth.
"""

CYCLES = 3
"""Cycles in a training. Same source, section 3.2: three train well, more go on improving."""


def learning_rate(name: str, highest: float, steps: int) -> Any:
    """Return a rate: a number, or a schedule of so many steps whose highest rate it is.

    ``triangular`` and ``triangular2`` go through three cycles, ``cosine`` decays to zero.
    """
    if name == "constant":
        return highest
    if name == "cosine":
        import keras

        return keras.optimizers.schedules.CosineDecay(highest, steps)
    from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate

    return CyclicalLearningRate(LOWEST * highest, highest, steps // (2 * CYCLES), policy=name)
