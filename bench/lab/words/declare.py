"""The words of the lab: experiment, arm, case, claim, guard, quality."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_ab.bench.lab.words.backend_names import check_backend
from keras_ab.bench.lab.words.code import written
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import (
    DIMENSIONS,
    MEASURED,
    STEP_TIME,
    Dimension,
    Metric,
    named,
)
from keras_ab.bench.lab.words.steps import StepWork

Value = int | float | str | bool
Params = Mapping[str, Value]
"""A case's parameters by name, as an arm's `build` is given them."""

CONTROL = "control"
"""The arm that the lab adds to every trial: the baseline once more, in a process of its own."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"the name of {kind} is lower_case letters, digits and underscores",
            repr(name),
            "rename it; the name goes into node ids, columns and citations",
        )


def _check_unique(kind: str, names: list[str]) -> None:
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise DeclarationError(
            f"each {kind} of an experiment has a name of its own",
            f"twice: {', '.join(doubles)}",
            "rename one of them",
        )


@dataclass(frozen=True)
class Source:
    """Where a claim was made."""

    author: str
    title: str
    year: int
    url: str

    def __str__(self) -> str:
        return f"{self.author} ({self.year}), {self.title}, {self.url}"


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
    """

    step: Callable[[], Any]
    sizes: Mapping[str, float] = field(default_factory=dict)
    observe: Callable[[], Mapping[str, Any]] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    work: Callable[[], StepWork] | None = None


@dataclass(frozen=True)
class Arm:
    """One way of doing the work.

    Args:
        name: as it appears in node ids and reports.
        build: called in a fresh worker process with the case's parameters; returns `Prepared`.
        says: the arm in one line, for people.
        recipe: what distinguishes the arm, as data; shown in the report and passed to `Quality`.
        time_limit_s: seconds that one request to this arm's process may take.
        environment: environment variables of this arm's processes, set before the framework is
            imported (``TF_ENABLE_ONEDNN_OPTS``).
        backend: the backend of this arm's processes; None for the run's.
    """

    name: str
    build: Callable[[Params], Prepared]
    says: str
    recipe: Any = None
    time_limit_s: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    backend: str | None = None

    def __post_init__(self) -> None:
        _check_name("an arm", self.name)
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
        return "\n".join([*process, self._recipe_or_source])

    @property
    def _recipe_or_source(self) -> str:
        if self.recipe is None or callable(self.recipe):
            return written(self.recipe or self.build)
        return str(self.recipe)


class _Setting(dict[str, Value]):
    """A case's parameters; asked for one that it lacks, it says what to do."""

    def __missing__(self, name: str) -> Value:
        raise DeclarationError(
            f"a case sets {name!r}, which its arms read",
            ", ".join(self) or "a case without parameters",
            f"add it to each of the experiment's cases: grid({name}=(…,))",
        )


@dataclass(frozen=True)
class Case:
    """One setting of the workload's parameters.

    Args:
        params: the setting.
        quick: whether it runs on two cores in seconds.
        swept: whether it is there to show how an experiment grows with a parameter.
    """

    params: Params
    quick: bool = True
    swept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", _Setting(self.params))

    @property
    def id(self) -> str:
        """The case in node ids and records, ``batch:256-classes:1000``; pytest's -k takes it."""
        return "-".join(f"{key}:{value}" for key, value in self.params.items()) or "only"


SELECTIONS: dict[str, Callable[[Case], bool]] = {
    "quick": lambda case: case.quick,
    "full": lambda case: not case.swept,
    "sweep": lambda case: case.swept,
}
"""What `--ab-cases` can ask for."""


def grid(*, quick: bool = True, **params: tuple[Value, ...]) -> tuple[Case, ...]:
    """Return one case for every combination of the given parameter values.

    ``grid(batch=(64, 256), classes=(10,))`` is two cases.
    """
    for name, values in params.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise DeclarationError(
                "each parameter of a grid has a tuple of values",
                f"{name}={values!r}",
                f"write {name}=({values!r},)",
            )
    return tuple(
        Case(dict(zip(params, values, strict=True)), quick)
        for values in itertools.product(*params.values())
    )


def sweep(parameter: str, values: tuple[float, ...], **fixed: Value) -> tuple[Case, ...]:
    """Return cases that differ in one number, for `--ab-cases sweep`.

    From four values on, the report fits an exponent to them; where a case of the grid differs in
    the same number alone and was measured in the same run, it joins in.
    """
    if len(set(values)) < 4 or not all(value > 0 for value in values):
        raise DeclarationError(
            "a sweep has at least four positive values",
            f"{parameter}: {values!r}",
            "add values; double or quadruple from one to the next",
        )
    return tuple(Case({parameter: value, **fixed}, quick=False, swept=True) for value in values)


@dataclass(frozen=True)
class Guard:
    """What must hold for a comparison to be fair.

    Args:
        observed: the name of an array that every arm's `observe` returns.
        tolerance: largest allowed ``max|arm - baseline| / max|baseline|``; None asks only that
            every element is finite.
        says: the guard in one line, for people.
        arms: the arms that it binds; empty for all.
    """

    observed: str
    tolerance: float | None
    says: str
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """Something that a source says to write, tried once in a fresh process of its own.

    What happens is recorded word for word, and is a result whatever it is: never a failure.

    Args:
        name: short, lower case; unique among the attempts on one arm.
        says: what is tried, in one line.
        run: tries it. None says that it works; a string says what happened instead; what it raises
            is recorded with type and message.
        arm: the arm that it is about, in whose backend and environment it is tried; empty for the
            whole experiment, tried as the baseline runs.
        time_limit_s: seconds after which it counts as hanging.
    """

    name: str
    says: str
    run: Callable[[], str | None]
    arm: str = ""
    time_limit_s: float = 120.0

    def __post_init__(self) -> None:
        _check_name("an attempt", self.name)

    @property
    def id(self) -> str:
        """The attempt in requests and lists, ``arm.name``."""
        return f"{self.arm}.{self.name}" if self.arm else self.name


@dataclass(frozen=True)
class Claim:
    """A source's sentence as a bound on a metric of one arm, relative to the baseline.

    A sentence about what can be done at all is a claim on an attempt instead.

    Args:
        id: stable name, unique in the experiment.
        statement: what the source says, in our words.
        arm: the arm that carries the technique.
        metric: a metric's name.
        at_most: the upper bound on the ratio (or difference), if the claim has one.
        at_least: the lower bound, if the claim has one.
        where: case parameters that the claim is limited to; empty for all cases.
        source: where it was made; None for the experiment's first source.
        attempt: in place of a metric, the name of an attempt on `arm`.
        works: what the source says of the attempt: that it works, or that it does not.
    """

    id: str
    statement: str
    arm: str
    metric: str = ""
    at_most: float | None = None
    at_least: float | None = None
    where: Mapping[str, Value] = field(default_factory=dict)
    source: Source | None = None
    attempt: str = ""
    works: bool = True

    def __post_init__(self) -> None:
        if bool(self.metric) == bool(self.attempt):
            raise DeclarationError(
                "a claim is about one metric or one attempt",
                f"{self.id!r} with metric={self.metric!r} and attempt={self.attempt!r}",
                "name one of the two",
            )
        if self.metric and self.at_most is None and self.at_least is None:
            raise DeclarationError(
                "a claim bounds its metric",
                f"{self.id!r} with neither at_most nor at_least",
                "state the largest or the smallest ratio for which the claim would be true",
            )

    def concerns(self, case: Params) -> bool:
        """Tell whether the claim speaks of this case."""
        return all(case.get(key) == value for key, value in self.where.items())


@dataclass(frozen=True)
class Quality:
    """What a technique does to what is learnt, paired by seed.

    Args:
        metric: the outcome (``test_accuracy``), compared by difference.
        train: called as ``train(recipe, case, seed, learning_rate)`` in a worker; returns the
            outcome, or every outcome by the name of its metric.
        seeds: the seeds that are judged.
        learning_rates: the grid from which each arm gets its best; one alone is taken by all.
        tuning_seeds: the seeds that choose the learning rate; none of `seeds`.
        also: further outcomes of the same trainings; the first alone chooses the learning rate.
        quick: whether quick cases are trained too; where not, only the full ones are.
    """

    metric: Metric
    train: Callable[[Any, Params, int, float], float | Mapping[str, float]]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    also: tuple[Metric, ...] = ()
    quick: bool = True

    def __post_init__(self) -> None:
        if bool(self.tuning_seeds) != (len(self.learning_rates) > 1):
            raise DeclarationError(
                "a grid of learning rates has seeds that choose from it, a single one has none",
                f"learning_rates={self.learning_rates}, tuning_seeds={self.tuning_seeds}",
                "give at least one tuning seed for a grid, and () for a single learning rate",
            )
        if set(self.seeds) & set(self.tuning_seeds):
            raise DeclarationError(
                "the seeds that choose a learning rate are not the seeds that are judged",
                f"in both: {sorted(set(self.seeds) & set(self.tuning_seeds))}",
                "give tuning_seeds numbers of their own",
            )
        if len(self.seeds) < 5:
            raise DeclarationError(
                "a verdict on quality needs at least 5 seeds",
                f"{len(self.seeds)}",
                "add seeds; two or three mislead",
            )


