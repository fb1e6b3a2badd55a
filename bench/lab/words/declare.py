"""The words of the lab: experiment, arm, case, claim, guard, quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_ab.bench.lab.words.arms import CONTROL as CONTROL
from keras_ab.bench.lab.words.arms import Arm, Attempt
from keras_ab.bench.lab.words.arms import Prepared as Prepared
from keras_ab.bench.lab.words.cases import SELECTIONS as SELECTIONS
from keras_ab.bench.lab.words.cases import Case, Params, Value
from keras_ab.bench.lab.words.cases import grid as grid
from keras_ab.bench.lab.words.cases import sweep as sweep
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import (
    DIMENSIONS,
    MEASURED,
    STEP_TIME,
    STEPS_TO_TARGET,
    TIME_TO_TARGET,
    Dimension,
    Metric,
    named,
)
from keras_ab.bench.lab.words.names import check_name, check_unique


@dataclass(frozen=True)
class Source:
    """Where a claim was made; `url` leads to the page itself, and is empty where nobody knows."""

    author: str
    title: str
    year: int
    url: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"{self.author} ({self.year})", self.title, self.url)))


@dataclass(frozen=True)
class Guard:
    """What must hold for a comparison to be fair.

    Args:
        observed: the name of an array that every arm's `observe` returns; arrays that it names
            ``observed/part`` are compared part by part, so that no large one hides a small one.
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
class Claim:
    """A source's sentence as a bound on a metric of one arm, relative to another's.

    A sentence about what can be done at all is a claim on an attempt instead.

    Args:
        id: stable name, unique in the experiment.
        statement: what the source says, in our words.
        arm: the arm that carries the technique.
        metric: a metric's name.
        at_most: the upper bound on the ratio (or difference), if the claim has one.
        at_least: the lower bound, if the claim has one. Where no difference is the one bound on
            what is learnt, a gain is claimed, and a tie refutes it.
        where: case parameters that the claim is limited to; empty for all cases.
        source: where it was made; None for the experiment's first source.
        attempt: in place of a metric, the name of an attempt on `arm`.
        works: what the source says of the attempt: that it works, or that it does not.
        against: the arm that the bound is relative to, where that is not the baseline.
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
    against: str = ""

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
        also: further outcomes of the trainings that are judged.
        tune: called as `train` to choose from the grid; returns the outcome as told by examples
            that judge nothing, such as `Workload.choosing` has.
        quick: whether quick cases are trained too; where not, only the full ones are.
        arms: the arms that are trained; empty for all.
    """

    metric: Metric
    train: Callable[[Any, Params, int, float], float | Mapping[str, float]]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    also: tuple[Metric, ...] = ()
    quick: bool = True
    arms: tuple[str, ...] = ()
    tune: Callable[[Any, Params, int, float], float] | None = None

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
        if self.tuning_seeds and self.tune is None:
            raise DeclarationError(
                "a learning rate is chosen by examples that do not judge it",
                "no tune",
                "give tune=, as train=, with other examples to test on: Workload.choosing has them",
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
    first: str = ""
    """What the first process of all has to make, and keeps: said where nothing else would be."""
    subject: str = ""
    """The reader's own model that is on trial, ``train.py:make``; empty for a workload of ours."""

    def __post_init__(self) -> None:
        check_name("an experiment", self.name)
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
        check_unique("arm", [arm.name for arm in self.arms])
        check_unique("case", [case.id for case in self.cases])
        check_unique("claim", [claim.id for claim in self.claims])

    def _check_attempts(self) -> None:
        check_unique("attempt", [attempt.id for attempt in self.attempts])
        for attempt in self.attempts:
            if attempt.arm:
                self.arm(attempt.arm)

    def _check_claims(self) -> None:
        for claim in self.claims:
            self._check_where(claim)
            if claim.attempt:
                self.attempt(f"{claim.arm}.{claim.attempt}" if claim.arm else claim.attempt)
                continue
            named(claim.metric, self.all_metrics)
            self._check_compared(claim)
            self._check_decided(claim)
        for guard in self.guards:
            for name in guard.arms:
                self.arm(name)
        for name in self.quality.arms if self.quality else ():
            self.arm(name)

    def _check_compared(self, claim: Claim) -> None:
        other = self.arm(claim.against) if claim.against else self.baseline
        if self.arm(claim.arm) is other:
            raise DeclarationError(
                "a claim compares two arms",
                f"{claim.id!r}, of {claim.arm} against itself",
                "name the treatment as arm, and what it is held against",
            )

    def _check_decided(self, claim: Claim) -> None:
        if not any(self.decides(case, claim) for case in self.cases):
            raise DeclarationError(
                "a claim is decided by at least one case of its experiment",
                f"{claim.id!r}, which concerns none that records {claim.metric}",
                f"add such a case, or change where={dict(claim.where)}",
            )

    def _check_where(self, claim: Claim) -> None:
        if not any(claim.concerns(case.params) for case in self.cases):
            raise DeclarationError(
                "a claim speaks of at least one case of its experiment",
                f"{claim.id!r} where {dict(claim.where)}, which none of them has",
                f"use parameters of one of {'; '.join(case.id for case in self.cases)}",
            )

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
        names = {metric.name for metric in self._outcomes}
        timed = (TIME_TO_TARGET,) if STEPS_TO_TARGET in names else ()
        return (STEP_TIME, *self._outcomes, *timed, *self.metrics, *MEASURED[1:])

    def quality_of(self, case: Case) -> Quality | None:
        """Return what is learnt in a case, if anything is."""
        asked = self.quality and (self.quality.quick or not case.quick) and not case.swept
        return self.quality if asked else None

    def decides(self, case: Case, claim: Claim) -> bool:
        """Tell whether a case can decide a claim: it is of such cases, and records the metric."""
        learnt = claim.metric in {metric.name for metric in (*self._outcomes, TIME_TO_TARGET)}
        return claim.concerns(case.params) and not (learnt and self.quality_of(case) is None)

    def leaves_to_full(self, case: Case, claim: Claim) -> bool:
        """Tell whether a quick case leaves a claim to the full ones, as every quick case does."""
        return case.quick and not any(c.quick and self.decides(c, claim) for c in self.cases)

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
