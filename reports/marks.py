"""What figures by the hundred are made of: with matplotlib's axes and markers they take far longer.

Each function draws on axes whose own axis is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import ScaledTranslation, Transform

from reports.svg import MUTED, RULE

GAP, TICK, LINE = 6.0, 3.5, 17.0
"""Points: between axes and names, of a tick, and from a line of text to the next."""
Point = tuple[float, float]


def bare(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Add axes without axis, `bottom` and `top` inches from the figure's edges.

    `left` and `right` are shares of the width.
    """
    height = figure.get_figheight()
    place = (left, bottom / height, right - left, 1 - (bottom + top) / height)
    axes = figure.add_axes(place)
    axes.set_axis_off()
    return axes


def strokes(
    axes: Axes, segments: Sequence[tuple[Point, Point]], colour: str, width: float, **more: Any
) -> None:
    """Draw separate lines as one path; lines of no length are dots where their caps are round."""
    if segments:
        codes = [Path.MOVETO, Path.LINETO] * len(segments)
        path = Path(np.reshape(segments, (-1, 2)), codes)
        path.should_simplify = False
        stroke = {"facecolor": "none", "edgecolor": colour, "linewidth": width, "clip_on": False}
        axes.add_patch(PathPatch(path, **stroke, **more))


def dots(axes: Axes, points: Iterable[Point], colour: str, width: float) -> None:
    """Draw filled circles, `width` points wide."""
    strokes(axes, [(point, point) for point in points], colour, width, capstyle="round")


def below(axes: Axes, ticks: Sequence[tuple[float, str]], title: str, tick: float = TICK) -> None:
    """Rule the lower edge of axes, with ticks, their names and a title below it."""
    across = axes.get_xaxis_transform()
    height = 72 * axes.figure.get_figheight() * axes.get_position().height
    low, high = axes.get_xlim()
    marks = [((x, 0.0), (x, -tick / height)) for x, _ in ticks if tick]
    strokes(axes, [((low, 0.0), (high, 0.0)), *marks], RULE, 1, transform=across)
    under = {"ha": "center", "va": "top", "color": MUTED}
    for x, name in ticks:
        axes.text(x, 0, name, transform=_moved(axes, across, 0, -GAP), **under)
    axes.text(0.5, 0, title, transform=_moved(axes, axes.transAxes, 0, -GAP - LINE), **under)


def beside(axes: Axes, ticks: Sequence[tuple[float, str]], colour: str) -> None:
    """Write names left of axes."""
    where = _moved(axes, axes.get_yaxis_transform(), -GAP, 0)
    for y, name in ticks:
        axes.text(0, y, name, transform=where, ha="right", va="center_baseline", color=colour)


def _moved(axes: Axes, transform: Transform, x: float, y: float) -> Transform:
    return transform + ScaledTranslation(x / 72, y / 72, axes.figure.dpi_scale_trans)
