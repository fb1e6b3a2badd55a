"""The roofline: arms under the ceilings of their machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.ceilings import TITLES
from keras_ab.reports.canvas import WIDTH
from keras_ab.reports.colours import HOLLOW, INK, MUTED, RULE
from keras_ab.reports.legible import SANE, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 4.6
LETTER = 6.2
"""Points that a letter of the small text takes at most, on average, whatever the page's font."""


@dataclass(frozen=True)
class Place:
    """Where one arm stands under its machine's ceilings.

    Args:
        number: of its point in the roofline.
        trial: short name of the trial.
        arm: name of the arm.
        is_baseline: whether the others are held against it.
        flop: floating-point operations of a step's products.
        moved_bytes: the least that a step moves.
        step_time_s: median step time.
        best_products_s: how long the products take at the ceilings of their types.
        best_copies_s: how long the least that moves takes at the ceiling of copying.
    """

    number: int
    trial: str
    arm: str
    is_baseline: bool
    flop: float
    moved_bytes: float
    step_time_s: float
    best_products_s: float
    best_copies_s: float

    @property
    def intensity(self) -> float:
        """Floating-point operations for each byte that must move."""
        return self.flop / self.moved_bytes

    @property
    def rate(self) -> float:
        """Floating-point operations a second."""
        return self.flop / self.step_time_s

    @property
    def utilisation(self) -> float:
        """Share of the step in which the products alone would be done, at their ceilings."""
        return self.best_products_s / self.step_time_s

    @property
    def traffic(self) -> float:
        """Share of the step in which the least that moves would have moved, at the ceiling."""
        return self.best_copies_s / self.step_time_s

    @property
    def says(self) -> str:
        """What stands between the arm and its ceilings."""
        nearest = max(self.utilisation, self.traffic)
        if self.utilisation > 1:
            return "above the ceiling of its products: one of the two is wrong"
        if self.traffic > 1:
            return "faster than memory: what moves stays in a cache"
        bound = "products" if self.utilisation >= self.traffic else "copies"
        if nearest >= 0.5:
            return f"bound by {bound}"
        return f"{text.ratio(1 / nearest)} the time that its {bound} need"


def roofline(places: list[Place], rates: Mapping[str, float], name: str) -> Markup | None:
    """Draw every arm under the roofs of its machine, both axes logarithmic.

    Source: S. Williams, A. Waterman, D. Patterson, Roofline: An Insightful Visual Performance Model
    for Multicore Architectures, 2009, https://doi.org/10.1145/1498765.1498785.
    """
    flats = {k: v for k, v in rates.items() if k.startswith("matmul_") and 1 / SANE < v < SANE}
    slopes = {k: v for k, v in rates.items() if k.endswith("_copy") and 1 / SANE < v < SANE}
    if not places or not flats or not slopes:
        return None
    import matplotlib as mpl  # few pages have ceilings
    from matplotlib.figure import Figure

    from keras_ab.reports.svg import STYLE, inline

    ridge = max(flats.values()) / min(slopes.values())
    low = min(0.3 * min(place.intensity for place in places), ridge / 30)
    high = max(3 * max(place.intensity for place in places), 3 * ridge)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0.17, 0.13, 0.80, 0.84))
        bottom = 0.5 * min(place.rate for place in places)
        axes.set(
            xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, 3 * max(flats.values()))
        )
        taken = _roofs(axes, flats, slopes, low, high)
        for place in places:
            fill = HOLLOW if place.is_baseline else INK
            axes.plot(place.intensity, place.rate, "o", color=INK, mfc=fill, markersize=6, mew=1.5)
        _numbers(axes, places, taken)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: text.quantity(y, "FLOP/s"))
        axes.xaxis.set_major_formatter(lambda x, _: text.number(x, 1))
        axes.set_xlabel("operations for each byte that must move", color=MUTED)
    shares = "; ".join(f"{p.number}: {text.percent(p.utilisation)}" for p in places)
    return inline(figure, name, f"Roofline; share of the products’ ceiling by number: {shares}")


@dataclass(frozen=True)
class Words:
    """A short text in the roofline: where it begins, in points, and how long it is."""

    x: float
    y: float
    says: str

    def meets(self, other: Words) -> bool:
        """Tell whether two texts would touch."""
        left, right = sorted((self, other), key=lambda words: words.x)
        return abs(self.y - other.y) < 11 and right.x < left.x + LETTER * len(left.says)


def _place_of(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the data lies, in points."""
    at = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
    return float(at[0]), float(at[1])


def _write(axes: Axes, words: Words, taken: list[Words], colour: str) -> None:
    """Write where there is room; the tables say it all."""
    if any(words.meets(other) for other in taken):
        return
    taken.append(words)
    axes.annotate(
        words.says, (words.x, words.y), xycoords="figure points", color=colour, fontsize=9
    )


def _numbers(axes: Axes, places: list[Place], taken: list[Words]) -> None:
    """Number the points, beside other points and not over them."""
    points = [_place_of(axes, place.intensity, place.rate) for place in places]
    taken = [*taken, *(Words(x - 4, y - 3, "o") for x, y in points)]
    for place, (x, y) in zip(places, points, strict=True):
        _write(axes, Words(x + 7, y - 3, str(place.number)), taken, INK)


def _roofs(
    axes: Axes, flats: Mapping[str, float], slopes: Mapping[str, float], low: float, high: float
) -> list[Words]:
    """Rule the ceilings, products level and copies rising to meet them; return their names."""
    top, written = max(flats.values()), list[Words]()
    for name, flat in flats.items():
        start = max(low, flat / max(slopes.values()))
        axes.plot([start, high], [flat, flat], color=RULE, linewidth=1.5)
        kind, (x, y) = label(name.removeprefix("matmul_")), _place_of(axes, high, flat)
        _write(axes, Words(x - 4 - LETTER * len(kind), y + 3, kind), written, MUTED)
    for name, slope in slopes.items():
        ends = np.geomspace(low, min(high, top / slope), 2)
        axes.plot(ends, slope * ends, color=RULE, linewidth=1.5)
        bottom = max(low, 1.3 * axes.get_ylim()[0] / slope)
        x, y = _place_of(axes, bottom, slope * bottom)
        _write(axes, Words(x + 4, y + 8, TITLES.get(name, label(name))), written, MUTED)
    return written
