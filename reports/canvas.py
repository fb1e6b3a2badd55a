"""A plane to draw on: matplotlib's artists without its axes, which take longer than all else.

A page on many runs has figures by the hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, ScaledTranslation

from keras_ab.reports.svg import HOLLOW, MUTED, RULE

WIDTH = 8.0
"""Inches at 72 points; the page scales it."""
GAP, TICK, LINE = 6.0, 3.5, 17.0
"""Points: between the plane and names, of a tick, and from a line of text to the next."""
Point = tuple[float, float]
Limits = tuple[float, float]


class Canvas:
    """A rectangle of a new figure with linear scales.

    Args:
        height: of the figure, in inches; it is `WIDTH` wide.
        across: where the rectangle begins and ends, as shares of the width.
        down: inches that are left free above and below it.
        x: the values at its left and right edge.
        y: those at its lower and upper edge.
    """

    def __init__(
        self, height: float, across: Limits, down: Limits, x: Limits, y: Limits = (0.0, 1.0)
    ) -> None:
        self.figure = Figure(figsize=(WIDTH, height))
        self.x, self.y = x, y
        left, right = (WIDTH * share for share in across)
        self._inch = (right - left) / (x[1] - x[0]), (height - sum(down)) / (y[1] - y[0])
        to_inches = Affine2D().translate(-x[0], -y[0]).scale(*self._inch).translate(left, down[1])
        self._transform = to_inches + self.figure.dpi_scale_trans

    def strokes(
        self, segments: Sequence[tuple[Point, Point]], colour: str, width: float, **more: Any
    ) -> None:
        """Draw lines as one path; those of no length are dots where their caps are round."""
        if segments:
            stroke = {"facecolor": "none", "edgecolor": colour, "linewidth": width}
            codes = [Path.MOVETO, Path.LINETO] * len(segments)
            self._path(np.reshape(segments, (-1, 2)), codes, **stroke, **more)

    def dots(self, points: Iterable[Point], colour: str, width: float) -> None:
        """Draw filled circles, `width` points wide."""
        self.strokes([(point, point) for point in points], colour, width, capstyle="round")

    def rings(self, points: Iterable[Point], colour: str, width: float, line: float) -> None:
        """Draw hollow circles, `width` points wide, with a line so wide."""
        points = list(points)
        self.dots(points, colour, width)
        self.dots(points, HOLLOW, width - 2 * line)

    def area(self, x: Limits, y: Limits, colour: str) -> None:
        """Fill a rectangle."""
        corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
        codes = [Path.MOVETO, *[Path.LINETO] * 3]
        self._path(np.array(corners), codes, facecolor=colour, edgecolor="none", linewidth=0)

    def _path(self, points: np.ndarray, codes: Sequence[Any], **style: Any) -> None:
        path = Path(points, codes)
        path.should_simplify = False
        self.figure.add_artist(PathPatch(path, transform=self._transform, **style))

    def text(self, at: Point, says: str, moved: Point = (0.0, 0.0), **style: Any) -> None:
        """Write at a point of the plane, moved by so many points to the right and up."""
        shift = ScaledTranslation(moved[0] / 72, moved[1] / 72, self.figure.dpi_scale_trans)
        self.figure.add_artist(Text(*at, says, transform=self._transform + shift, **style))

    def below(self, ticks: Iterable[tuple[float, str]], title: str, tick: float = TICK) -> None:
        """Rule the lower edge, with ticks, their names and a title below it."""
        ticks, (low, high), edge = list(ticks), self.x, self.y[0]
        end = edge - tick / 72 / self._inch[1]
        marks = [((x, edge), (x, end)) for x, _ in ticks if tick]
        self.strokes([((low, edge), (high, edge)), *marks], RULE, 1)
        under = {"ha": "center", "va": "top", "color": MUTED}
        for x, name in ticks:
            self.text((x, edge), name, (0, -GAP), **under)
        self.text(((low + high) / 2, edge), title, (0, -GAP - LINE), **under)

    def beside(self, ticks: Iterable[tuple[float, str]], colour: str) -> None:
        """Write names left of the plane."""
        style = {"ha": "right", "va": "center_baseline", "color": colour}
        for y, name in ticks:
            self.text((self.x[0], y), name, (-GAP, 0), **style)
