"""How hard to look: what a trial's blocks, rounds and verdicts are made by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from keras_ab.bench.lab.words.errors import DeclarationError


@dataclass(frozen=True)
class Plan:
    """How hard to look.

    Args:
        precision: asked half-width of the interval, as a share: 0.0125 is ±1.25 %. Smaller than the
            margin, or no interval would fit into it.
        margin: the largest difference that does not matter: arms whose whole interval lies within
            it are equivalent.
        min_blocks: blocks before any verdict, and first stage of Stein's procedure.
        max_blocks: where a trial ends however noisy the machine.
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

    precision: float = 0.0125
    margin: float = 0.02
    min_blocks: int = 10
    max_blocks: int = 100
    rounds: int = 150
    sample_time_s: float = 0.01
    budget_s: float = 300.0
    seed: int = 20_190_130
    confidence: float = 0.95
    ceilings: bool = False
    profile: bool = False
    profile_time_s: float = 20.0

    def __post_init__(self) -> None:
        for holds, must, received, do in (
            (
                0 < self.precision < 1,
                "precision is between 0 and 1",
                self.precision,
                "0.0125 is ±1.25 %",
            ),
            (0 < self.margin < 1, "margin is between 0 and 1", self.margin, "0.02 is ±2 %"),
            (0.5 < self.confidence < 1, "confidence is between 0.5 and 1", self.confidence, "0.95"),
            (self.min_blocks >= 2, "min_blocks is at least 2", self.min_blocks, "5 or more"),
            (
                self.max_blocks >= self.min_blocks,
                "max_blocks is at least min_blocks",
                f"{self.max_blocks} < {self.min_blocks}",
                "raise max_blocks or lower min_blocks",
            ),
            (self.rounds >= 2, "a block has at least 2 rounds", self.rounds, "10 or more"),
            (0 < self.budget_s < math.inf, "the budget is positive", self.budget_s, "seconds"),
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
