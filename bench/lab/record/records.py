"""The run file's records: JSON Lines, one validated record a line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from keras_ab.bench.lab.record.bounds import Count, Facts, PositiveCount, StepSeconds
from keras_ab.bench.lab.record.declared import ArmRecord as ArmRecord
from keras_ab.bench.lab.record.declared import ClaimRecord as ClaimRecord
from keras_ab.bench.lab.record.declared import GuardRecord as GuardRecord
from keras_ab.bench.lab.record.declared import Node, Record, Selection, Trial
from keras_ab.bench.lab.record.imported import Imported
from keras_ab.bench.lab.words.errors import Refusal
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.words.steps import Amount, PeakMemory, Positive, StepProfile

SCHEMA = 4
"""Raised when a reader of the old schema would misread the new one.

2: attempts, claims on them, trials that time nothing.
3: ceilings, the work of a step, memory over time, traces with what is alive at the peak.
4: what a metric has a value for each of, parts of errors, notices, the selection, imported code.
"""

EARLIER_NAMES = {"limits": "ceilings"}
"""Fields of a plan that older files call otherwise."""

JUDGED_BY = ("precision", "margin", "min_blocks", "confidence")
"""Fields of a plan that every verdict depends on: no default may stand for them."""


class Header(Record):
    """The first line: where, with what and how the run was made."""

    kind: Literal["header"] = "header"
    schema_version: PositiveCount = SCHEMA
    run: str
    started: str
    backend: str
    machine: Facts
    environment: Facts
    conditions: Facts
    plan: Plan
    selection: Selection | None = None
    """None in runs before schema 4, and in those that pytest did not begin."""
    node: Node | None = None
    """None where no fleet asked for the run."""

    @field_validator("plan", mode="before")
    @classmethod
    def _says_what_verdicts_depend_on(cls, plan: Any) -> Any:
        if not isinstance(plan, dict):
            return plan
        if missing := [name for name in JUDGED_BY if name not in plan]:
            raise ValueError(f"no {', '.join(missing)}")
        return {EARLIER_NAMES.get(name, name): value for name, value in plan.items()}


class Ceiling(Record):
    """What the machine does at best at one kind of work, as raw samples."""

    kind: Literal["ceiling"] = "ceiling"
    name: str
    unit: Literal["B/s", "FLOP/s", "s"]
    """Of the rate; ``s`` where what counts is how long a step lasts."""
    work: Positive
    """Bytes moved, or floating-point operations, of one step."""
    data_bytes: Count
    steps: PositiveCount
    samples_s: list[Positive] = Field(min_length=1)
    """Seconds that `steps` steps took together, in the order of measurement."""


class GuardCheck(Record):
    """How far one arm's observation lay from the baseline's."""

    kind: Literal["guard"] = "guard"
    trial: str
    arm: str
    observed: str
    finite: bool
    relative_error: FiniteFloat | None
    """``max|arm - baseline| / max|baseline|``; None where the guard asks for finiteness only."""


class Refused(Record):
    """What may carry an error in three parts."""

    refusal: Refusal | None = None
    """The parts of what is said, where it is an error in three parts."""

    def _in_a_line(self, whole: str) -> str:
        """Return what is said in one line; the parts of older records are not told apart."""
        if not self.refusal:
            return whole
        return f"{self.refusal.must}; received: {self.refusal.received}; {self.refusal.do}"


class Attempted(Refused):
    """What happened when something that a source says to write was tried."""

    kind: Literal["attempt"] = "attempt"
    trial: str
    arm: str
    """The arm that it is about; empty for the whole experiment."""
    name: str
    says: str
    what: Literal["works", "ran", "raised", "timed out", "killed", "not measured here"]
    """``ran``: to its end, and did what the message says."""
    message: str
    traceback: str = ""

    @property
    def said(self) -> str:
        """The message in one line."""
        return self._in_a_line(self.message)


class Round(Record):
    """Every arm sampled once."""

    kind: Literal["round"] = "round"
    trial: str
    block: Count
    round: Count
    order: list[str]
    steps: PositiveCount
    step_time_s: dict[str, StepSeconds]
    others_cpu_cores: FiniteFloat | None = None
    """Cores kept busy by other processes during the round; None in older runs."""
    others_cpu: FiniteFloat | None = None
    """The same in older runs, but with some of what the lab itself used: it tells nothing."""
    gpu: Facts | None = None
    """Lowest clock and throttle reasons seen on the GPU during the round."""
    hand_over_s: dict[str, FiniteFloat] | None = None
    """Seconds per step until the host had handed the sample over, of arms that compute on a GPU."""


class RoundsChosen(Record):
    """How many rounds each block of a trial has, and what that follows from."""

    rounds: PositiveCount
    start_s: Annotated[FiniteFloat, Field(ge=0)]
    """What a block costs before its first round."""
    round_s: Annotated[FiniteFloat, Field(gt=0)]
    round_variance: Annotated[FiniteFloat, Field(ge=0)]
    """Of one round's log ratio."""
    luck_variance: Annotated[FiniteFloat, Field(gt=0)]
    """Of a block's log ratio, assumed of its processes."""

    @property
    def block_s(self) -> float:
        """What a block costs."""
        return self.start_s + self.rounds * self.round_s


