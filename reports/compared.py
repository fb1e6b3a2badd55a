"""A comparison in words, as Markdown: flips first, machines apart from techniques."""

from __future__ import annotations

import math
from collections.abc import Iterator

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.words.metrics import DIMENSIONS, Dimension
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import (
    Comparison,
    Side,
    SpeedUp,
    apart,
    flips,
    speed_ups,
)
from keras_ab.reports.machines import Key
from keras_ab.reports.markdown import code, escape, table


def compared(result: Comparison) -> str:
    """Return a comparison as Markdown."""
    parts = [part for part in _parts(result) if part]
    return "\n\n".join(parts) + "\n"


def _parts(result: Comparison) -> Iterator[str]:
    simulated = [side.name for side in result.sides if side.simulated]
    if simulated:
        yield f"**Simulated, not measured: {', '.join(map(escape, simulated))}.**"
    yield _flips(result)
    yield "## Arms against their baselines\n\n" + _arms(result)
    if len(result.sides) == 2:
        yield _changed(*result.sides)
    yield _environments(result)
    yield _code(result)
    for other in result.sides[1:]:
        yield _machines(result.sides[0], other)
    if result.refused:
        yield "## Not compared\n\n" + "\n".join(f"- {escape(line)}" for line in result.refused)


def _flips(result: Comparison) -> str:
    found = flips(result.sides)
    if not found:
        return "## Flips\n\nNo arm is better on one side and worse on another."
    lines = [
        f"- {escape(flip.key.says)}: {code(flip.arm)}, {escape(flip.title)}: "
        + "; ".join(
            f"**{f.verdict}** on {escape(name)} ({text.compact(f)})"
            for name, f in flip.found.items()
        )
        for flip in found
    ]
    return f"## {text.count(len(found), 'flip')}\n\n" + "\n".join(lines)


def _arms(result: Comparison) -> str:
    """Return the answer for each arm and what it sums up, one column for each side."""
    rows = []
    for k, placed in result.sides[0].trials.items():
        for arm in placed.trial.answered:
            found = [_answer(side, k, arm) for side in result.sides]
            rows.append((k.says, code(arm), "answer", *(a.word if a else "–" for a in found)))
            for dimension in DIMENSIONS:
                cells = [_cell(answer, dimension) for answer in found]
                if any(cells):
                    rows.append((k.says, code(arm), dimension, *(cell or "–" for cell in cells)))
    return table(("trial", "arm", "what", *(side.name for side in result.sides)), rows)


def _answer(side: Side, k: Key, arm: str) -> Answer | None:
    trial = side.trials[k].trial
    return trial.answer(arm) if arm in trial.answered else None


def _cell(answer: Answer | None, dimension: Dimension) -> str:
    finding = answer.part(dimension).finding if answer else None
    if not finding:
        return ""
    of = f"{finding.metric.title} " if dimension == "memory" else ""
    return f"{of}{text.compact(finding)} {finding.verdict}"


def _changed(a: Side, b: Side) -> str:
    """Say which A/B ratios differ between two sides by more than both noise floors."""
    judged = apart(a, b)
    found = judged.changes
    heading = f"## Ratios that differ from {escape(a.name)} to {escape(b.name)}\n\n"
    counted = text.count(judged.compared, "ratio") + " of ratios"
    if not found:
        return f"{heading}Of {counted} none does beyond the noise floors, after Holm’s correction."
    heading += (
        f"Of {counted} {len(found)} beyond the noise floors, after Holm’s correction, the largest "
        "first.\n\n"
    )
    rows = [
        (
            c.key.says,
            code(c.arm),
            c.after.metric.title,
            text.compact(c.before),
            text.compact(c.after),
            f"{text.compact(c.shown)} {c.verdict}",
        )
        for c in found
    ]
    return heading + table(("trial", "arm", "metric", a.name, b.name, "change"), rows)


def _environments(result: Comparison) -> str:
    first = escape(result.sides[0].name)
    parts = ["## Environments"]
    for name, lines in result.environments.items():
        listed = "\n".join(f"- {escape(line)}" for line in lines)
        parts.append(f"From {first} to {escape(name)}:\n\n{listed or '- no difference'}")
    return "\n\n".join(parts)


def _code(result: Comparison) -> str:
    """Say which files of code the arms of the other sides did not share with the first's."""
    first, *others = result.sides
    parts = ["## Code"]
    for other in others:
        listed = "\n".join(f"- {escape(line)}" for line in changed_code(first, other))
        parts.append(f"From {escape(first.name)} to {escape(other.name)}:")
        parts.append(listed or "- the same files")
    return "\n\n".join(parts)


def _machines(a: Side, b: Side) -> str:
    """Return how the step time of the same arm differs between two machines."""
    found = speed_ups(a, b)
    if not found:
        return ""
    rows = [(s.key.says, code(s.arm), shown_speed_up(s)) for s in found]
    heading = f"## The same arm, {escape(b.name)} against {escape(a.name)}"
    about = "Step time over step time. This is about the machines, not about a technique."
    return f"{heading}\n\n{about}\n\n{table(('trial', 'arm', 'step time'), rows)}"


def shown_speed_up(found: SpeedUp) -> str:
    """Return a ratio of step times with its interval."""
    return text.ratios(*(math.exp(x) for x in _ends(found.estimate)))


def _ends(e: Estimate) -> tuple[float, float, float]:
    wide = 700.0
    return e.point, max(-wide, e.low), min(wide, e.high)
