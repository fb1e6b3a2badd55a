"""The figures of one trial: ratio against noise floor, paired rounds, quality by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.lab import text
from bench.lab.declare import CONTROL
from bench.lab.estimate import hodges_lehmann
from bench.lab.trials import Finding, round_contrasts, seed_contrasts
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
    height = 0.9 + 0.34 * len(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((LEFT, 0.55 / height, 0.95 - LEFT, 1 - 0.65 / height))
        bands(axes, rows[0], vertical=True)
        for y, finding in enumerate(reversed(rows)):
            interval(axes, y, finding)
        axes.set_yticks(range(len(rows)), [_row_name(f) for f in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        ratio_ticks(axes.xaxis, axes.get_xlim(), 7)
        axes.set_xlabel(f"step time, ratio to {label(trial.data.baseline)}", color=MUTED)
    return inline(
        figure, name, "; ".join(f"{f.arm}: {text.compared(f)}, {f.verdict}" for f in rows)
    )


def _row_name(finding: Finding) -> str:
    return "A/A control" if finding.arm == CONTROL else label(finding.arm, 24)


def ratio_ticks(axis: Axis, limits: tuple[float, float], most: int) -> None:
    """Put ticks at round ratios along an axis of log ratios."""
    ratios = ratio_values(limits, most)
    axis.set_ticks([math.log(x) for x in ratios], [text.ratio(round(x, 9)) for x in ratios])


def ratio_values(limits: tuple[float, float], most: int) -> list[float]:
    """Return round ratios between two log ratios."""
    low, high = (math.exp(max(-700.0, min(x, 700.0))) for x in limits)
    return [
        x
        for x in MaxNLocator(most, steps=(1, 2, 5, 10)).tick_values(low, high)
        if max(0, low) < x <= high
    ]


def bands(axes: Axes, finding: Finding, *, vertical: bool) -> None:
    """Shade the margin and the noise floor; rule the line of no difference."""
    span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
    limits = finding.thresholds
    span(-limits.margin, limits.margin, color=MARGIN)
    span(-limits.floor, limits.floor, color=FLOOR)
    line(0, color=MUTED, linewidth=1)


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
    height = 0.5 + STRIP * len(strips)
    low, high = view([[x for block in paired.ratios for x in block] for paired in strips])
    lanes = Lanes(low, high, len(strips))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.09, 0.5 / height, 0.88, 1 - 0.55 / height))
        axes.set_ylim(0, len(strips))
        for row, paired in enumerate(strips):
            _strip(axes, trial, paired, lanes, row)
        _block_names(axes, max(strips, key=lambda paired: len(paired.blocks)))
        lanes.label(axes)
    return inline(figure, name, f"Ratio of each paired round, of {len(strips)} arms; table below")


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

    def label(self, axes: Axes) -> None:
        """Put ticks at round ratios beside every strip."""
        ratios = ratio_values((self.low, self.high), 4)
        logs = [math.log(x) for x in ratios]
        places = [y for row in range(self.count) for y in self.place(logs, row)]
        axes.set_yticks(places, [text.ratio(round(x, 9)) for x in ratios] * self.count)
        axes.tick_params(axis="both", length=0)


def _strip(axes: Axes, trial: JudgedTrial, paired: Paired, lanes: Lanes, row: int) -> None:
    finding = trial.control if paired.arm == CONTROL else trial.find(paired.arm, "step_time_s")
    judged = finding if paired.arm != CONTROL else None
    lane_bands(axes, judged, lanes, row)
    colour = VERDICTS[judged.verdict.value] if judged else MUTED
    starts = _starts(paired)
    for done, fill in ((True, None), (False, HOLLOW)):
        points = [
            (start + n, ratio)
            for start, finished, block in zip(starts, paired.finished, paired.ratios, strict=True)
            for n, ratio in enumerate(block)
            if finished is done
        ]
        if points:
            x, y = zip(*points, strict=True)
            inside = lanes.place(y, row)
            axes.plot(x, inside, "o", color=colour, markersize=3.2, mew=0.8, mfc=fill)
    whole = [
        (start, len(block), hodges_lehmann(block))
        for start, finished, block in zip(starts, paired.finished, paired.ratios, strict=True)
        if finished
    ]
    centres = lanes.place([centre for _, _, centre in whole], row)
    left = [start - 0.4 for start, _, _ in whole]
    right = [start + length - 0.6 for start, length, _ in whole]
    axes.hlines(centres, left, right, color=INK, linewidth=1.8)
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


def _block_names(axes: Axes, paired: Paired) -> None:
    starts = _starts(paired)
    middles = [s + (len(b) - 1) / 2 for s, b in zip(starts, paired.ratios, strict=True)]
    every = math.ceil(len(middles) / 12)
    axes.set_xticks(middles[::every], [str(number + 1) for number in paired.blocks][::every])
    axes.set_xlim(-1.5, starts[-1] + len(paired.ratios[-1]) + 0.5)
    axes.set_xlabel("block", color=MUTED)


def quality_figure(trial: JudgedTrial, outcome: str, name: str) -> Markup | None:
    """Draw each arm's difference in one outcome from the baseline, seed by seed."""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, outcome))]
    if not rows:
        return None
    height = 0.9 + 0.34 * len(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((LEFT, 0.55 / height, 0.95 - LEFT, 1 - 0.65 / height))
        bands(axes, rows[0], vertical=True)
        for y, finding in enumerate(reversed(rows)):
            seeds = seed_contrasts(trial.data, finding.metric, finding.arm)
            axes.plot(seeds, [y + 0.22] * len(seeds), "|", color=MUTED, markersize=7, mew=1.5)
            interval(axes, y, finding)
        axes.set_yticks(range(len(rows)), [_row_name(f) for f in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.3)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.xaxis.set_major_formatter(lambda x, _: text.signed(x))
        axes.locator_params(axis="x", nbins=7)
        axes.set_xlabel(
            f"{label(rows[0].metric.title)}, difference from {label(trial.data.baseline)}",
            color=MUTED,
        )
    return inline(
        figure, name, "; ".join(f"{f.arm}: {text.compared(f)}, {f.verdict}" for f in rows)
    )