class Block(Record):
    """The end of a block, with what is measured once in each of its processes."""

    kind: Literal["block"] = "block"
    trial: str
    block: Count
    values: dict[str, dict[str, FiniteFloat]]
    notes: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What each arm found in place, such as which kernel it uses and why."""
    chosen: RoundsChosen | None = None
    """In the block whose first rounds it rests on; None in runs that had a fixed number."""


class Work(Record):
    """What a step of one arm has to do; see `StepWork`."""

    kind: Literal["work"] = "work"
    trial: str
    arm: str
    flop: dict[str, Amount]
    """Floating-point operations of products, by the type of what is multiplied."""
    least_moved_bytes: Amount | None
    reason: str = ""
    """Why it is not known, where it is not."""


class MemoryCurve(Record):
    """What was in use while one arm took a few steps, watched: shape and height, not time."""

    kind: Literal["memory"] = "memory"
    trial: str
    arm: str
    steps: PositiveCount
    at_s: list[FiniteFloat] = Field(min_length=1)
    host_bytes: list[Count]
    device_bytes: list[Count] | None
    """None where nobody counts."""
    peak_device_bytes: list[Count] = Field(default_factory=list)
    """The allocator's own peak in each of some more steps; in older runs."""
    peak_device_bytes_elsewhere: list[Count] = Field(default_factory=list)
    """Likewise in one step of each of some other processes, where the timed ones do not count."""

    @model_validator(mode="after")
    def _one_value_a_look(self) -> MemoryCurve:
        sizes = {len(self.at_s), len(self.host_bytes)}
        if self.device_bytes is not None:
            sizes.add(len(self.device_bytes))
        if len(sizes) > 1:
            raise ValueError("a curve has one value for each moment")
        return self


class Profile(Record):
    """What the framework's profiler recorded of one arm, once all was timed."""

    kind: Literal["profile"] = "profile"
    trial: str
    arm: str
    files: str
    """Where the whole trace lies, seen from the run file."""
    step: StepProfile | None
    reason: str = ""
    """Why there is none, where there is none."""
    peak: PeakMemory | None = None
    """None where the framework does not tell."""
    untraced_step_time_s: Positive | None = None
    """How long a step took in the same process before and after the trace; None in older runs."""


class Learned(Record):
    """What every arm learnt from one seed."""

    kind: Literal["quality"] = "quality"
    trial: str
    purpose: Literal["tuning", "judged"]
    seed: int
    learning_rate: dict[str, FiniteFloat]
    values: dict[str, FiniteFloat]
    also: dict[str, dict[str, FiniteFloat]] = Field(default_factory=dict)
    """Further outcomes of the same trainings, by metric and arm."""


class Failure(Refused):
    """An arm, or a whole trial, that could not be measured because something went wrong."""

    kind: Literal["failure"] = "failure"
    trial: str
    arm: str | None
    stage: str
    what: Literal[
        "raised", "timed out", "killed", "not finite", "environment changed", "code changed"
    ]
    message: str
    traceback: str = ""

    @property
    def said(self) -> str:
        """The message in one line."""
        return self._in_a_line(self.message)


class Absent(Refused):
    """An arm or trial that this machine cannot carry out: not measured here, with the reason."""

    kind: Literal["absent"] = "absent"
    trial: str
    arm: str | None
    reason: str

    @property
    def said(self) -> str:
        """The reason in one line."""
        return self._in_a_line(self.reason)


class End(Record):
    """Why a trial stopped."""

    kind: Literal["end"] = "end"
    trial: str
    reason: Literal["precise", "budget", "max_blocks", "guard", "failed", "absent", "not timed"]
    blocks_wanted: Count | None = None
    """What Stein's procedure asked for."""


class Notice(Record):
    """Something that a reader of the run should know."""

    kind: Literal["notice"] = "notice"
    at: str
    message: str
    finding: bool = False
    """Whether it is what was looked for, not a warning."""


class Resumed(Record):
    """The run was cut off before this line and continued after it."""

    kind: Literal["resumed"] = "resumed"
    at: str
    conditions: Facts


class Seal(Record):
    """The last line: the SHA-256 of every byte before it."""

    kind: Literal["seal"] = "seal"
    at: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Line = Annotated[
    Header
    | Ceiling
    | Trial
    | Imported
    | GuardCheck
    | Attempted
    | Round
    | Block
    | Work
    | MemoryCurve
    | Profile
    | Learned
    | Failure
    | Absent
    | End
    | Notice
    | Resumed
    | Seal,
    Field(discriminator="kind"),
]
TrialLine = (
    Trial
    | Imported
    | GuardCheck
    | Attempted
    | Round
    | Block
    | Work
    | MemoryCurve
    | Profile
    | Learned
    | Failure
    | Absent
    | End
)
