"""The figures of one trial: ratio against noise floor, paired rounds, quality by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.lab import text
from bench.lab.declare import CONTROL
from bench.lab.estimate import hodges_lehmann
from bench.lab.findings import Finding, round_contrasts, seed_contrasts
from reports import marks
from reports.judged import JudgedTrial
from reports.legible import label
from reports.svg import FLOOR, HOLLOW, INK, MARGIN, MUTED, STYLE, VERDICTS, inline

WIDTH = 8.0
"""Inches at 72 points; the page scales it."""
LEFT = 0.28
"""Share of the width that names take."""
STRIP = 1.5
"""Inches of height for each arm's rounds, its name above them."""


def ratio_figure(trial: JudgedTrial, name: str) -> Markup | None:
    """Draw each arm's step time ratio with its interval, over noise floor and margin."""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, "step_time_s"))]
    if not rows:
        return None
    rows += [trial.control] if trial.control else []
    title = f"step time, ratio to {label(trial.data.baseline)}"
    return _forest(rows, title, partial(ratio_ticks, most=7), name)


def quality_figure(trial: JudgedTrial, outcome: str, name: str) -> Markup | None:
    """Draw each arm's difference in one outcome from the baseline, seed by seed."""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, outcome))]
    if not rows:
        return None
    title = f"{label(rows[0].metric.title)}, difference from {label(trial.data.baseline)}"
    seeds = [seed_contrasts(trial.data, finding.metric, finding.arm) for finding in rows]
    return _forest(rows, title, difference_ticks, name, seeds)


def _forest(
    rows: Sequence[Finding],
    title: str,
    ticks: Callable[[tuple[float, float]], list[tuple[float, str]]],
    name: str,
    seeds: Sequence[Sequence[float]] = (),
) -> Markup:
    """Draw findings below each other, each a point with its interval and the seeds it is of."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.34 * len(rows)))
        axes = marks.bare(figure, LEFT, 0.55, 0.95, 0.1)
        bands(axes, rows[0])
        places = list(reversed(range(len(rows))))
        for y, finding in zip(places, rows, strict=True):
            interval(axes, y, finding)
        for y, contrasts in zip(places, seeds, strict=False):
            marks.strokes(axes, [((x, y + 0.12), (x, y + 0.32)) for x in contrasts], MUTED, 1.5)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        marks.beside(axes, [(y, _row_name(f)) for y, f in zip(places, rows, strict=True)], INK)
        marks.below(axes, ticks(axes.get_xlim()), title)
    return inline(
        figure, name, "; ".join(f"{f.arm}: {text.compared(f)}, {f.verdict}" for f in rows)
    )


def _row_name(finding: Finding) -> str:
    return "A/A control" if finding.arm == CONTROL else label(finding.arm, 24)


def ratio_ticks(limits: tuple[float, float], most: int) -> list[tuple[float, str]]:
    """Return round ratios between two log ratios: where they lie, and their names."""
    return [(math.log(x), text.ratio(round(x, 9))) for x in ratio_values(limits, most)]


def difference_ticks(limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Return round differences between two limits, and their names."""
    low, high = limits
    return [(x, text.signed(x)) for x in MaxNLocator(7).tick_values(low, high) if low <= x <= high]


def ratio_values(limits: tuple[float, float], most: int) -> list[float]:
    """Return round ratios between two log ratios."""
    low, high = (math.exp(max(-700.0, min(x, 700.0))) for x in limits)
    return [
        x
        for x in MaxNLocator(most, steps=(1, 2, 5, 10)).tick_values(low, high)
        if max(0, low) < x <= high
    ]


def bands(axes: Axes, finding: Finding) -> None:
    """Shade the margin and the noise floor; rule the line of no difference."""
    limits = finding.thresholds
    axes.axvspan(-limits.margin, limits.margin, color=MARGIN)
    axes.axvspan(-limits.floor, limits.floor, color=FLOOR)
    axes.axvline(0, color=MUTED, linewidth=1)


def interval(axes: Axes, y: int, finding: Finding) -> None:
    estimate = finding.estimate
    colour = MUTED if finding.arm == CONTROL else VERDICTS[finding.verdict.value]
    if math.isfinite(estimate.half_width):
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=3)
    axes.plot(estimate.point, y, "o", color=colour, markersize=8, mfc=HOLLOW, mew=2.5)


@dataclass(frozen=True)
class Paired:
    """The paired rounds of one arm, block by block, as log ratios."""

    arm: str
    blocks: list[int]
    finished: list[bool]
    ratios: list[list[float]]


