"""How far each arm is from what its machine does at best: utilisation, bandwidth, roofline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.lab import text
from bench.lab.ceilings import TITLES, ceilings_in, rate
from bench.lab.records import Ceiling
from reports.judged import JudgedRun, JudgedTrial
from reports.legible import label, short_names
from reports.machines import Machine
from reports.svg import HOLLOW, INK, MUTED, RULE, STYLE, inline

WIDTH, HEIGHT = 8.0, 4.6
SANE = 1e30
"""Rates and sizes beyond this were not measured on any machine."""


@dataclass(frozen=True)
class CeilingRow:
    """One ceiling, as the page shows it."""

    title: str
    found: str
    on: str


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
        """What stands between the arm and its limit."""
        nearest = max(self.utilisation, self.traffic)
        if self.utilisation > 1:
            return "above the ceiling of its products: one of the two is wrong"
        if self.traffic > 1:
            return "faster than memory: what moves stays in a cache"
        bound = "products" if self.utilisation >= self.traffic else "copies"
        if nearest >= 0.5:
            return f"bound by {bound}"
        return f"{text.ratio(1 / nearest)} the time that its {bound} need"


@dataclass(frozen=True)
class Limits:
    """All that a run says about limits."""

    anchor: str
    run: str
    rows: list[CeilingRow]
    places: list[Place]
    silent: list[str]
    """Arms whose work is not known, each with the reason."""
    figure: Markup | None


def of_machines(machines: Iterable[Machine]) -> list[Limits]:
    """Return what the newest run of each machine that measured its ceilings says about limits."""
    found = []
    for number, machine in enumerate(machines, 1):
        limits = (of_run(run, f"limits{number}") for run in reversed(machine.runs))
        found.append(next(filter(None, limits), None))
    return [limits for limits in found if limits]


def of_run(run: JudgedRun, anchor: str) -> Limits | None:
    """Return what a run says about limits; None where it measured no ceiling."""
    measured = ceilings_in(run.run.records)
    if not measured:
        return None
    rates = {name: rate(record).point for name, record in measured.items()}
    framework = run.header.environment.get("framework")
    tf32 = isinstance(framework, dict) and framework.get("tf32") is True
    names = short_names([trial.data.declared for trial in run.trials])
    named = list(zip(names, run.trials, strict=True))
    places = list(_places(named, rates, tf32=tf32))
    return Limits(
        anchor=anchor,
        run=run.header.run,
        rows=[_row(record) for record in measured.values()],
        places=places,
        silent=list(_silent(named)),
        figure=_roofline(places, rates, f"{anchor}-roofline"),
    )


def _row(record: Ceiling) -> CeilingRow:
    on = text.size(record.data_bytes) if record.data_bytes else "–"
    found = text.between(rate(record), record.unit)
    return CeilingRow(TITLES.get(record.name, record.name), found, on)


def _places(
    named: Iterable[tuple[str, JudgedTrial]], rates: Mapping[str, float], *, tf32: bool
) -> Iterator[Place]:
    number = 1
    for name, trial in named:
        for arm in trial.data.declared.arms:
            found = _place(number, name, trial, arm.name, rates, tf32=tf32)
            if found:
                yield found
                number += 1


def _place(
    number: int, name: str, trial: JudgedTrial, arm: str, rates: Mapping[str, float], *, tf32: bool
) -> Place | None:
    """Return where an arm stands; None where its work, its time or a ceiling is not known."""
    work, step = trial.data.work.get(arm), trial.data.step_time_s(arm)
    copies = rates.get("device_copy", rates.get("host_copy"))
    if trial.data.invalid or not work or not work.least_moved_bytes or not copies:
        return None
    products = {kind: _product_rate(kind, rates, tf32=tf32) for kind in work.flop}
    if not all(products.values()):
        return None
    place = Place(
        number=number,
        trial=name,
        arm=arm,
        is_baseline=arm == trial.data.baseline,
        flop=sum(work.flop.values()),
        moved_bytes=work.least_moved_bytes,
        step_time_s=step,
        best_products_s=sum(flop / products[kind] for kind, flop in work.flop.items()),
        best_copies_s=work.least_moved_bytes / copies,
    )
    sizes = (place.flop, place.moved_bytes, step, place.best_products_s, place.best_copies_s)
    return place if all(1 / SANE < size < SANE for size in sizes) else None


def _product_rate(kind: str, rates: Mapping[str, float], *, tf32: bool) -> float:
    """Return the ceiling of products of a type; 0 where it was not measured."""
    if kind == "float32" and tf32 and "matmul_tf32" in rates:
        return rates["matmul_tf32"]
    return rates.get(f"matmul_{kind}", 0.0)


def _silent(named: Iterable[tuple[str, JudgedTrial]]) -> Iterator[str]:
    for name, trial in named:
        for arm, work in trial.data.work.items():
            if work.reason:
                yield f"{name}, {arm}: {work.reason}"


def _roofline(places: list[Place], rates: Mapping[str, float], name: str) -> Markup | None:
    """Draw every arm under the roofs of its machine, both axes logarithmic.

    Source: S. Williams, A. Waterman, D. Patterson, Roofline: An Insightful Visual Performance Model
    for Multicore Architectures, 2009, https://doi.org/10.1145/1498765.1498785.
    """
    flats = {k: v for k, v in rates.items() if k.startswith("matmul_") and 1 / SANE < v < SANE}
    slopes = {k: v for k, v in rates.items() if k.endswith("_copy") and 1 / SANE < v < SANE}
    if not places or not flats or not slopes:
        return None
    ridge = max(flats.values()) / min(slopes.values())
    low = min(0.3 * min(place.intensity for place in places), ridge / 30)
    high = max(3 * max(place.intensity for place in places), 3 * ridge)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0.11, 0.13, 0.86, 0.84))
        axes.set(xscale="log", yscale="log", xlim=(low, high))
        _roofs(axes, flats, slopes, low, high)
        for place in places:
            fill = HOLLOW if place.is_baseline else INK
            axes.plot(place.intensity, place.rate, "o", color=INK, mfc=fill, markersize=6, mew=1.5)
        axes.set_ylim(0.5 * min(place.rate for place in places), 3 * max(flats.values()))
        _numbers(axes, places)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: text.quantity(y, "FLOP/s"))
        axes.xaxis.set_major_formatter(lambda x, _: text.number(x, 1))
        axes.set_xlabel("operations for each byte that must move", color=MUTED)
    shares = "; ".join(f"{p.number}: {text.percent(p.utilisation)}" for p in places)
    return inline(figure, name, f"Roofline; share of the products’ ceiling by number: {shares}")


def _numbers(axes: Axes, places: list[Place]) -> None:
    """Number the points, where there is room for a number; the table has them all."""
    taken: list[tuple[float, float]] = []
    for place in places:
        at = axes.transData.transform((place.intensity, place.rate)) * 72 / axes.figure.dpi
        if all(abs(at[0] - x) > 20 or abs(at[1] - y) > 11 for x, y in taken):
            taken.append((at[0], at[1]))
            axes.annotate(
                str(place.number), (place.intensity, place.rate), (6, -3),
                textcoords="offset points", color=INK, fontsize=9,
            )  # fmt: skip


def _roofs(
    axes: Axes, flats: Mapping[str, float], slopes: Mapping[str, float], low: float, high: float
) -> None:
    """Rule the ceilings: products are level, copies rise to meet the highest of them."""
    top = max(flats.values())
    for name, flat in flats.items():
        start = max(low, flat / max(slopes.values()))
        axes.plot([start, high], [flat, flat], color=RULE, linewidth=1.5)
        kind = label(name.removeprefix("matmul_"))
        axes.annotate(
            kind, (high, flat), (-4, 3), textcoords="offset points", ha="right",
            color=MUTED, fontsize=9,
        )  # fmt: skip
    for name, slope in slopes.items():
        x = np.geomspace(low, min(high, top / slope), 2)
        axes.plot(x, slope * x, color=RULE, linewidth=1.5)
        axes.annotate(
            TITLES.get(name, label(name)), (x[0], slope * x[0]), (4, 6),
            textcoords="offset points", color=MUTED, fontsize=9,
        )  # fmt: skip
