"""What the measuring process asks of a worker and what comes back: all of it typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from keras_ab.bench.lab.words.digests import Digest
from keras_ab.bench.lab.words.errors import Refusal
from keras_ab.bench.lab.words.steps import (
    CHECKED,
    Amount,
    MemoryShare,
    PeakMemory,
    Positive,
    Products,
    StepProfile,
    StepWork,
)

Answer = TypeVar("Answer")

MOST_CHARACTERS = 20_000
"""Of a message, a traceback or a note: more is no longer read by anyone."""

Note = Annotated[str, Field(max_length=MOST_CHARACTERS)]

UNTIMED_SHARE = 4
"""Of so many steps that are timed one more is not, and comes first: 2.5 ms before 10 ms.

With one step before ten of 1 ms, a step of three parts was found to take 1.79 times one of one
part, and of seven 3.35 times; with a quarter 1.83 and 3.48, where without a pause it takes 1.80 to
1.83 and 3.52 to 3.54 times (TensorFlow on two busy cores of an Intel Xeon).
"""
LEAST_UNTIMED = 3
"""So many untimed steps come first at least: sleep costs a step of 10 ms more than the caches do.

Of twice the work in such a step 1.89 and 1.91 was found after one, 1.94 and 1.94 after three, 1.95
and 1.96 after eight, where without a pause it is 1.98 to 2.00 (the same machine, at rest). Three
take a quarter more time, and give intervals that are a fifth narrower.
"""


def untimed(steps: int) -> int:
    """Return how many steps that are not timed come before so many that are."""
    return max(LEAST_UNTIMED, steps // UNTIMED_SHARE)


@dataclass(frozen=True)
class Built:
    """What building an arm and its first step cost, and what the arm tells of itself.

    ``on_gpu`` tells whether its work goes to a GPU.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    build_time_s: float
    first_step_time_s: float
    sizes: dict[str, float]
    notes: Annotated[dict[str, Note], Field(max_length=100)]
    on_gpu: bool = False


@dataclass(frozen=True)
class Sampled:
    """How long some steps lasted together, and the processor time that it took.

    ``cpu_s`` is all that the process used since it told so last: an untimed step, collecting
    garbage and answering are its own as well, and no load of others'.
    ``hand_over_s`` is how long it took until the last of them was handed over to the device.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    duration_s: Positive
    cpu_s: float
    hand_over_s: Amount


@dataclass(frozen=True)
class Peaks:
    """The peaks of memory in one step; the device's is None where nobody counts it."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    host_high_water_bytes: NonNegativeInt
    peak_device_memory_bytes: NonNegativeInt | None


@dataclass(frozen=True)
class Curve:
    """What was in use at some moments; on the device None where nobody counts it."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    at_s: list[float]
    host_bytes: list[NonNegativeInt]
    device_bytes: list[NonNegativeInt] | None


@dataclass(frozen=True)
class Profiled:
    """Where the time of a step goes, and what is alive at its peak, where that is told."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    step: StepProfile
    peak: PeakMemory | None


@dataclass(frozen=True)
class ProbeReady:
    """A probe that can be sampled; see `Probe`."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    unit: Literal["B/s", "FLOP/s", "s"]
    work: Positive
    data_bytes: NonNegativeInt


@dataclass(frozen=True)
class ArmNames:
    """The names by which a worker finds an arm and its case."""

    file: str
    experiment: str
    arm: str
    case: str
    backend: str


class Request(Generic[Answer]):
    """Asks for one thing, which is answered by an `Answer`."""


@dataclass(frozen=True)
class Open(Request[None]):
    """Open the device and seed everything.

    Args:
        backend: name of the backend.
        seed: of everything.
        layout: seeds a shift of the heap.
        memory: this process's share of a GPU's memory; None lets it grow.
        products: precision of float32 products on a GPU; None leaves it to the framework.
        counted: where the framework's own allocator does not count, open the device with one that
            does; allocating then costs something else, so what is timed is not opened so.
    """

    backend: str
    seed: int = 0
    layout: int | None = None
    memory: MemoryShare | None = None
    products: Products | None = None
    counted: bool = False


@dataclass(frozen=True)
class Facts(Request[dict[str, Any]]):
    """Open the device, as it is timed, and tell the framework's own facts."""

    backend: str
    products: Products = "tf32"


