"""What one step has to do, however it is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepWork:
    """What one step has to do, however it is done.

    Args:
        flop: floating-point operations of its matrix products and convolutions, by the type of
            what is multiplied. A multiplication and an addition are two; taps on padding are none.
        least_bytes: of all that goes into the step, read once, and all that comes out, written
            once; what is made on the way may stay in a cache.
    """

    flop: dict[str, float]
    least_bytes: float

    def __mul__(self, times: int) -> StepWork:
        """Return the work of doing it several times."""
        flop = {kind: times * count for kind, count in self.flop.items()}
        return StepWork(flop, times * self.least_bytes)
