"""A plane to draw on, written as SVG at once: a page on many runs has figures by the hundred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from keras_ab.reports.colours import COLOURS, HOLLOW, INK, MUTED, RULE
from keras_ab.reports.legible import legible

WIDTH = 8.0
"""Inches at 72 points; the page scales it."""
GAP, TICK, LINE = 6.0, 3.5, 17.0
"""Points: between the plane and names, of a tick, and from a line of text to the next."""
SIZE = 11
"""Points of a letter, unless another size is asked for."""
BELOW, ACROSS = 0.76, 0.37
"""How far the line that letters stand on lies below their top, and below their middle, in ems."""
Point = tuple[float, float]
Limits = tuple[float, float]


@dataclass(frozen=True)
class Text:
    """Words at a place, in points from the upper left."""

    x: float
    y: float
    says: str
    anchor: str
    colour: str
    size: float

    def written(self, anchor: str) -> str:
        """Return the element, in a figure whose texts have an anchor unless they say another."""
        own = f' text-anchor="{self.anchor}"' if self.anchor != anchor else ""
        size = f' font-size="{self.size:g}px"' if self.size != SIZE else ""
        place = f'x="{_short(self.x)}" y="{_short(self.y)}"'
        return f'<text {place}{own}{size} fill="{COLOURS[self.colour]}">{escape(self.says)}</text>'


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
        self.x, self.y = x, y
        self._height = 72 * height
        self._left, right = (72 * WIDTH * share for share in across)
        self._bottom = 72 * (height - down[1])
        upright = self._bottom - 72 * down[0]
        self._points = (right - self._left) / (x[1] - x[0]), upright / (y[1] - y[0])
        self._drawn: list[str] = []
        self._texts: list[Text] = []

    def _at(self, point: Point) -> Point:
        """Return where a point of the plane lies, in points from the upper left."""
        across, up = self._points
        x = self._left + (point[0] - self.x[0]) * across
        return x, self._bottom - (point[1] - self.y[0]) * up

    def strokes(
        self,
        segments: Iterable[tuple[Point, Point]],
        colour: str,
        width: float,
        *,
        dashed: bool = False,
    ) -> None:
        """Draw lines as one path."""
        path = "".join(_line([self._at(start), self._at(end)]) for start, end in segments)
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        if path:
            self._drawn.append(f'<path d="{path}" fill="none"{_pen(colour, width)}{dashes}/>')

    def dots(self, points: Iterable[Point], colour: str, width: float) -> None:
        """Draw filled circles, `width` points wide: lines of no length, in tenths of a point."""
        places, last = list[str](), (0, 0)
        for x, y in map(self._at, points):
            here = round(10 * x), round(10 * y)
            places.append(f"m{here[0] - last[0]} {here[1] - last[1]}h0")
            last = here
        if places:
            path = "".join(places).replace(" -", "-")
            round_ends = ' stroke-linecap="round" transform="scale(.1)"'
            pen = _pen(colour, 10 * width)
            self._drawn.append(f'<path d="{path}" fill="none"{pen}{round_ends}/>')

    def rings(self, points: Iterable[Point], colour: str, width: float, line: float) -> None:
        """Draw hollow circles, `width` points wide, with a line so wide."""
        points = list(points)
        self.dots(points, colour, width)
        self.dots(points, HOLLOW, width - 2 * line)

    def area(self, x: Limits, y: Limits, colour: str) -> None:
        """Fill a rectangle."""
        self.polygon([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], colour)

    def polygon(self, points: Iterable[Point], colour: str, edge: str = "") -> None:
        """Fill what lies between points, ruled with a thin line where an edge has a colour."""
        path = _line([self._at(point) for point in points])
        pen = _pen(edge, 0.8) if edge else ""
        self._drawn.append(f'<path d="{path}z" fill="{COLOURS[colour]}"{pen}/>')

    def text(
        self,
        at: Point,
        says: str,
        moved: Point = (0.0, 0.0),
        *,
        anchor: str = "start",
        drop: float = 0.0,
        colour: str = INK,
        size: float = SIZE,
    ) -> None:
        """Write at a point of the plane.

        Args:
            at: the point.
            says: what to write.
            moved: by so many points to the right and up.
            anchor: what of the words is at the point: ``start``, ``middle`` or ``end``.
            drop: by so many ems down, `BELOW` or `ACROSS`.
            colour: of the letters.
            size: of the letters, in points.
        """
        x, y = self._at(at)
        place = x + moved[0], y - moved[1] + drop * size
        self._texts.append(Text(*place, says, anchor, colour, size))

    def below(self, ticks: Iterable[tuple[float, str]], title: str, tick: float = TICK) -> None:
        """Rule the lower edge, with ticks, their names and a title below it."""
        ticks, (low, high), edge = list(ticks), self.x, self.y[0]
        end = edge - tick / self._points[1]
        marks = [((x, edge), (x, end)) for x, _ in ticks if tick]
        self.strokes([((low, edge), (high, edge)), *marks], RULE, 1)
        for x, name in ticks:
            self.text((x, edge), name, (0, -GAP), anchor="middle", drop=BELOW, colour=MUTED)
        middle = ((low + high) / 2, edge)
        self.text(middle, title, (0, -GAP - LINE), anchor="middle", drop=BELOW, colour=MUTED)

    def beside(self, ticks: Iterable[tuple[float, str]], colour: str) -> None:
        """Write names left of the plane."""
        for y, name in ticks:
            self.text((self.x[0], y), name, (-GAP, 0), anchor="end", drop=ACROSS, colour=colour)

    def inline(self, says: str) -> Markup:
        """Return the figure as an ``<svg>`` in the colours and the font of its page.

        Args:
            says: what it shows, for those who cannot see it.
        """
        anchors = Counter(text.anchor for text in self._texts)
        anchor = next((most for most, _ in anchors.most_common(1)), "start")
        box = f"0 0 {_short(72 * WIDTH)} {_short(self._height)}"
        said = escape(legible(says, 1000))
        head = f'<svg viewBox="{box}" role="img" aria-label="{said}" font-size="{SIZE}px"'
        words = "".join(text.written(anchor) for text in self._texts)
        drawn = "".join(self._drawn)
        return Markup(f'{head} text-anchor="{anchor}">{drawn}{words}</svg>')  # noqa: S704 - escaped


def _pen(colour: str, width: float) -> str:
    across = f' stroke-width="{width:g}"' if width != 1 else ""
    return f' stroke="{COLOURS[colour]}"{across}'


def _line(points: Sequence[Point]) -> str:
    """Return a path from point to point, level and upright parts with their one coordinate."""
    (x, y), *others = [(_short(x), _short(y)) for x, y in points]
    path = f"M{x} {y}"
    for new_x, new_y in others:
        if new_y == y:
            path += f"H{new_x}"
        else:
            path += f"V{new_y}" if new_x == x else f"L{new_x} {new_y}"
        x, y = new_x, new_y
    return path


def _short(x: float) -> str:
    """Return a coordinate to a tenth of a point."""
    rounded = f"{x:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded
