"""The figure of a history: one arm's ratio, run after run."""

from __future__ import annotations

import math

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures import STRIP, WIDTH, Lanes, view
from reports.history import Series
from reports.legible import label
from reports.svg import INK, MUTED, STYLE, VERDICTS, inline

LEFT_OUT = 1.0
"""Half-widths, as log ratios, beyond which an interval is too wide to draw."""


def history_figure(series: Series, name: str) -> Markup | None:
    """Draw each arm's step time ratio over the runs of a machine, changes of environment ruled."""
    found = [f for arm in series.arms for m in series.moments if (f := m.find(arm))]
    ends = [x for f in found for x in (f.estimate.low, f.estimate.high) if abs(x) < LEFT_OUT]
    if not found:
        return None
    low, high = view([[f.estimate.point for f in found] + ends])
    lanes = Lanes(low, high, len(series.arms))
    height = 0.5 + STRIP * lanes.count
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.09, 0.5 / height, 0.88, 1 - 0.55 / height))
        axes.set_ylim(0, lanes.count)
        axes.set_xlim(-0.6, len(series.moments) - 0.4)
        for row, arm in enumerate(series.arms):
            _strip(axes, series, arm, lanes, row)
        changed = [n - 0.5 for n, moment in enumerate(series.moments) if moment.changed]
        axes.vlines(changed, 0, lanes.count, color=MUTED, linestyle="--", linewidth=1)
        _runs(axes, len(series.moments))
        lanes.label(axes)
    return inline(figure, name, f"Ratio of {lanes.count} arms over {len(series.moments)} runs")


def _strip(axes: Axes, series: Series, arm: str, lanes: Lanes, row: int) -> None:
    axes.axhline(lanes.place([0], row)[0], color=MUTED, linewidth=1)
    shown = [(n, f) for n, moment in enumerate(series.moments) if (f := moment.find(arm))]
    for verdict, colour in VERDICTS.items():
        own = [(n, f.estimate) for n, f in shown if f.verdict == verdict]
        wide = [(n, e) for n, e in own if math.isfinite(e.half_width)]
        axes.vlines(
            [n for n, _ in wide],
            lanes.place([e.low for _, e in wide], row),
            lanes.place([e.high for _, e in wide], row),
            color=colour,
            linewidth=2,
        )
        points = lanes.place([e.point for _, e in own], row)
        axes.plot([n for n, _ in own], points, "o", color=colour, markersize=5)
    axes.text(-0.5, lanes.count - row - 0.19, label(arm, 60), fontsize=11, color=INK)


def _runs(axes: Axes, count: int) -> None:
    every = math.ceil(count / 12)
    axes.set_xticks(range(0, count, every), [str(n + 1) for n in range(0, count, every)])
    axes.set_xlabel("run, oldest first", color=MUTED)
