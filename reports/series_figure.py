"""The figure of a history: one arm's ratio, run after run."""

from __future__ import annotations

import math

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from reports import marks
from reports.figures import Lanes, view
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
    with mpl.rc_context(STYLE):
        axes = lanes.axes()
        axes.set_xlim(-0.6, len(series.moments) - 0.4)
        for row, arm in enumerate(series.arms):
            _strip(axes, series, arm, lanes, row)
        changed = [n - 0.5 for n, moment in enumerate(series.moments) if moment.changed]
        axes.vlines(changed, 0, lanes.count, color=MUTED, linestyle="--", linewidth=1)
        runs = [(float(n), str(n + 1)) for n in range(len(series.moments))]
        lanes.label(axes, runs, "run, oldest first")
    says = f"Ratio of {lanes.count} arms over {len(series.moments)} runs"
    return inline(axes.figure, name, says)


def _strip(axes: Axes, series: Series, arm: str, lanes: Lanes, row: int) -> None:
    axes.axhline(lanes.place([0], row)[0], color=MUTED, linewidth=1)
    shown = [(n, f) for n, moment in enumerate(series.moments) if (f := moment.find(arm))]
    for verdict, colour in VERDICTS.items():
        own = [(n, f.estimate) for n, f in shown if f.verdict == verdict]
        wide = [(n, e) for n, e in own if math.isfinite(e.half_width)]
        ends = [lanes.place([e.low, e.high], row) for _, e in wide]
        bars = [((n, low), (n, high)) for (n, _), (low, high) in zip(wide, ends, strict=True)]
        marks.strokes(axes, bars, colour, 2)
        points = lanes.place([e.point for _, e in own], row)
        marks.dots(axes, zip([n for n, _ in own], points, strict=True), colour, 6)
    axes.text(-0.5, lanes.count - row - 0.19, label(arm, 60), fontsize=11, color=INK)
