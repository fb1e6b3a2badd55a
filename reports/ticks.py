"""Round numbers to name along a scale."""

from __future__ import annotations

import math

STEPS = (1, 2, 5, 10)


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Return the round numbers between two, evenly apart and at most `most` steps of them."""
    if not 0 < high - low < math.inf:
        return [low]
    least = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(least))
    step = next(n * unit for n in STEPS if n * unit >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]
