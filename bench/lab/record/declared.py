"""What a run file says of a trial before anything is measured: all that a report needs of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from keras_ab.bench.lab.record.bounds import Count, PositiveCount, Scalar
from keras_ab.bench.lab.words.metrics import STEP_TIME, Dimension, Metric


class Record(BaseModel):
    """What all lines share: no unknown field, no NaN, never changed once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class ArmRecord(Record):
    """One arm as declared."""

    name: str
    says: str
    code: str
    yardstick: bool = False
    techniques: list[str] = []
    """Those that it has and the baseline has not, where it is a corner of a stack."""


class ClaimRecord(Record):
    """One claim as declared."""

    id: str
    statement: str
    source: str
    arm: str
    metric: str
    at_most: FiniteFloat | None
    at_least: FiniteFloat | None
    attempt: str = ""
    """Where set, the claim is that this attempt on `arm` works, or does not."""
    works: bool = True
    not_here: str = ""
    """Why this case does not decide it, where it does not."""
    against: str = ""
    """The arm that the bound is relative to, where that is not the baseline."""


class GuardRecord(Record):
    """One guard as declared."""

    observed: str
    tolerance: FiniteFloat | None
    says: str
    arms: list[str]


def _with_per(metric: Any, outcomes: list[Any]) -> Any:
    if not isinstance(metric, dict) or "per" in metric:
        return metric
    name = metric.get("name")
    per = "round" if name == STEP_TIME.name else "seed" if name in outcomes else "block"
    return metric | {"per": per}


class Trial(Record):
    """The declaration of one trial: all that a report needs, without the code."""

    kind: Literal["trial"] = "trial"
    trial: str
    experiment: str
    question: str
    method: str
    held_fixed: str
    does_not_show: str
    sources: list[str]
    case: dict[str, Scalar] = Field(max_length=100)
    arms: list[ArmRecord] = Field(min_length=2)
    metrics: list[Metric]
    claims: list[ClaimRecord]
    guards: list[GuardRecord]
    quality: str | None
    """Name of the metric of quality; None where nothing is trained to its end in this case."""
    timed: bool = True
    """Whether blocks are measured; where not, guards and attempts are the whole result."""
    also: list[str] = []
    """Names of further outcomes of the same trainings."""
    purpose: Dimension = "time"
    """What the technique is for."""
    subject: str = ""
    """The reader's own model that was on trial; empty for a workload of ours."""

    @model_validator(mode="before")
    @classmethod
    def _older_metrics_had_one_value_a_block(cls, fields: Any) -> Any:
        """Say what the metrics of schemas 1 to 3 had a value for each of."""
        metrics = fields.get("metrics") if isinstance(fields, dict) else None
        if not isinstance(metrics, list):
            return fields
        also = fields.get("also")
        outcomes = [fields.get("quality"), *(also if isinstance(also, list) else ())]
        return fields | {"metrics": [_with_per(metric, outcomes) for metric in metrics]}

    @model_validator(mode="after")
    def _names_agree(self) -> Trial:
        metrics = [metric.name for metric in self.metrics]
        for kind, names in (("arm", [arm.name for arm in self.arms]), ("metric", metrics)):
            if len(set(names)) < len(names):
                raise ValueError(f"two {kind}s have the same name")
        learnt = {m.name for m in self.metrics if m.per == "seed"}
        trained = {self.quality, *self.also} - {None}
        if trained & set(metrics) != learnt and (trained or self._judges(learnt)):
            raise ValueError("what is learnt has one value a seed, and nothing else has")
        for claim in self.claims:
            if claim.attempt:
                continue
            if claim.against and claim.against not in [arm.name for arm in self.arms]:
                raise ValueError(f"claim {claim.id!r} is against an arm that is not declared")
            if claim.metric not in metrics:
                raise ValueError(f"claim {claim.id!r} is about a metric that is not declared")
            if claim.at_most is None and claim.at_least is None:
                raise ValueError(f"claim {claim.id!r} has no bound")
        return self

    def _judges(self, metrics: set[str]) -> bool:
        """Tell whether a claim on one of these metrics is decided in this case."""
        return any(claim.metric in metrics and not claim.not_here for claim in self.claims)


class Selection(Record):
    """Which trials a run was asked for, so that it can be continued as it began."""

    places: list[str]
    """Files, folders and node ids, seen from the run file."""
    cases: str
    keyword: str = ""
    """pytest's -k."""
    marks: str = ""
    """pytest's -m."""
    trials: list[str] = []
    """Names of those among them that are meant; none for all."""


Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that can be part of a run's, of a file's and of a label's."""


class Node(Record):
    """The machine of a fleet on which a run was made, and what the run is there for."""

    name: Word
    """The same in every run on this machine, and on no other."""
    kind: str = Field(min_length=1, max_length=120)
    """What its owner takes for alike: machines of a kind differ by luck."""
    fleet: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    """The invocation that asked for the run."""
    unit: Word
    """The part of what was asked for that the run carries out."""
    attempt: PositiveCount = 1
    """How many runs there are of that part, this one among them."""
    cores: list[Count] = []
    """The logical processors that the machine's owner lets it use."""
    clock_ahead_s: FiniteFloat | None = None
    """How far its clock was before that of the machine that asked."""

    @property
    def run(self) -> str:
        """The name of the run."""
        return f"{self.fleet}.{self.unit}.{self.attempt}"

    @property
    def place(self) -> str:
        """Where the run lies in a store, without its ending: each unit has a folder."""
        return f"{self.fleet}/{self.unit}/{self.run}"
