"""Judged runs as tidy pandas tables, with units in the column names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.record.records import Round
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import gpu_names, is_simulated, machine_name, throttled

Cells = dict[str, Any]

SAMPLES = (
    "run",
    "trial",
    "experiment",
    "block",
    "block_finished",
    "round",
    "position",
    "arm",
    "steps",
    "step_time_s",
    "hand_over_s",
    "others_cpu_cores",
    "gpu_lowest_sm_clock_hz",
    "gpu_throttled",
)
TRIALS = (
    "run",
    "trial",
    "experiment",
    "case",
    "arm",
    "baseline",
    "answer",
    "dimension",
    "metric",
    "unit",
    "better",
    "verdict",
    "reason",
    "ratio",
    "difference",
    "low",
    "high",
    "confidence",
    "blocks",
    "floor",
    "margin",
    "smallest_effect",
    "blocks_to_settle",
    "p_value",
    "baseline_value",
    "arm_value",
)
CLAIMS = (
    "run",
    "trial",
    "experiment",
    "claim",
    "statement",
    "source",
    "arm",
    "metric",
    "at_least",
    "at_most",
    "outcome",
    "reason",
    "point",
    "low",
    "high",
    "blocks",
)
MACHINES = (
    "run",
    "started",
    "backend",
    "machine",
    "simulated",
    "cpu",
    "cores_usable",
    "memory_bytes",
    "gpus",
    "python",
    "packages",
    "sealed",
    "sha256",
    "path",
)


def _frame(rows: Iterable[Cells], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame.from_records(list(rows), columns=list(columns))


def samples(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return one row per sample."""
    columns: dict[str, list[Any]] = {name: [] for name in SAMPLES}
    for run in runs:
        for trial in run.trials:
            for block, rounds in trial.data.rounds.items():
                for line in rounds:
                    _add_round(columns, run, trial, block, line)
    return pd.DataFrame(columns)


def _add_round(
    columns: dict[str, list[Any]], run: JudgedRun, trial: JudgedTrial, block: int, line: Round
) -> None:
    """Append the samples of one round, column by column: a row at a time is too slow for many."""
    declared, arms = trial.data.declared, list(line.step_time_s)
    shared = {
        "run": run.header.run,
        "trial": declared.trial,
        "experiment": declared.experiment,
        "block": block,
        "block_finished": block in trial.data.blocks,
        "round": line.round,
        "steps": line.steps,
        "others_cpu_cores": line.others_cpu_cores,
        "gpu_lowest_sm_clock_hz": (line.gpu or {}).get("lowest_sm_clock_hz"),
        "gpu_throttled": throttled(line),
    }
    for name, value in shared.items():
        columns[name].extend([value] * len(arms))
    places = {arm: place for place, arm in enumerate(line.order)}
    columns["position"].extend(places.get(arm) for arm in arms)
    columns["arm"].extend(arms)
    columns["step_time_s"].extend(line.step_time_s.values())
    columns["hand_over_s"].extend((line.hand_over_s or {}).get(arm) for arm in arms)


def trials(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return one row per trial, arm and metric; one row for an arm that has no findings."""
    return _frame((row for run in runs for row in _trial_rows(run)), TRIALS)


def _trial_rows(run: JudgedRun) -> Iterator[Cells]:
    for trial in run.trials:
        for answer in trial.answers:
            about = {
                "run": run.header.run,
                "trial": trial.data.declared.trial,
                "experiment": trial.data.declared.experiment,
                "case": case_text(trial),
                "arm": answer.arm,
                "baseline": trial.data.baseline,
                "answer": answer.word.value,
                "reason": answer.reason,
            }
            dimensions = {p.finding.metric.name: p.dimension for p in answer.parts if p.finding}
            found = trial.of(answer.arm)
            for finding in found:
                row = _finding_row(finding, trial.plan.confidence)
                yield about | {"dimension": dimensions.get(finding.metric.name, "")} | row
            if not found:
                yield about | {"verdict": answer.word.value}


def case_text(trial: JudgedTrial) -> str:
    """Return the case as ``key=value, key=value``."""
    return ", ".join(f"{key}={value}" for key, value in trial.data.declared.case.items())


def _finding_row(finding: Finding, confidence: float) -> Cells:
    estimate, is_ratio = finding.estimate, finding.metric.scale == "ratio"
    point = finding.shown(estimate.point)
    return {
        "metric": finding.metric.name,
        "unit": finding.metric.unit,
        "better": finding.metric.better,
        "verdict": finding.verdict.value,
        "ratio": point if is_ratio else math.nan,
        "difference": math.nan if is_ratio else point,
        "low": finding.shown(estimate.low),
        "high": finding.shown(estimate.high),
        "confidence": confidence,
        "blocks": estimate.blocks,
        "floor": _beyond(finding, finding.thresholds.floor),
        "margin": _beyond(finding, finding.thresholds.margin),
        "smallest_effect": _beyond(finding, finding.smallest_effect),
        "blocks_to_settle": finding.blocks_to_settle,
        "p_value": finding.p_value,
        "baseline_value": finding.baseline_value,
        "arm_value": finding.arm_value,
    }


def _beyond(finding: Finding, x: float) -> float:
    """Return a distance from "no difference": a share of a ratio, or a difference."""
    return x if finding.metric.scale == "difference" else finding.shown(x) - 1


def claims(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return one row per claim and trial."""
    return _frame((row for run in runs for row in _claim_rows(run)), CLAIMS)


def _claim_rows(run: JudgedRun) -> Iterator[Cells]:
    for trial in run.trials:
        for judged in trial.claims:
            claim, finding = judged.claim, judged.finding
            row = {
                "run": run.header.run,
                "trial": judged.trial,
                "experiment": trial.data.declared.experiment,
                "claim": claim.id,
                "statement": claim.statement,
                "source": claim.source,
                "arm": claim.arm,
                "metric": claim.metric,
                "at_least": claim.at_least,
                "at_most": claim.at_most,
                "outcome": judged.outcome.value,
                "reason": judged.reason,
            }
            if finding:
                e = finding.estimate
                row |= {"point": finding.shown(e.point), "blocks": e.blocks}
                row |= {"low": finding.shown(e.low), "high": finding.shown(e.high)}
            yield row


def machines(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Return one row per run."""
    return _frame((_machine_row(run) for run in runs), MACHINES)


def _machine_row(run: JudgedRun) -> Cells:
    header = run.header
    packages = header.environment.get("packages")
    return {
        "run": header.run,
        "started": header.started,
        "backend": header.backend,
        "machine": machine_name(run),
        "simulated": is_simulated(run),
        "cpu": header.machine.get("cpu"),
        "cores_usable": header.machine.get("cores_usable"),
        "memory_bytes": header.machine.get("memory_bytes"),
        "gpus": ", ".join(gpu_names(header.machine)),
        "python": header.environment.get("python"),
        "packages": ", ".join(f"{k} {v}" for k, v in packages.items())
        if isinstance(packages, dict)
        else "",
        "sealed": run.run.sealed,
        "sha256": run.run.sha256,
        "path": str(run.run.path),
    }
