"""What the template asks for and Python says better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.contrasts import NO_RATIO
from keras_ab.bench.lab.judge.estimate import ROUNDING
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.peaks import TOO_SMALL
from keras_ab.bench.lab.judge.targets import NEVER_REACHED
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.records import Absent, Attempted
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import (
    FIRST_STEP_TIME,
    HOST_HIGH_WATER,
    PEAK_DEVICE_MEMORY,
    PEAK_HOST_MEMORY,
    STEP_TIME,
)
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.figures import paired_rounds
from keras_ab.reports.judged import JudgedTrial

_LINK = re.compile(r"https?://[^\s<>\"']+\Z")
SAID = (TOO_SMALL, NO_RATIO, NEVER_REACHED)
"""Why something that was looked at is not told of: said beside what is."""
_PEAKS = {m.name for m in (PEAK_DEVICE_MEMORY, PEAK_HOST_MEMORY, HOST_HIGH_WATER)}


@dataclass(frozen=True)
class Source:
    """A source with its link, if it ends in one."""

    says: str
    link: str


def source(written: str) -> Source:
    """Part a source from its link; only http and https are links."""
    found = _LINK.search(written)
    if not found:
        return Source(written, "")
    return Source(written[: found.start()].rstrip(" ,"), found[0])


def other_sizes(trial: JudgedTrial, arm: str) -> list[Finding]:
    """Return the findings on sizes that the arm changes, peaks aside."""
    return [
        f
        for f in trial.of(arm)
        if f.metric.unit in ("B", "lines")
        and f.metric.name not in _PEAKS
        and abs(f.estimate.point) > ROUNDING
    ]


def outcomes(trial: JudgedTrial) -> list[str]:
    """Return the names of what is learnt, the judged quality first."""
    declared = trial.data.declared
    return [declared.quality, *declared.also] if declared.quality else []


def title(trial: JudgedTrial, metric: str) -> str:
    """Return a metric's name for people; a file can name one that it does not declare."""
    declared = trial.data.declared.metrics
    return next((m.title for m in declared if m.name == metric), metric)


def also_learnt(trial: JudgedTrial, arm: str) -> list[Finding]:
    """Return the findings on what is learnt, the quality that is judged aside."""
    found = (trial.find(arm, name) for name in outcomes(trial)[1:])
    return [finding for finding in found if finding]


def needs_power(finding: Finding) -> bool:
    """Tell whether a finding has to say what it could have seen."""
    undecided = finding.verdict in (Verdict.INCONCLUSIVE, Verdict.EQUIVALENT)
    return undecided and not text.is_exact(finding)


def says(trial: JudgedTrial, answer: Answer) -> list[str]:
    """Say in a sentence each what a trial found out about an arm, its purpose first."""
    told = [_says(trial, part.finding) for part in answer.parts if part.finding]
    unmeasured = (part for part in answer.parts if part.reason in SAID)
    told += [f"{p.dimension.capitalize()}: not measured, {p.reason}." for p in unmeasured]
    return told + [said for said in (_bandwidths(trial, answer),) if said]


def _says(trial: JudgedTrial, finding: Finding) -> str:
    counted = text.count(finding.estimate.blocks, finding.counts)
    title = finding.metric.title[:1].upper() + finding.metric.title[1:]
    said = f"{title} {text.compact(finding)} of {trial.data.baseline}’s over {counted}"
    if finding.metric.scale == "difference":
        said = f"{title} {text.compact(finding)} beside {trial.data.baseline}’s over {counted}"
    if finding.verdict is Verdict.INCONCLUSIVE:
        return f"{said}, {finding.verdict}: {text.left_open(finding)}."
    return f"{said}, {finding.verdict}."