@dataclass(frozen=True)
class Experiment:
    """One question about one technique: two or more arms, the first of them the baseline."""

    name: str
    question: str
    method: str
    sources: tuple[Source, ...]
    arms: tuple[Arm, ...]
    cases: tuple[Case, ...]
    guards: tuple[Guard, ...] = ()
    claims: tuple[Claim, ...] = ()
    metrics: tuple[Metric, ...] = ()
    quality: Quality | None = None
    held_fixed: str = ""
    does_not_show: str = ""
    backends: tuple[str, ...] = ("tensorflow",)
    attempts: tuple[Attempt, ...] = ()
    timed: bool = True
    """Whether there is anything to time; where not, guards and attempts are the whole result."""
    purpose: Dimension = "time"
    """What the technique is for; answers begin with it."""

    def __post_init__(self) -> None:
        _check_name("an experiment", self.name)
        self._check_purpose()
        if not self.sources:
            raise DeclarationError(
                "an experiment names the source of what it tries",
                f"none in {self.name!r}",
                "add Source(author, title, year, url)",
            )
        self._check_arms_and_cases()
        self._check_attempts()
        self._check_claims()

    def _check_purpose(self) -> None:
        if self.purpose not in DIMENSIONS or (self.purpose == "quality" and not self.quality):
            raise DeclarationError(
                f"the purpose of an experiment is one of {', '.join(DIMENSIONS)}, and measured",
                f"{self.purpose!r} for {self.name!r}",
                "name what the technique is for; quality needs a Quality",
            )

    def _check_arms_and_cases(self) -> None:
        if len(self.arms) < 2:
            raise DeclarationError(
                "an experiment has at least two arms, the baseline first",
                f"{len(self.arms)} in {self.name!r}",
                "declare the baseline and what is tried against it",
            )
        if not self.cases:
            raise DeclarationError(
                "an experiment has at least one case",
                f"none in {self.name!r}",
                "declare cases with grid(batch=(256,)) or Case({})",
            )
        _check_unique("arm", [arm.name for arm in self.arms])
        _check_unique("case", [case.id for case in self.cases])
        _check_unique("claim", [claim.id for claim in self.claims])

    def _check_attempts(self) -> None:
        _check_unique("attempt", [attempt.id for attempt in self.attempts])
        for attempt in self.attempts:
            if attempt.arm:
                self.arm(attempt.arm)

    def _check_claims(self) -> None:
        for claim in self.claims:
            if claim.attempt:
                self.attempt(f"{claim.arm}.{claim.attempt}" if claim.arm else claim.attempt)
                continue
            named(claim.metric, self.all_metrics)
            self.arm(claim.arm)
        for guard in self.guards:
            for name in guard.arms:
                self.arm(name)

    @property
    def baseline(self) -> Arm:
        """The arm that every other arm is compared with."""
        return self.arms[0]

    @property
    def _outcomes(self) -> tuple[Metric, ...]:
        learnt = (self.quality.metric, *self.quality.also) if self.quality else ()
        return tuple(replace(metric, per="seed") for metric in learnt)

    @property
    def all_metrics(self) -> tuple[Metric, ...]:
        """What trials of this experiment can record, in the order of the report."""
        return (STEP_TIME, *self._outcomes, *self.metrics, *MEASURED[1:])

    def quality_of(self, case: Case) -> Quality | None:
        """Return what is learnt in a case, if anything is."""
        asked = self.quality and (self.quality.quick or not case.quick) and not case.swept
        return self.quality if asked else None

    def metrics_of(self, case: Case) -> tuple[Metric, ...]:
        """Return what a trial of one case can record."""
        untrained = () if self.quality_of(case) else self._outcomes
        return tuple(metric for metric in self.all_metrics if metric not in untrained)

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`; the control is the baseline once more."""
        arms = {arm.name: arm for arm in self.arms} | {CONTROL: self.baseline}
        if name not in arms:
            raise DeclarationError(
                f"an arm of experiment {self.name!r} is named",
                repr(name),
                f"use one of {', '.join(a.name for a in self.arms)}",
            )
        return arms[name]

    def attempt(self, attempt_id: str) -> Attempt:
        """Return the attempt whose id is `attempt_id`."""
        attempts = {attempt.id: attempt for attempt in self.attempts}
        if attempt_id not in attempts:
            raise DeclarationError(
                f"an attempt of experiment {self.name!r} is named",
                repr(attempt_id),
                f"use one of {', '.join(attempts) or '(none: declare attempts=(Attempt(...),))'}",
            )
        return attempts[attempt_id]

    def case(self, case_id: str) -> Case:
        """Return the case whose id is `case_id`."""
        cases = {case.id: case for case in self.cases}
        if case_id not in cases:
            raise DeclarationError(
                f"a case of experiment {self.name!r} is named",
                repr(case_id),
                f"use one of {'; '.join(cases)}",
            )
        return cases[case_id]
