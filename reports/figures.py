"""The figures of one trial: ratio against noise floor, paired rounds, quality by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.contrasts import (
    block_contrast,
    round_contrasts,
    seed_contrasts,
)
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports.canvas import BELOW, Canvas
from keras_ab.reports.colours import FLOOR, INK, MARGIN, MUTED, VERDICTS
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.legible import label
from keras_ab.reports.ticks import round_numbers

LEFT = 0.28
"""Share of the width that names take."""
STRIP = 1.5
"""Inches of height for each arm's rounds, its name above them."""


def ratio_figure(trial: JudgedTrial) -> Markup | None:
    """Draw each arm's step time ratio with its interval, over noise floor and margin."""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, STEP_TIME.name))]
    if not rows:
        return None
    rows += [trial.control] if trial.control else []
    title = f"step time, ratio to {label(trial.data.baseline)}"
    return _forest(rows, title, partial(ratio_ticks, most=7))


def quality_figure(trial: JudgedTrial, outcome: str) -> Markup | None:
    """Draw each arm's difference in one outcome from the baseline, seed by seed."""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, outcome))]
    if not rows:
        return None
    title = f"{label(rows[0].metric.title)}, difference from {label(trial.data.baseline)}"
    seeds = [seed_contrasts(trial.data, finding.metric, finding.arm) for finding in rows]
    return _forest(rows, title, difference_ticks, seeds)


def _forest(
    rows: Sequence[Finding],
    title: str,
    ticks: Callable[[tuple[float, float]], list[tuple[float, str]]],
    seeds: Sequence[Sequence[float]] = (),
) -> Markup:
    """Draw findings below each other, each a point with its interval and the seeds it is of."""
    across, high = _reached(rows, seeds), (-0.6, len(rows) - 0.4)
    canvas = Canvas(0.9 + 0.34 * len(rows), (LEFT, 0.95), (0.1, 0.55), across, high)
    bands(canvas, rows[0])
    places = list(reversed(range(len(rows))))
    for y, finding in zip(places, rows, strict=True):
        interval(canvas, y, finding)
    for y, contrasts in zip(places, seeds, strict=False):
        canvas.strokes([((x, y + 0.12), (x, y + 0.32)) for x in contrasts], MUTED, 1.5)
    canvas.beside([(y, _row_name(f)) for y, f in zip(places, rows, strict=True)], INK)
    canvas.below(ticks(canvas.x), title)
    return canvas.inline("; ".join(f"{f.arm}: {text.compared(f)}, {f.verdict}" for f in rows))


