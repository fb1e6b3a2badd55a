"""One step, looked at closely: what it has to do, where its time goes, what memory it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

CHECKED: Mapping[str, Any] = {"extra": "forbid", "allow_inf_nan": False}
"""How what is written and sent is validated: no unknown field, no NaN."""

Positive = Annotated[float, Gt(0)]
Amount = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(0)]
PositiveCount = Annotated[int, Gt(0)]

Products = Literal["tf32", "float32"]
"""How a GPU multiplies float32: inputs rounded to the 10 bits of TensorFloat-32, or whole."""


@dataclass(frozen=True)
class MemoryShare:
    """What one process may take of a device's memory."""

    bytes: PositiveCount
    of_bytes: PositiveCount

    @property
    def fraction(self) -> float:
        """The share of the whole."""
        return self.bytes / self.of_bytes


@dataclass(frozen=True)
class StepWork:
    """What one step has to do, however it is done.

    Args:
        flop: floating-point operations of its matrix products and convolutions, by the type of
            what is multiplied. A multiplication and an addition are two; taps on padding are none.
        least_moved_bytes: of all that goes into the step, read once, and all that comes out,
            written once; what is made on the way may stay in a cache.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    flop: dict[str, Amount]
    least_moved_bytes: Amount

    def __mul__(self, times: int) -> StepWork:
        """Return the work of doing it several times."""
        flop = {kind: times * count for kind, count in self.flop.items()}
        return StepWork(flop, times * self.least_moved_bytes)


@dataclass(frozen=True)
class OperationShare:
    """How often one kind of operation runs in a step, and the seconds of the step that are its."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    operation: str
    calls: float
    time_s: float


@dataclass(frozen=True)
class StepProfile:
    """Where the time of a step goes; operations and idleness add up to the step.

    Args:
        steps: how many steps this is the mean of.
        step_time_s: how long one lasts under the profiler.
        hand_over_time_s: until the host has handed the step over.
        idle_time_s: in which the device does nothing.
        longest_gap_s: the longest stretch of that.
        operations: what the device does otherwise, the longest first.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    steps: PositiveCount
    step_time_s: Positive
    hand_over_time_s: float
    idle_time_s: float
    longest_gap_s: float
    operations: tuple[OperationShare, ...]


@dataclass(frozen=True)
class AlivePieces:
    """Pieces that one kind of operation had asked for, and their bytes together."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    operation: str
    pieces: PositiveCount
    held_bytes: Count


@dataclass(frozen=True)
class PeakMemory:
    """The moment of a step in which most device memory is in use.

    Args:
        in_use_bytes: then.
        earlier_bytes: of that, what was there before the trace began.
        alive: the rest, by kind of operation, the largest first.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    in_use_bytes: Count
    earlier_bytes: Count
    alive: tuple[AlivePieces, ...]
