"""The verdict table as plain text, for the end of a benchmark run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from bench.lab import text
from bench.lab.trials import TrialData
from reports.judged import JudgedTrial, judge_trial
from reports.legible import legible, short_names

WIDTH = 100
HEADINGS = ("trial", "arm", "step time", "verdict", "peak memory", "quality")


def verdict_table(trials: dict[str, TrialData], plan: Mapping[str, Any]) -> str:
    """Return verdicts, claims, and what was not measured, in at most 100 columns."""
    judged = [judge_trial(data, plan) for data in trials.values()]
    names = short_names([trial.data.declared for trial in judged])
    parts = (_verdicts(judged, names), _claims(judged), _troubles(judged, names))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _verdicts(trials: list[JudgedTrial], names: list[str]) -> list[str]:
    rows = [
        _row(trial, name, arm)
        for trial, name in zip(trials, names, strict=True)
        for arm in trial.data.treatments
    ]
    return _aligned([HEADINGS, *rows]) if rows else []


def _row(trial: JudgedTrial, name: str, arm: str) -> tuple[str, ...]:
    step = trial.find(arm, "step_time_s")
    memory = trial.find(arm, "peak_device_memory_bytes")
    quality = trial.find(arm, trial.data.declared.quality or "")
    return (
        legible(name),
        legible(arm),
        text.compared(step) if step else "–",
        trial.standing(arm).word,
        text.ratio(memory.shown(memory.estimate.point)) if memory else "–",
        f"{text.signed(quality.estimate.point)} {quality.verdict}" if quality else "–",
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows in columns; the two columns of names give way where the line is too long."""
    kept = [i for i in range(len(rows[0])) if i < 4 or any(row[i] != "–" for row in rows[1:])]
    rows = [tuple(row[i] for i in kept) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(kept))]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths[:2]) > 8:
        longest = 0 if widths[0] >= widths[1] else 1
        widths[longest] -= 1
    return [
        "  ".join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))[
            :WIDTH
        ].rstrip()
        for row in rows
    ]


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def _claims(trials: list[JudgedTrial]) -> list[str]:
    lines = []
    for trial in trials:
        for judged in trial.claims:
            claim, metric = judged.claim, trial.data.metric(judged.claim.metric)
            wanted = text.bound(claim.at_least, claim.at_most, metric.scale)
            found = text.compact(judged.finding) if judged.finding else judged.reason
            lines += _wrapped(
                f"{judged.outcome}: {claim.id} ({claim.arm}: {metric.title} {wanted}): {found}"
            )
    return lines and ["claims", *lines]


def _troubles(trials: list[JudgedTrial], names: list[str]) -> list[str]:
    lines = []
    for trial, name in zip(trials, names, strict=True):
        for arm in trial.data.treatments:
            standing = trial.standing(arm)
            if standing.reason:
                lines += _wrapped(f"{standing.word}: {name}, {arm}: {standing.reason}")
        for failure in trial.data.failures:
            if trial.find(failure.arm or "", "step_time_s"):
                lines += _wrapped(
                    f"failed later: {name}, {failure.arm}: {failure.what} during "
                    f"{failure.stage}: {failure.message}"
                )
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        legible(line)[:2000], WIDTH, initial_indent="  ", subsequent_indent="      "
    )