def _reached(rows: Sequence[Finding], seeds: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return limits between which all lies that is drawn, with some room."""
    bounds = rows[0].thresholds
    drawn = [-bounds.margin, bounds.margin, -bounds.floor, bounds.floor]
    drawn += [x for f in rows for x in ends(f.estimate)] + [x for some in seeds for x in some]
    low, high = min(drawn), max(drawn)
    room = 0.05 * (high - low) or 0.01
    return low - room, high + room


def ends(estimate: Estimate) -> tuple[float, float]:
    """Return the ends of an interval, or the point where it has none."""
    if math.isfinite(estimate.half_width):
        return estimate.low, estimate.high
    return estimate.point, estimate.point


def _row_name(finding: Finding) -> str:
    return "A/A control" if finding.arm == CONTROL else label(finding.arm, 24)


def ratio_ticks(limits: tuple[float, float], most: int) -> list[tuple[float, str]]:
    """Return round ratios between two log ratios: where they lie, and their names."""
    low, high = (math.exp(max(-700.0, min(x, 700.0))) for x in limits)
    return [
        (math.log(x), text.ratio(round(x, 9)))
        for x in round_numbers(low, high, most)
        if max(0, low) < x <= high
    ]


def difference_ticks(limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Return round differences between two limits, and their names."""
    return [(x, text.signed(x)) for x in round_numbers(*limits, most=7)]


def bands(canvas: Canvas, finding: Finding) -> None:
    """Shade the margin and the noise floor; rule the line of no difference."""
    thresholds = finding.thresholds
    canvas.area((-thresholds.margin, thresholds.margin), canvas.y, MARGIN)
    canvas.area((-thresholds.floor, thresholds.floor), canvas.y, FLOOR)
    canvas.strokes([((0, canvas.y[0]), (0, canvas.y[1]))], MUTED, 1)


def interval(canvas: Canvas, y: int, finding: Finding) -> None:
    """Draw one finding at a height."""
    low, high = ends(finding.estimate)
    colour = MUTED if finding.arm == CONTROL else VERDICTS[finding.verdict.value]
    canvas.strokes([((low, y), (high, y))], colour, 3)
    canvas.rings([(finding.estimate.point, y)], colour, 10.5, 2.5)


@dataclass(frozen=True)
class Paired:
    """The paired rounds of one arm, block by block, as log ratios."""

    arm: str
    blocks: list[int]
    finished: list[bool]
    ratios: list[list[float]]
    centres: list[float]
    """What the judge makes of each block."""


def paired_rounds(trial: JudgedTrial, arm: str) -> Paired:
    """Return the paired rounds of one arm, those of unfinished blocks among them."""
    data = trial.data
    numbers = [n for n in sorted(data.rounds) if round_contrasts(data, n, arm)]
    return Paired(
        arm,
        numbers,
        [n in data.blocks and arm in data.blocks[n].values for n in numbers],
        [round_contrasts(data, n, arm) for n in numbers],
        [block_contrast(data, n, arm) for n in numbers],
    )


def rounds_figure(trial: JudgedTrial) -> Markup | None:
    """Draw the ratio of every round, block after block: one strip for each arm and the control."""
    arms = [*trial.data.treatments, CONTROL]
    strips = [paired for arm in arms if (paired := paired_rounds(trial, arm)).blocks]
    if not strips:
        return None
    low, high = view([[x for block in paired.ratios for x in block] for paired in strips])
    lanes = Lanes(low, high, len(strips))
    longest = max(strips, key=lambda paired: len(paired.blocks))
    starts = _starts(longest)
    canvas = lanes.canvas(-1.5, starts[-1] + len(longest.ratios[-1]) + 0.5)
    for row, paired in enumerate(strips):
        _strip(canvas, trial, paired, lanes, row)
    middles = [s + (len(b) - 1) / 2 for s, b in zip(starts, longest.ratios, strict=True)]
    named = zip(middles, (str(number + 1) for number in longest.blocks), strict=True)
    lanes.label(canvas, list(named), "block")
    return canvas.inline(f"Ratio of each paired round, of {len(strips)} arms; table below")


def view(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return limits that spikes do not stretch: three quartile ranges beyond each group's own."""
    ends = [_reach(values) for values in groups if values]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    room = max(0.1 * (high - low), 0.005)
    return min(low - room, -0.01), max(high + room, 0.01)


def _reach(values: Sequence[float]) -> tuple[float, float]:
    lower, upper = np.quantile(values, (0.25, 0.75))
    reach = 3 * (upper - lower)
    return float(max(min(values), lower - reach)), float(min(max(values), upper + reach))


@dataclass(frozen=True)
class Lanes:
    """Strips of one figure above each other, of the same scale; faster than an axes for each."""

    low: float
    high: float
    count: int

    def place(self, values: Sequence[float], row: int) -> list[float]:
        """Return where values lie in a strip: 78 % of its height, its name above them."""
        share = 0.78 / (self.high - self.low)
        floor = self.count - 1 - row
        return [floor + min(max((x - self.low) * share, 0.0), 0.78) for x in values]

    def canvas(self, left: float, right: float) -> Canvas:
        """Return a new figure to draw on, from one place along the strips to another."""
        height = 0.5 + STRIP * self.count
        return Canvas(height, (0.09, 0.97), (0.05, 0.5), (left, right), (0, self.count))

    def label(self, canvas: Canvas, along: Sequence[tuple[float, str]], title: str) -> None:
        """Name round ratios beside every strip, and at most twelve places along them all."""
        ticks = ratio_ticks((self.low, self.high), 4)
        for row in range(self.count):
            inside = self.place([x for x, _ in ticks], row)
            canvas.beside(zip(inside, (name for _, name in ticks), strict=True), MUTED)
        canvas.below(along[:: math.ceil(len(along) / 12)], title, tick=0)

    def rule(self, canvas: Canvas, row: int) -> None:
        """Rule the line of no difference in a strip."""
        (y,) = self.place([0], row)
        canvas.strokes([((canvas.x[0], y), (canvas.x[1], y))], MUTED, 1)

    def name(self, canvas: Canvas, row: int, name: str) -> None:
        """Write above a strip whose it is."""
        canvas.text((canvas.x[0], self.count - row), name, (4, -4), drop=BELOW)


def _strip(canvas: Canvas, trial: JudgedTrial, paired: Paired, lanes: Lanes, row: int) -> None:
    finding = None if paired.arm == CONTROL else trial.find(paired.arm, STEP_TIME.name)
    if finding:
        thresholds = finding.thresholds
        for width, colour in ((thresholds.margin, MARGIN), (thresholds.floor, FLOOR)):
            low, high = lanes.place([-width, width], row)
            canvas.area(canvas.x, (low, high), colour)
    lanes.rule(canvas, row)
    colour = VERDICTS[finding.verdict.value] if finding else MUTED
    blocks = list(zip(_starts(paired), paired.finished, paired.ratios, strict=True))
    for start, done, block in blocks:
        points = zip(range(start, start + len(block)), lanes.place(block, row), strict=True)
        if not done:
            canvas.rings(points, colour, 4, 0.8)
    finished = [(start, block) for start, done, block in blocks if done]
    x = [start + n for start, block in finished for n in range(len(block))]
    y = lanes.place([ratio for _, block in finished for ratio in block], row)
    canvas.dots(zip(x, y, strict=True), colour, 4)
    kept = [x for done, x in zip(paired.finished, paired.centres, strict=True) if done]
    centres = lanes.place(kept, row)
    lines = [
        ((start - 0.4, y), (start + len(block) - 0.6, y))
        for (start, block), y in zip(finished, centres, strict=True)
    ]
    canvas.strokes(lines, INK, 1.8)
    lanes.name(canvas, row, "A/A control" if paired.arm == CONTROL else label(paired.arm, 60))


def _starts(paired: Paired) -> list[int]:
    """Return where each block begins along the axis, two places apart from the one before."""
    starts, at = [], 0
    for block in paired.ratios:
        starts.append(at)
        at += len(block) + 2
    return starts
