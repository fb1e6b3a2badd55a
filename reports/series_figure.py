"""The figure of a history: one arm's ratio, run after run."""

from __future__ import annotations

import math

from markupsafe import Markup

from keras_ab.reports.canvas import Canvas
from keras_ab.reports.colours import MUTED, VERDICTS
from keras_ab.reports.figures import Lanes, view
from keras_ab.reports.history import Series
from keras_ab.reports.legible import label

LEFT_OUT = 1.0
"""Half-widths, as log ratios, beyond which an interval is too wide to draw."""


def history_figure(series: Series) -> Markup | None:
    """Draw each arm's step time ratio over the runs of a machine, changes of environment ruled."""
    found = [f for arm in series.arms for m in series.moments if (f := m.find(arm))]
    ends = [x for f in found for x in (f.estimate.low, f.estimate.high) if abs(x) < LEFT_OUT]
    if not found:
        return None
    low, high = view([[f.estimate.point for f in found] + ends])
    lanes = Lanes(low, high, len(series.arms))
    canvas = lanes.canvas(-0.6, len(series.moments) - 0.4)
    for row, arm in enumerate(series.arms):
        _strip(canvas, series, arm, lanes, row)
    changed = [n - 0.5 for n, moment in enumerate(series.moments) if moment.changed]
    rules = [((x, 0), (x, lanes.count)) for x in changed]
    canvas.strokes(rules, MUTED, 1, dashed=True)
    runs = [(float(n), str(n + 1)) for n in range(len(series.moments))]
    lanes.label(canvas, runs, "run, oldest first")
    says = f"Ratio of {lanes.count} arms over {len(series.moments)} runs"
    return canvas.inline(says)


def _strip(canvas: Canvas, series: Series, arm: str, lanes: Lanes, row: int) -> None:
    lanes.rule(canvas, row)
    shown = [(n, f) for n, moment in enumerate(series.moments) if (f := moment.find(arm))]
    for verdict, colour in VERDICTS.items():
        own = [(n, f.estimate) for n, f in shown if f.verdict == verdict]
        wide = [(n, e) for n, e in own if math.isfinite(e.half_width)]
        ends = [lanes.place([e.low, e.high], row) for _, e in wide]
        bars = [((n, low), (n, high)) for (n, _), (low, high) in zip(wide, ends, strict=True)]
        canvas.strokes(bars, colour, 2)
        points = lanes.place([e.point for _, e in own], row)
        canvas.dots(zip([n for n, _ in own], points, strict=True), colour, 6)
    lanes.name(canvas, row, label(arm, 60))
