"""How hard to look: what a trial's blocks, rounds and verdicts are made by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from keras_ab.bench.lab.words.errors import DeclarationError

T = TypeVar("T")
MOST_BLOCKS = 100
"""Where a trial ends that was not told otherwise."""


def _told(default: T, says: str, metavar: str | None = None) -> T:
    """Declare a field that the command line sets, with what its help says."""
    return field(default=default, metadata={"help": says, "metavar": metavar})


@dataclass(frozen=True)
class Plan:
    """How hard to look.

    Args:
        precision: asked half-width of the interval, as a share: 0.0125 is ±1.25 %. Smaller than the
            margin, or no interval would fit into it.
        margin: the largest difference that does not matter: arms whose whole interval lies within
            it are equivalent.
        min_blocks: blocks before any verdict, and first stage of Stein's procedure.
        max_blocks: where a trial ends however noisy the machine; 0 stands for `MOST_BLOCKS`, or
            for `min_blocks` where those are more.
        rounds: rounds in a block at most. How many is chosen in the first block, from what starting
            its processes and a round take and from how rounds vary; fewer, too, where a single step
            is far longer than a sample should be.
        sample_time_s: what one sample should last; sets the steps in a sample. Short, because a
            machine's speed wanders: on two shared virtual cores, rounds of 10 ms a sample had half
            the error of rounds of 50 ms in the same time, being closer together.
        budget_s: seconds after which a trial adds no block to the first `min_blocks`.
        seed: of the weights, the batches and the order of the arms.
        confidence: level of the intervals.
        ceilings: whether the machine's ceilings are measured first, and the work of each arm's step
            is counted, to be held against them.
        profile: whether each arm is traced by the framework's profiler when all is timed.
        profile_time_s: how long each arm is traced, about; and sampled without the profiler beside.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    precision: float = _told(0.0125, "half-width of the interval to reach, as a share", "SHARE")
    margin: float = _told(0.02, "the largest difference that does not matter, as a share", "SHARE")
    min_blocks: int = _told(10, "blocks before anything is concluded", "N")
    max_blocks: int = _told(
        0, f"blocks after which a trial ends; 0 for {MOST_BLOCKS}, or --ab-min-blocks if more", "N"
    )
    rounds: int = _told(150, "rounds in a block at most", "N")
    sample_time_s: float = _told(0.01, "how long one sample lasts; sets its steps", "SECONDS")
    budget_s: float = _told(
        300.0, "after this time a trial adds no block to the first --ab-min-blocks", "SECONDS"
    )
    seed: int = _told(20_190_130, "of weights, batches and the order of arms", "N")
    confidence: float = _told(0.95, "level of the intervals", "SHARE")
    ceilings: bool = _told(
        False, "first measure how fast the machine can be, to hold the arms against (a minute)"
    )
    profile: bool = _told(
        False, "when all of a trial is timed, trace its arms by the framework's own profiler"
    )
    profile_time_s: float = _told(
        20.0, "how long --ab-profile traces each arm, and samples it untraced beside", "SECONDS"
    )

    @classmethod
    def looking(cls, look: str, told: Mapping[str, Any]) -> Plan:
        """Return the plan of a look, with what was told beside it.

        Args:
            look: one of `LOOKS`.
            told: fields by name; None for what was not told.
        """
        return cls(**{**LOOKS[look], **{name: x for name, x in told.items() if x is not None}})

    @property
    def asks_for_precision(self) -> bool:
        """Whether blocks follow until intervals are narrow; a quick look ends with its first."""
        return self.budget_s > LOOKS["quick"]["budget_s"]

    def __post_init__(self) -> None:
        if not self.max_blocks:
            object.__setattr__(self, "max_blocks", max(MOST_BLOCKS, self.min_blocks))
        for holds, must, received, do in (
            (
                0 < self.precision < 1,
                "precision is between 0 and 1",
                self.precision,
                "0.0125 for ±1.25 %",
            ),
            (0 < self.margin < 1, "margin is between 0 and 1", self.margin, "0.02 for ±2 %"),
            (0.5 < self.confidence < 1, "confidence is between 0.5 and 1", self.confidence, "0.95"),
            (
                self.min_blocks >= 2,
                "min_blocks is at least 2",
                self.min_blocks,
                "5 or more: fewer give no verdict",
            ),
            (
                self.max_blocks >= self.min_blocks,
                "max_blocks is at least min_blocks",
                f"{self.max_blocks} < {self.min_blocks}",
                f"{self.min_blocks} or more, or a smaller {option('min_blocks')}",
            ),
            (self.rounds >= 2, "a block has at least 2 rounds", self.rounds, "10 or more"),
            (
                0 < self.budget_s < math.inf,
                "the budget is positive",
                self.budget_s,
                "seconds, 300 say",
            ),
            (0 < self.sample_time_s < 60, "a sample lasts 0 to 60 s", self.sample_time_s, "0.01"),
            (
                0 < self.profile_time_s < 3600,
                "an arm is traced for 0 to 3600 s",
                self.profile_time_s,
                "20",
            ),
        ):
            if not holds:
                raise DeclarationError(f"plan: {must}", received, f"give {do}")


def option(name: str) -> str:
    """Return the option that sets a field of the plan: ``--ab-budget`` for ``budget_s``."""
    return f"--ab-{name.removesuffix('_s').replace('_', '-')}"


LOOKS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"min_blocks": 5, "rounds": 50, "budget_s": 5.0},
    "thorough": {},
    "long": {"precision": 0.005, "max_blocks": 400, "budget_s": 1800.0},
}
"""What `--ab-look` can ask for: how each differs from the plan that is `Plan()`."""
