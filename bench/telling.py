"""What the terminal says while a trial is measured, a line for each thing that happens."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.judge.moderation import Prior
from keras_ab.bench.lab.record.records import (
    Attempted,
    Block,
    Failure,
    Learned,
    Trial,
    TrialLine,
)
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.backend_names import KERAS
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.tracing import FILE


def starting(backend: str) -> str:
    """Return that a backend is started, and how long that takes where nothing else would be said.

    On two virtual cores TensorFlow took 5 s, and 49 s the first time after it was installed.
    """
    if backend not in KERAS:
        return f"starting {backend}"
    return f"starting {backend} (seconds; a minute the first time after it was installed)"


def said_of(
    line: TrialLine, data: TrialData, plan: Plan, prior: Callable[[], Prior], elapsed_s: float
) -> str:
    """Return what is said of a record when it is measured; empty of most.

    Args:
        line: the record.
        data: its trial, with the record in it.
        plan: how hard to look.
        prior: what the run's trials say together.
        elapsed_s: since the trial began.
    """
    match line:
        case Trial():
            return "  trying each arm once, to see that they do the same work …"
        case Block():
            head = f"  block {len(data.blocks):2}  {elapsed_s:4.0f} s"
            return side_by_side(head, _ratios(data, plan, prior()))
        case Attempted():
            return f"  {f'{line.arm}: ' if line.arm else ''}{line.says}: {line.what}"
        case Learned():
            head = f"  {line.purpose} seed {line.seed}  {elapsed_s:4.0f} s"
            return side_by_side(head, [f"{arm} {x:.3f}" for arm, x in line.values.items()])
        case Failure():
            return f"  {line.arm or 'trial'}: {line.what} during {line.stage}"
    return ""


def _ratios(data: TrialData, plan: Plan, prior: Prior) -> list[str]:
    step = data.metric(STEP_TIME.name)
    found = (assess(data, step, arm, plan, prior=prior) for arm in data.treatments)
    return [f"{finding.arm} {text.compared(finding)}" for finding in found if finding]


def side_by_side(head: str, parts: list[str]) -> str:
    """Return parts behind a head, on as many lines as they need, none of them cut in two."""
    whole = "   ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in (head, *parts))
    filled = textwrap.fill(
        whole,
        text.WIDTH,
        subsequent_indent=" " * (len(head) + 3),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\N{NO-BREAK SPACE}", " ")


def listed(told: Mapping[str, str]) -> str:
    """Return names with what is said of each, in two columns."""
    width = 2 + max(map(len, told), default=0)
    return "\n".join(
        textwrap.fill(
            says or "–",
            text.WIDTH,
            initial_indent=f"  {name:{width}}",
            subsequent_indent=" " * (width + 2),
        )
        for name, says in told.items()
    )


def broken_guards(data: TrialData) -> list[str]:
    """Return one line for each broken guard."""
    lines = []
    for check in data.broken:
        guard = data.guard(check)
        says = guard.says if guard else check.observed
        if not check.finite:
            found = "not finite, or not observed"
        elif check.relative_error is None:
            found = "of another shape than the baseline's"
        else:
            found = f"off by {check.relative_error:.3g}, tolerance {guard and guard.tolerance:g}"
        lines.append(f"guard broken: {says}\n  {check.arm}: {check.observed} is {found}")
    return lines


def how_to_open(traces: Path) -> str:
    """Return how to look at traces."""
    return (
        f"traces:   {traces}\n"
        f"          TensorBoard: pip install tensorboard xprof; tensorboard --logdir {traces}\n"
        f"          Perfetto: open https://ui.perfetto.dev, hand it a {FILE} from there"
    )
