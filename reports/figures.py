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
LEFT = 0.2
"""Share of the width that names take."""
PANEL = 1.6
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
        axes = figure.add_axes((LEFT, 0.55 / height, 0.97 - LEFT, 1 - 0.65 / height))
        _bands(axes, rows[0], vertical=True)
        for y, finding in enumerate(reversed(rows)):
            _interval(axes, y, finding)
        axes.set_yticks(range(len(rows)), [_row_name(f) for f in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        _ratio_ticks(axes.xaxis, axes.get_xlim(), 7)
        axes.set_xlabel(f"step time, ratio to {label(trial.data.baseline)}", color=MUTED)
    return inline(
        figure, name, "; ".join(f"{f.arm}: {text.compared(f)}, {f.verdict}" for f in rows)
    )


def _row_name(finding: Finding) -> str:
    return "A/A control" if finding.arm == CONTROL else label(finding.arm, 24)


def _ratio_ticks(axis: Axis, limits: tuple[float, float], most: int) -> None:
    """Put ticks at round ratios along an axis of log ratios."""
    low, high = (math.exp(max(-700.0, min(x, 700.0))) for x in limits)
    ratios = [x for x in MaxNLocator(most).tick_values(low, high) if max(0, low) < x <= high]
    axis.set_ticks([math.log(x) for x in ratios], [text.ratio(round(x, 9)) for x in ratios])


def _bands(axes: Axes, finding: Finding, *, vertical: bool) -> None:
    """Shade the margin and the noise floor; rule the line of no difference."""
    span, line = (axes.axvspan, axes.axvline) if vertical else (axes.axhspan, axes.axhline)
    limits = finding.thresholds
    span(-limits.margin, limits.margin, color=MARGIN)
    span(-limits.floor, limits.floor, color=FLOOR)
    line(0, color=MUTED, linewidth=1)


def _interval(axes: Axes, y: int, finding: Finding) -> None:
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
    """Draw the ratio of every round, block after block: one panel for each arm and the control."""
    arms = [*trial.data.treatments, CONTROL]
    panels = [paired for arm in arms if (paired := paired_rounds(trial, arm)).blocks]
    if not panels:
        return None
    height = 0.5 + PANEL * len(panels)
    low, high = _view([x for paired in panels for block in paired.ratios for x in block])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        for row, paired in enumerate(panels):
            bottom = (0.5 + PANEL * (len(panels) - 1 - row)) / height
            axes = figure.add_axes((0.09, bottom, 0.88, (PANEL - 0.45) / height))
            _panel(axes, trial, paired, last=row == len(panels) - 1)
            axes.set_ylim(low, high)
            _ratio_ticks(axes.yaxis, (low, high), 4)
    return inline(figure, name, f"Ratio of each paired round, of {len(panels)} arms; table below")


def _view(values: Sequence[float]) -> tuple[float, float]:
    """Return limits that spikes do not stretch: three quartile ranges beyond the quartiles."""
    lower, upper = np.quantile(values, (0.25, 0.75))
    reach = 3 * (upper - lower)
    low, high = max(min(values), lower - reach), min(max(values), upper + reach)
    room = max(0.1 * (high - low), 0.005)
    return float(min(low - room, -0.01)), float(max(high + room, 0.01))


def _panel(axes: Axes, trial: JudgedTrial, paired: Paired, *, last: bool) -> None:
    finding = trial.control if paired.arm == CONTROL else trial.find(paired.arm, "step_time_s")
    if finding and paired.arm != CONTROL:
        _bands(axes, finding, vertical=False)
    else:
        axes.axhline(0, color=MUTED, linewidth=1)
    colour = MUTED if paired.arm == CONTROL or not finding else VERDICTS[finding.verdict.value]
    middles, start = [], 0
    for ratios, finished in zip(paired.ratios, paired.finished, strict=True):
        x = range(start, start + len(ratios))
        axes.plot(
            x, ratios, "o", color=colour, markersize=3.2, mew=0.8, mfc=None if finished else HOLLOW
        )
        if finished:
            centre = hodges_lehmann(ratios)
            axes.plot([x[0] - 0.4, x[-1] + 0.4], [centre, centre], color=INK, linewidth=1.8)
        middles.append((x[0] + x[-1]) / 2)
        start = x[-1] + 3
    axes.set_xlim(-1.5, start - 1.5)
    _ticks(axes, paired, middles, last=last)


def _ticks(axes: Axes, paired: Paired, middles: list[float], *, last: bool) -> None:
    every = math.ceil(len(middles) / 12)
    names = [str(number + 1) for number in paired.blocks]
    axes.set_xticks(middles[::every], names[::every] if last else [""] * len(middles[::every]))
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(last)
    shown = "A/A control" if paired.arm == CONTROL else label(paired.arm, 60)
    axes.set_title(shown, loc="left", fontsize=11, color=INK, pad=7)
    if last:
        axes.set_xlabel("block", color=MUTED)


def quality_figure(trial: JudgedTrial, name: str) -> Markup | None:
    """Draw each arm's difference in quality from the baseline, seed by seed."""
    quality = trial.data.declared.quality or ""
    rows = [f for arm in trial.data.treatments if (f := trial.find(arm, quality))]
    if not rows:
        return None
    height = 0.9 + 0.34 * len(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((LEFT, 0.55 / height, 0.97 - LEFT, 1 - 0.65 / height))
        _bands(axes, rows[0], vertical=True)
        for y, finding in enumerate(reversed(rows)):
            seeds = seed_contrasts(trial.data, finding.metric, finding.arm)
            axes.plot(seeds, [y + 0.22] * len(seeds), "|", color=MUTED, markersize=7, mew=1.5)
            _interval(axes, y, finding)
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