def paired_rounds(trial: JudgedTrial, arm: str) -> Paired:
    """Return the paired rounds of one arm, those of unfinished blocks among them."""
    data = trial.data
    numbers = [n for n in sorted(data.rounds) if round_contrasts(data, n, arm)]
    return Paired(
        arm,
        numbers,
        [n in data.blocks and arm in data.blocks[n].values for n in numbers],
        [round_contrasts(data, n, arm) for n in numbers],
    )


def rounds_figure(trial: JudgedTrial, name: str) -> Markup | None:
    """Draw the ratio of every round, block after block: one strip for each arm and the control."""
    arms = [*trial.data.treatments, CONTROL]
    strips = [paired for arm in arms if (paired := paired_rounds(trial, arm)).blocks]
    if not strips:
        return None
    low, high = view([[x for block in paired.ratios for x in block] for paired in strips])
    lanes = Lanes(low, high, len(strips))
    with mpl.rc_context(STYLE):
        axes = lanes.axes()
        longest = max(strips, key=lambda paired: len(paired.blocks))
        starts = _starts(longest)
        axes.set_xlim(-1.5, starts[-1] + len(longest.ratios[-1]) + 0.5)
        for row, paired in enumerate(strips):
            _strip(axes, trial, paired, lanes, row)
        middles = [s + (len(b) - 1) / 2 for s, b in zip(starts, longest.ratios, strict=True)]
        named = zip(middles, (str(number + 1) for number in longest.blocks), strict=True)
        lanes.label(axes, list(named), "block")
    says = f"Ratio of each paired round, of {len(strips)} arms; table below"
    return inline(axes.figure, name, says)


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

    def axes(self) -> Axes:
        """Return the axes of a new figure."""
        axes = marks.bare(Figure(figsize=(WIDTH, 0.5 + STRIP * self.count)), 0.09, 0.5, 0.97, 0.05)
        axes.set_ylim(0, self.count)
        return axes

    def label(self, axes: Axes, along: Sequence[tuple[float, str]], title: str) -> None:
        """Name round ratios beside every strip, and at most twelve places along them all."""
        ticks = ratio_ticks((self.low, self.high), 4)
        heights = [self.place([x for x, _ in ticks], row) for row in range(self.count)]
        names = [name for _, name in ticks]
        for inside in heights:
            marks.beside(axes, list(zip(inside, names, strict=True)), MUTED)
        marks.below(axes, along[:: math.ceil(len(along) / 12)], title, tick=0)


def _strip(axes: Axes, trial: JudgedTrial, paired: Paired, lanes: Lanes, row: int) -> None:
    finding = trial.control if paired.arm == CONTROL else trial.find(paired.arm, "step_time_s")
    judged = finding if paired.arm != CONTROL else None
    lane_bands(axes, judged, lanes, row)
    colour = VERDICTS[judged.verdict.value] if judged else MUTED
    blocks = list(zip(_starts(paired), paired.finished, paired.ratios, strict=True))
    for done in (True, False):
        found = [
            (start + n, x)
            for start, finished, block in blocks
            if finished is done
            for n, x in enumerate(block)
        ]
        x, y = [x for x, _ in found], lanes.place([y for _, y in found], row)
        if done:
            marks.dots(axes, zip(x, y, strict=True), colour, 4)
        elif found:
            axes.plot(x, y, "o", color=colour, markersize=3.2, mew=0.8, mfc=HOLLOW)
    whole = [(start, len(block), hodges_lehmann(block)) for start, done, block in blocks if done]
    centres = lanes.place([centre for _, _, centre in whole], row)
    lines = [
        ((start - 0.4, y), (start + length - 0.6, y))
        for (start, length, _), y in zip(whole, centres, strict=True)
    ]
    marks.strokes(axes, lines, INK, 1.8)
    shown = "A/A control" if paired.arm == CONTROL else label(paired.arm, 60)
    axes.text(-1.2, lanes.count - row - 0.15, shown, fontsize=11, color=INK)


def lane_bands(axes: Axes, finding: Finding | None, lanes: Lanes, row: int) -> None:
    """Shade margin and noise floor in a strip; rule the line of no difference."""
    if finding:
        for limit, colour in (
            (finding.thresholds.margin, MARGIN),
            (finding.thresholds.floor, FLOOR),
        ):
            axes.axhspan(*lanes.place([-limit, limit], row), color=colour)
    axes.axhline(lanes.place([0], row)[0], color=MUTED, linewidth=1)


def _starts(paired: Paired) -> list[int]:
    """Return where each block begins along the axis, two places apart from the one before."""
    starts, at = [], 0
    for block in paired.ratios:
        starts.append(at)
        at += len(block) + 2
    return starts
