"""A comparison in words: flips first, machines apart from techniques."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.words.metrics import DIMENSIONS, Dimension
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import (
    Change,
    Comparison,
    Side,
    SpeedUp,
    apart,
    differing_code,
    flips,
    speed_ups,
)
from keras_ab.reports.forms import FORMS, Form
from keras_ab.reports.machines import Key


def compared(result: Comparison, form: Form = FORMS["markdown"]) -> str:
    """Return a comparison in words."""
    parts = [part for part in _parts(result, form) if part]
    return "\n\n".join(parts) + "\n"


def _parts(result: Comparison, form: Form) -> Iterator[str]:
    simulated = [form.words(side.name) for side in result.sides if side.simulated]
    if simulated:
        yield form.strong(f"Simulated, not measured: {', '.join(simulated)}.")
    yield _flips(result, form)
    for other in result.sides[1:]:
        yield _changed(result.sides[0], other, form)
    yield form.heading("Arms against their baselines") + "\n\n" + _arms(result, form)
    yield _environments(result, form)
    yield _code(result, form)
    for other in result.sides[1:]:
        yield _machines(result.sides[0], other, form)
    if result.refused:
        yield form.heading("Not compared") + "\n\n" + _listed(result.refused, form)
    if result.left_out:
        yield form.heading("Files that were left out") + "\n\n" + _listed(result.left_out, form)


def _listed(lines: Iterable[str], form: Form) -> str:
    return "\n".join(form.paragraph(f"- {form.words(line)}") for line in lines)


def _flips(result: Comparison, form: Form) -> str:
    found = flips(result.sides)
    if not found:
        none = "No arm is better on one side and worse on another; below is what differs in size."
        return f"{form.heading('Flips')}\n\n{form.paragraph(none)}"
    lines = [
        f"- {form.words(flip.key.says)}: {form.code(flip.arm)}, {form.words(flip.title)}: "
        + "; ".join(
            f"{form.strong(f.verdict)} on {form.words(name)} ({text.compact(f)})"
            for name, f in flip.found.items()
        )
        for flip in found
    ]
    heading = form.heading(text.count(len(found), "flip"))
    return f"{heading}\n\n" + "\n".join(map(form.paragraph, lines))


def _arms(result: Comparison, form: Form) -> str:
    """Return the answer for each arm and what it sums up, one column for each side.

    In brief, with the ratio of step times alone.
    """
    if form.brief:
        return _in_brief(result, form)
    rows = []
    for k, placed in result.sides[0].trials.items():
        for arm in placed.trial.answered:
            found = [_answer(side, k, arm) for side in result.sides]
            name = form.code(arm)
            rows.append((k.says, name, "answer", *(a.word if a else "–" for a in found)))
            for dimension in DIMENSIONS:
                cells = [_cell(answer, dimension) for answer in found]
                if any(cells):
                    rows.append((k.says, name, dimension, *(cell or "–" for cell in cells)))
    return form.table(("trial", "arm", "what", *(side.name for side in result.sides)), rows)


def _in_brief(result: Comparison, form: Form) -> str:
    rows = [
        (k.says, form.code(arm), *(_word(_answer(side, k, arm)) for side in result.sides))
        for k, placed in result.sides[0].trials.items()
        for arm in placed.trial.answered
    ]
    about = "The answer and the ratio of step times; --format markdown has all with its intervals."
    table = form.table(("trial", "arm", *(side.name for side in result.sides)), rows)
    return f"{form.paragraph(about)}\n\n{table}"


def _word(answer: Answer | None) -> str:
    """Return the answer with the ratio of step times, ``gain 0.80×``."""
    if not answer:
        return "–"
    step = answer.part("time").finding
    return f"{answer.word} {text.brief(step)}" if step else str(answer.word)


def _answer(side: Side, k: Key, arm: str) -> Answer | None:
    trial = side.trials[k].trial
    return trial.answer(arm) if arm in trial.answered else None


def _cell(answer: Answer | None, dimension: Dimension) -> str:
    finding = answer.part(dimension).finding if answer else None
    if not finding:
        return ""
    of = f"{finding.metric.title} " if dimension == "memory" else ""
    return f"{of}{text.compact(finding)} {finding.verdict}"


def _changed(a: Side, b: Side, form: Form) -> str:
    """Say which A/B ratios differ between two sides by more than both noise floors."""
    judged = apart(a, b)
    found = judged.changes
    names = f"{form.words(a.name)} to {form.words(b.name)}"
    heading = form.heading(f"Ratios that differ from {names}")
    of, held = text.count(judged.compared, "ratio"), "both noise floors, after Holm’s correction"
    if not found:
        none = f"Of {of} none differs by more than {held}."
        return f"{heading}\n\n{form.paragraph(none)}"
    some = f"Of {of} {len(found)} differ by more than {held}; the largest first."
    metric = () if form.brief else ("metric",)
    columns = ("trial", "arm", *metric, a.name, b.name, "change")
    table = form.table(columns, [_change_row(c, form) for c in found])
    return f"{heading}\n\n{form.paragraph(some)}\n\n{table}"


def _change_row(c: Change, form: Form) -> tuple[str, ...]:
    """Return the row of a ratio that differs; in brief, with the interval of the change alone."""
    before, after, change = (text.compact(f) for f in (c.before, c.after, c.shown))
    if form.brief:
        about = f"{c.key.says}: {c.after.metric.title}"
        return about, form.code(c.arm), text.brief(c.before), text.brief(c.after), change
    arm, metric = form.code(c.arm), c.after.metric.title
    return c.key.says, arm, metric, before, after, f"{change} {c.verdict}"


def _environments(result: Comparison, form: Form) -> str:
    first = form.words(result.sides[0].name)
    parts = [form.heading("Environments")]
    for name, lines in result.environments.items():
        listed = _listed(lines, form) or "- no difference"
        parts.append(f"From {first} to {form.words(name)}:\n\n{listed}")
    return "\n\n".join(parts)


def _code(result: Comparison, form: Form) -> str:
    """Say which arms, and which files of code, of the other sides are not as the first's."""
    first, *others = result.sides
    parts = [form.heading("Code")]
    for other in others:
        listed = _listed([*differing_code(first, other), *changed_code(first, other)], form)
        parts.append(f"From {form.words(first.name)} to {form.words(other.name)}:")
        parts.append(listed or "- the same")
    return "\n\n".join(parts)


def _machines(a: Side, b: Side, form: Form) -> str:
    """Return how the step time of an arm differs between machines; in brief, of the baseline."""
    found = speed_ups(a, b)
    if not found:
        return ""
    if form.brief:
        found = list({s.key: s for s in reversed(found)}.values())[::-1]
    rows = [(s.key.says, form.code(s.arm), shown_speed_up(s)) for s in found]
    heading = form.heading(f"The same arm, {form.words(b.name)} against {form.words(a.name)}")
    about = "Step time over step time. This is about the machines, not about a technique."
    table = form.table(("trial", "arm", "step time"), rows)
    return f"{heading}\n\n{form.paragraph(about)}\n\n{table}"


def shown_speed_up(found: SpeedUp) -> str:
    """Return a ratio of step times with its interval."""
    return text.ratios(*(math.exp(x) for x in _ends(found.estimate)))


def _ends(e: Estimate) -> tuple[float, float, float]:
    wide = 700.0
    return e.point, max(-wide, e.low), min(wide, e.high)
