"""What each section of the page shows, ready for its template."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.findings import ClaimFinding, Finding
from keras_ab.bench.lab.record.records import Trial
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.metrics import STEP_TIME, Dimension
from keras_ab.reports import cautions, figures, views
from keras_ab.reports.cautions import Caution
from keras_ab.reports.citing import MARK, WHOLE, Quotable, of_trial
from keras_ab.reports.claims_figure import claims_figure
from keras_ab.reports.compare import Change
from keras_ab.reports.history import Series, histories
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import short_names
from keras_ab.reports.machines import Key, Machine, key
from keras_ab.reports.memory import Curves, curves
from keras_ab.reports.series_figure import history_figure
from keras_ab.reports.turning_points import Turn

DETAILED = 100
"""Trials that a page shows in full; it says so where there are more."""
DRAWN = 40
"""Histories that are drawn; all have their tables."""


@dataclass(frozen=True)
class TrialView:
    """One trial as the page shows it."""

    anchor: str
    name: str
    machine: str
    run: JudgedRun
    trial: JudgedTrial

    @property
    def data(self) -> TrialData:
        """The trial's records."""
        return self.trial.data

    @property
    def declared(self) -> Trial:
        """The trial's declaration."""
        return self.trial.data.declared

    @property
    def words(self) -> list[str]:
        """The answers for its arms, each word once."""
        return list(dict.fromkeys(answer.word.value for answer in self.trial.answers))

    @cached_property
    def cautions(self) -> list[Caution]:
        """What a reader should know before trusting it."""
        return cautions.of_trial(self.trial)

    @property
    def source(self) -> str:
        """What every citation of it ends with, up to the number's id."""
        return f"{next((q.source for q in self.quotables.values()), '')}{MARK}"

    @cached_property
    def quotables(self) -> dict[tuple[str, str], Quotable]:
        """What can be cited of it, by arm and metric, or by "claim" and the claim's id."""
        return {_cited(quotable): quotable for quotable in of_trial(self.run, self.trial)}

    @cached_property
    def figures(self) -> dict[str, Markup | None]:
        """The figures of it, as inline SVG."""
        draw = {
            "ratio": figures.ratio_figure,
            "rounds": figures.rounds_figure,
            "claims": claims_figure,
        }
        return {name: figure(self.trial) for name, figure in draw.items()}

    @cached_property
    def quality(self) -> list[Markup]:
        """A figure for each outcome of training."""
        outcomes = views.outcomes(self.trial)
        drawn = (figures.quality_figure(self.trial, outcome) for outcome in outcomes)
        return [figure for figure in drawn if figure]

    @cached_property
    def memory(self) -> Curves | None:
        """Its memory over a step, if that was watched."""
        return curves(self.trial)


def _cited(quotable: Quotable) -> tuple[str, str]:
    if quotable.claim:
        return "claim", quotable.claim.claim.id
    if quotable.answer:
        return quotable.answer.arm, WHOLE
    if quotable.told:
        return quotable.told.cited
    assert quotable.finding is not None  # noqa: S101 - a number without a claim has a finding
    return quotable.finding.arm, quotable.finding.metric.name


def has_interval(finding: Finding) -> bool:
    """Tell whether a finding has an interval that ends."""
    return math.isfinite(finding.estimate.half_width)


def trial_views(machines: Iterable[Machine]) -> tuple[list[TrialView], list[TrialView]]:
    """Return the newest trial of everything on every machine, and those that are shown in full."""
    every = []
    for m, machine in enumerate(machines, 1):
        newest = machine.newest
        names = short_names([placed.trial.data.declared for placed in newest])
        every += [
            TrialView(f"m{m}t{n}", name, machine.name, placed.run, placed.trial)
            for n, (placed, name) in enumerate(zip(newest, names, strict=True), 1)
        ]
    return every, every[:DETAILED]


