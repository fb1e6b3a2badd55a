"""Tables that run across trials: the verdicts for people, and histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Part
from keras_ab.bench.lab.words.metrics import DIMENSIONS
from keras_ab.reports.history import histories
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.legible import legible
from keras_ab.reports.machines import machines
from keras_ab.reports.tables import case_text

VERDICTS = ("technique", "arm", "machine", "answer", "time", "memory", "quality", "energy")
HISTORY = (
    "machine",
    "experiment",
    "case",
    "arm",
    "run",
    "started",
    "ratio",
    "low",
    "high",
    "verdict",
    "arm_step_time_s",
    "baseline_step_time_s",
    "environment_changed",
)


def verdicts(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return the newest answer for every arm on every machine, in words."""
    return pd.DataFrame.from_records(list(_verdict_rows(runs)), columns=list(VERDICTS))


def _verdict_rows(runs: Iterable[JudgedRun]) -> Iterator[tuple[str, ...]]:
    for machine in machines(runs):
        name = f"{machine.name}{' (simulated)' if machine.simulated else ''}"
        for placed in machine.newest:
            for answer in placed.trial.answers:
                technique = f"{placed.trial.data.declared.experiment} {case_text(placed.trial)}"
                cells = [_cell(answer.part(dimension)) for dimension in DIMENSIONS]
                row = (technique, answer.arm, name, answer.word, *cells)
                yield tuple(legible(cell, 300) for cell in row)


def _cell(part: Part) -> str:
    return f"{text.compact(part.finding)} {part.word}" if part.finding else "–"


def history(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return one row for each run of each arm that a machine measured more than once."""
    return pd.DataFrame.from_records(list(_history_rows(runs)), columns=list(HISTORY))


def _history_rows(runs: Iterable[JudgedRun]) -> Iterator[dict[str, Any]]:
    for series in histories(machines(runs)):
        for moment in series.moments:
            found = ((arm, moment.find(arm)) for arm in series.arms)
            for arm, finding in ((arm, finding) for arm, finding in found if finding):
                e = finding.estimate
                yield {
                    "machine": series.machine,
                    "experiment": series.key.experiment,
                    "case": ", ".join(f"{k}={v}" for k, v in series.key.case),
                    "arm": arm,
                    "run": moment.run.header.run,
                    "started": moment.run.header.started,
                    "ratio": finding.shown(e.point),
                    "low": finding.shown(e.low),
                    "high": finding.shown(e.high),
                    "verdict": finding.verdict.value,
                    "arm_step_time_s": finding.arm_value,
                    "baseline_step_time_s": finding.baseline_value,
                    "environment_changed": "; ".join(moment.changed),
                }
