"""Arms: the ways of doing the same work, and what is tried on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from keras_ab.bench.lab.words.anonymous import without_folders
from keras_ab.bench.lab.words.backend_names import check_backend
from keras_ab.bench.lab.words.cases import Params
from keras_ab.bench.lab.words.code import written
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.names import check_name
from keras_ab.bench.lab.words.steps import StepWork

R = TypeVar("R")
CONTROL = "control"
"""The arm that the lab adds to every trial: the baseline once more, in a process of its own."""
NOTHING_LOADED = "one_batch"
"""The arm of a subject's trial that trains on the same batch over and over."""


@dataclass(frozen=True)
class Prepared:
    """What an arm's `build` hands to the lab: work ready to be stepped.

    Args:
        step: do one step and return a value that is ready when the step is (most often the loss).
        sizes: metrics that need no clock, by name (``label_bytes``).
        observe: return named arrays for the guards; called once, in a process that is not timed.
        notes: what the arm found in place, by name (which kernel is in use, and why); recorded with
            every block.
        work: return what a step has to do; called once, when nothing is timed any more.
        finite: tell whether what was trained holds neither NaN nor infinity; called at the end of
            the rehearsal and of a block. A loss does not tell it everywhere: oneDNN's ReLU makes 0
            of NaN.
    """

    step: Callable[[], Any]
    sizes: Mapping[str, float] = field(default_factory=dict)
    observe: Callable[[], Mapping[str, Any]] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    work: Callable[[], StepWork] | None = None
    finite: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Arm:
    """One way of doing the work.

    Args:
        name: as it appears in node ids and reports.
        build: called in a fresh worker process with the case's parameters; returns `Prepared`.
        says: the arm in one line, for people.
        recipe: what distinguishes the arm, as data; shown in the report and passed to `Quality`.
        time_limit_s: seconds that one request to this arm's process may take; to build it and take
            the first step, five times as many; to train it for what it learns, thirty times.
        environment: environment variables of this arm's processes, set before the framework is
            imported (``TF_ENABLE_ONEDNN_OPTS``).
        backend: the backend of this arm's processes; None for the run's.
        yardstick: whether it is a limit to hold the others against, and no technique: what is told
            of techniques leaves it out.
        techniques: those that it has and the baseline has not, where it is a corner of a stack.
    """

    name: str
    build: Callable[[Params], Prepared]
    says: str
    recipe: Any = None
    time_limit_s: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    backend: str | None = None
    yardstick: bool = False
    techniques: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("an arm", self.name)
        if self.backend is not None:
            check_backend(self.backend)
        for name, value in self.environment.items():
            if not (isinstance(value, str) and name and "=" not in name):
                raise DeclarationError(
                    "environment variables have a name and a string",
                    f"{name}={value!r} on arm {self.name!r}",
                    f"write {name!r}: {str(value)!r}",
                )
        if self.name == CONTROL:
            raise DeclarationError(
                f"{CONTROL!r} is the name of the lab's own A/A arm",
                f"an arm named {self.name!r}",
                "rename the arm",
            )
        if not (math.isfinite(self.time_limit_s) and self.time_limit_s > 0):
            raise DeclarationError(
                "an arm's time limit is a positive number of seconds",
                self.time_limit_s,
                "give it at least the time that its build and first step take",
            )

    @property
    def code(self) -> str:
        """What a reader should see of this arm: its process, and its recipe or its function."""
        process = [f"backend: {self.backend}"] if self.backend else []
        process += [f"{name}={value}" for name, value in self.environment.items()]
        return without_folders("\n".join([*process, self._recipe_or_source]))

    @property
    def _recipe_or_source(self) -> str:
        if self.recipe is None or callable(self.recipe):
            return written(self.recipe or self.build)
        return str(self.recipe)


def arm(name: str, work: Callable[[R, Params], Prepared], recipe: R, says: str, **more: Any) -> Arm:
    """Return the arm that does `work` as `recipe` says.

    The arms of an experiment share `work` and differ in `recipe`, which the report shows and
    `Quality` is trained by. One form for all of them:

    - how a model is trained: a `Workload`, and a `Recipe` with one field replaced;
    - how a model is built: `built`, and the function that builds the model;
    - anything else: a function of yours, and whatever frozen data tells its arms apart.

    Args:
        name: as in node ids and reports.
        work: called in a worker as ``work(recipe, case)``.
        recipe: what distinguishes the arm.
        says: the arm in one line, for people.
        more: further fields of `Arm`: environment, backend, time_limit_s, techniques.
    """
    return Arm(name, partial(work, recipe), says, recipe=recipe, **more)


@dataclass(frozen=True)
class Attempt:
    """Something that a source says to write, tried once in a fresh process of its own.

    What happens is recorded word for word, and is a result whatever it is: never a failure.

    Args:
        name: short, lower case; unique among the attempts on one arm.
        says: what is tried, in one line.
        tries: tries it. None says that it works; a string says what happened instead; what it
            raises is recorded with type and message.
        arm: the arm that it is about, in whose backend and environment it is tried; empty for the
            whole experiment, tried as the baseline runs.
        time_limit_s: seconds after which it counts as hanging.
    """

    name: str
    says: str
    tries: Callable[[], str | None]
    arm: str = ""
    time_limit_s: float = 120.0

    def __post_init__(self) -> None:
        check_name("an attempt", self.name)

    @property
    def id(self) -> str:
        """The attempt in requests and lists, ``arm.name``."""
        return f"{self.arm}.{self.name}" if self.arm else self.name