def _bandwidths(trial: JudgedTrial, answer: Answer) -> str:
    """Say how fast an arm and the baseline move the bytes that the experiment counts."""
    step = answer.part("time").finding
    moved = next((f for f in trial.of(answer.arm) if f.metric.moved_by_step), None)
    if not step or not moved:
        return ""
    own = text.bandwidth(moved.arm_value / step.arm_value)
    baseline = text.bandwidth(moved.baseline_value / step.baseline_value)
    return f"That is {own}; {trial.data.baseline}’s, {baseline}."


def unsaid(trial: JudgedTrial) -> list[Absent]:
    """Return the absences that the answers for the arms do not tell of already."""
    said = {answer.reason for answer in trial.answers}
    return [absent for absent in trial.data.absences if absent.said not in said]


def startup(trial: JudgedTrial, arm: str) -> str | None:
    """Say when an arm has paid for its first step, or lost what its first step won."""
    first, step = (trial.find(arm, metric.name) for metric in (FIRST_STEP_TIME, STEP_TIME))
    settled = (Verdict.BETTER, Verdict.WORSE)
    if not first or not step or first.verdict not in settled:
        return None
    extra = first.arm_value - first.baseline_value
    cost = f"Its first step takes {text.seconds(abs(extra))} {'more' if extra > 0 else 'less'}"
    if step.verdict not in settled:
        return f"{cost}; its steady step is not known to differ, so no break-even can be told."
    if step.verdict is first.verdict:
        return f"{cost}, and each later step is {step.verdict} as well: there is no break-even."
    steps = break_even_steps(extra, step.baseline_value - step.arm_value)
    won = "has paid for that" if extra > 0 else "has used that up"
    return f"{cost}; it {won} after about {text.number(steps)} steps."


def break_even_steps(first_extra_s: float, saved_per_step_s: float) -> float:
    """Return the n at which both arms have taken as long: ``1 + extra / saved per step``."""
    return 1 + first_extra_s / saved_per_step_s if saved_per_step_s else math.inf


@dataclass(frozen=True)
class BlockRow:
    """One block of one arm: the centre of its paired rounds, and their range."""

    arm: str
    block: int
    rounds: int
    finished: bool
    centre: str
    lowest: str
    highest: str


def block_rows(trial: JudgedTrial) -> Iterator[BlockRow]:
    """Yield the table behind the picture of the paired rounds."""
    for arm in (*trial.data.treatments, CONTROL):
        paired = paired_rounds(trial, arm)
        for number, finished, ratios, centre in zip(
            paired.blocks, paired.finished, paired.ratios, paired.centres, strict=True
        ):
            shown = [math.exp(x) for x in (centre, min(ratios), max(ratios))]
            yield BlockRow(arm, number + 1, len(ratios), finished, *map(text.ratio, shown))


@dataclass(frozen=True)
class Tried:
    """One thing that was tried, and what happened on each arm; "" stands for no arm."""

    says: str
    on: dict[str, Attempted]


def tried(trial: JudgedTrial) -> list[Tried]:
    """Return the table of what was tried: a row for each name, in order."""
    rows: dict[str, Tried] = {}
    for attempt in trial.data.attempts:
        rows.setdefault(attempt.name, Tried(attempt.says, {})).on[attempt.arm] = attempt
    return list(rows.values())


def tried_on(trial: JudgedTrial) -> list[str]:
    """Return the arms on which something was tried, in order."""
    return list(dict.fromkeys(attempt.arm for attempt in trial.data.attempts))


def as_facts(plan: Plan) -> dict[str, Any]:
    """Return a plan as nested facts."""
    return asdict(plan)


def facts(nested: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested facts with the path to each."""
    if isinstance(nested, dict):
        for key, value in nested.items():
            yield from facts(value, f"{path} · {key}" if path else str(key))
    elif isinstance(nested, list) and any(isinstance(x, dict | list) for x in nested):
        for number, value in enumerate(nested, 1):
            yield from facts(value, f"{path} {number}")
    elif isinstance(nested, list):
        yield path, ", ".join(text.fact(path, x) for x in nested) or "none"
    else:
        yield path, "–" if nested is None else text.fact(path, nested)
