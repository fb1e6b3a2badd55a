"""One trial, named: what is handed to the measuring loop, here or on another machine."""

from __future__ import annotations

from dataclasses import dataclass

from keras_ab.bench.lab.record.records import (
    ArmRecord,
    ClaimRecord,
    GuardRecord,
    Trial,
)
from keras_ab.bench.lab.words.arms import Arm
from keras_ab.bench.lab.words.declare import Case, Claim, Experiment
from keras_ab.bench.lab.words.plan import Plan

FULL_ONLY = "full cases only"
"""Why a quick case decides nothing about a claim that is declared all the same."""


@dataclass(frozen=True)
class Task:
    """One trial, in names and numbers: it can be carried out here or anywhere else.

    Args:
        file: path of the bench file.
        experiment: name of the experiment in it.
        case: id of the case.
        backend: name of the backend.
        plan: how hard to look.
    """

    file: str
    experiment: str
    case: str
    backend: str
    plan: Plan

    @property
    def trial(self) -> str:
        """The trial's name in records and reports."""
        return f"{self.experiment}[{self.case}]"


def declaration(task: Task, experiment: Experiment, case: Case) -> Trial:
    """Return the trial's declaration as a record: all that a report needs, without the code."""
    quality = experiment.quality_of(case)
    return Trial(
        trial=task.trial,
        experiment=experiment.name,
        question=experiment.question,
        method=experiment.method,
        held_fixed=experiment.held_fixed,
        does_not_show=experiment.does_not_show,
        sources=[str(source) for source in experiment.sources],
        case=dict(case.params),
        arms=[_arm(arm) for arm in experiment.arms],
        metrics=list(experiment.all_metrics),
        claims=_claims(experiment, case),
        guards=[
            GuardRecord(observed=g.observed, tolerance=g.tolerance, says=g.says, arms=list(g.arms))
            for g in experiment.guards
        ],
        quality=quality.metric.name if quality else None,
        timed=experiment.timed,
        also=[metric.name for metric in quality.also] if quality else [],
        purpose=experiment.purpose,
        subject=experiment.subject,
    )


def _arm(arm: Arm) -> ArmRecord:
    return ArmRecord(
        name=arm.name,
        says=arm.says,
        code=arm.code,
        yardstick=arm.yardstick,
        techniques=list(arm.techniques),
    )


def _claims(experiment: Experiment, case: Case) -> list[ClaimRecord]:
    """Return the claims that a case decides; a quick case also names what only full ones do."""
    return [
        _claim(experiment, claim, "" if experiment.decides(case, claim) else FULL_ONLY)
        for claim in experiment.claims
        if experiment.decides(case, claim) or experiment.leaves_to_full(case, claim)
    ]


def _claim(experiment: Experiment, claim: Claim, not_here: str) -> ClaimRecord:
    return ClaimRecord(
        id=f"{experiment.name}.{claim.id}",
        statement=claim.statement,
        source=str(claim.source or experiment.sources[0]),
        arm=claim.arm,
        metric=claim.metric,
        at_most=claim.at_most,
        at_least=claim.at_least,
        attempt=claim.attempt,
        works=claim.works,
        not_here=not_here,
        against=claim.against,
    )