@dataclass(frozen=True)
class AnswerRow:
    """One arm on one machine, in the table of answers."""

    anchor: str
    key: Key
    experiment: str
    subject: str
    """Of whose own it is; empty where it is one of ours."""
    telling: str
    """The parameters that tell its trial from others of the experiment."""
    says: str
    """What the arm does, in words."""
    against: str
    """What the baseline does."""
    needs: str
    """What it takes to measure it, where it was not measured here."""
    same: bool
    """Whether the row above is of the same trial."""
    machine: str
    answer: Answer
    warnings: int
    sizes: list[Finding]
    also: list[Finding]
    """Further outcomes of the same trainings."""
    quotable: Quotable | None
    yardstick: bool
    """Whether the arm is a limit to hold others against, and no technique."""

    def more(self, dimension: Dimension) -> list[Finding]:
        """Return what is told beside the finding on a dimension, and not judged in its word."""
        return {"memory": self.sizes, "quality": self.also}.get(dimension, [])

    @property
    def word(self) -> str:
        """The answer in a word."""
        return self.answer.word.value

    @property
    def certainty(self) -> float | None:
        """The half-width of the interval on what the technique is for; None where it has none."""
        found = next(iter(self.answer.findings), None)
        return found.estimate.half_width if found and has_interval(found) else None


def answers(trials: Sequence[TrialView], shared: Collection[str] = ()) -> list[AnswerRow]:
    """Return the table of answers, the machines of each technique side by side.

    Args:
        trials: the trials of the page.
        shared: warnings that are said once for all of them.
    """
    groups: dict[str, list[tuple[Answer, TrialView]]] = {}
    for view in trials:
        for answer in view.trial.answers:
            groups.setdefault(view.name, []).append((answer, view))
    rows: list[AnswerRow] = []
    for members in groups.values():
        arms = list(dict.fromkeys(answer.arm for answer, _ in members))
        ordered = sorted(members, key=lambda member: arms.index(member[0].arm))
        rows += [
            _row(view, answer, shared, again=n > 0) for n, (answer, view) in enumerate(ordered)
        ]
    return rows


def _row(view: TrialView, answer: Answer, shared: Collection[str], *, again: bool) -> AnswerRow:
    baseline, says = view.declared.arms[0], {arm.name: arm.says for arm in view.declared.arms}
    return AnswerRow(
        anchor=view.anchor,
        key=key(view.data),
        experiment=view.declared.experiment,
        subject=view.declared.subject,
        telling=view.name.removeprefix(view.declared.experiment).strip(),
        says=says.get(answer.arm, answer.arm),
        against="" if answer.arm == baseline.name else baseline.says,
        needs=_needs(view.data, answer),
        same=again,
        machine=view.machine,
        answer=answer,
        warnings=sum(caution.common not in shared for caution in view.cautions),
        sizes=views.other_sizes(view.trial, answer.arm),
        also=views.also_learnt(view.trial, answer.arm),
        quotable=view.quotables.get((answer.arm, WHOLE)),
        yardstick=any(a.name == answer.arm and a.yardstick for a in view.declared.arms),
    )


def _needs(data: TrialData, answer: Answer) -> str:
    """Return what it takes to measure an arm: the last part of the error that was in the way."""
    found = (absent for absent in data.absences if absent.arm in (answer.arm, None))
    if (absent := next(found, None)) is None:
        return answer.reason
    told = absent.refusal.do if absent.refusal else absent.reason.partition("what to do: ")[2]
    return told or answer.reason


@dataclass(frozen=True)
class ClaimView:
    """One claim on one machine."""

    anchor: str
    experiment: str
    name: str
    machine: str
    claim: ClaimFinding
    wanted: str

    @property
    def outcome(self) -> str:
        """What became of it."""
        return str(self.claim.outcome)


def claims(trials: Iterable[TrialView]) -> list[ClaimView]:
    """Return every claim that was tested."""
    return [
        ClaimView(
            t.anchor,
            t.declared.experiment,
            t.name,
            t.machine,
            claim,
            text.wanted(claim.claim, t.data),
        )
        for t in trials
        for claim in t.trial.claims
    ]


def history(machines: Iterable[Machine], turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return each trial that a machine measured more than once, the first of them drawn."""
    found: list[Series] = histories(machines)
    steps: defaultdict[tuple[str, Key], dict[tuple[str, str], Change]] = defaultdict(dict)
    for turn in turns:
        for c in turn.changed:
            if c.after.metric.name == STEP_TIME.name:
                steps[turn.machine, c.key][turn.after.header.run, c.arm] = c
    return [
        {
            "series": series,
            "changed": sum(bool(moment.changed) for moment in series.moments),
            "turned": steps[series.machine, series.key],
            "figure": history_figure(series) if n < DRAWN else None,
        }
        for n, series in enumerate(found)
    ]