@dataclass(frozen=True)
class Build(Request[Built]):
    """Prepare an arm and take its first step.

    Args:
        arm: which.
        seed: of everything.
        observe_to: a file (.npz) for what the guards compare, from the untouched weights.
    """

    arm: ArmNames
    seed: int
    observe_to: str | None = None


@dataclass(frozen=True)
class Calibrate(Request[PositiveInt]):
    """Tell how many steps last so long."""

    sample_time_s: float


@dataclass(frozen=True)
class Sample(Request[Sampled]):
    """Time some steps together, the device synchronised at both ends.

    Where they are to be ``warm``, others that are not timed come first.
    """

    steps: int
    warm: bool = True


@dataclass(frozen=True)
class Memory(Request[Peaks]):
    """Run a step and tell the peaks of memory in it."""


@dataclass(frozen=True)
class WatchMemory(Request[Curve]):
    """Run some steps and tell what was in use all the while."""

    steps: int


@dataclass(frozen=True)
class Work(Request[StepWork | None]):
    """Tell what a step has to do; None where the arm is silent."""


@dataclass(frozen=True)
class Trace(Request[None]):
    """Begin a trace whose files go into a folder."""

    folder: str


@dataclass(frozen=True)
class Traced(Request[Annotated[FiniteFloat, Field(gt=0)]]):
    """Take a sample under the trace, marked by its number; tell how many seconds it lasted."""

    steps: int
    number: int
    warm: bool = True


@dataclass(frozen=True)
class EndTrace(Request[Profiled]):
    """End the trace and tell what was in it; `paces` are those of its rounds."""

    steps: int
    paces: list[float]


@dataclass(frozen=True)
class Imports(Request[dict[str, Digest]]):
    """Tell the SHA-256 of each file of code that the process has imported, but others' packages."""


@dataclass(frozen=True)
class Finish(Request[bool]):
    """Tell whether what the last step returned, and what was trained, is finite."""


@dataclass(frozen=True)
class Try(Request[str | None]):
    """Try what a source says to write; tell what happened, None where it works."""

    file: str
    experiment: str
    attempt: str
    backend: str
    seed: int


@dataclass(frozen=True)
class Train(Request[dict[str, FiniteFloat | None]]):
    """Train once for quality and tell the outcomes; None stands for NaN.

    Where a learning rate is chosen (`tuning`), the first outcome alone, by examples of its own.
    """

    arm: ArmNames
    seed: int
    learning_rate: float
    tuning: bool


@dataclass(frozen=True)
class ListProbes(Request[dict[str, NonNegativeInt]]):
    """Open the device; tell the names of the probes, each with the number of its sizes."""

    backend: str


@dataclass(frozen=True)
class PrepareProbe(Request[ProbeReady]):
    """Prepare a probe in one of its sizes, to be sampled like an arm."""

    name: str
    size: int


REQUESTS: tuple[type[Request[Any]], ...] = (
    Open,
    Facts,
    Build,
    Calibrate,
    Sample,
    Memory,
    WatchMemory,
    Work,
    Trace,
    Traced,
    EndTrace,
    Imports,
    Finish,
    Try,
    Train,
    ListProbes,
    PrepareProbe,
)
"""All that a worker can be asked."""


@dataclass(frozen=True)
class Trouble:
    """Why there is no answer.

    Args:
        what: the arm raised something, or cannot be carried out on this machine.
        message: type and message of what was raised, or the reason.
        traceback: of what was raised.
        refusal: the message's parts, where it is an error in three parts.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = CHECKED

    what: Literal["raised", "not measured here"]
    message: str
    traceback: str = ""
    refusal: Refusal | None = None
