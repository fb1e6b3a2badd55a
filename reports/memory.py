"""Memory over a step: a panel for each arm of a trial, all to one scale."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.records import MemoryCurve
from keras_ab.reports.canvas import WIDTH
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.legible import SANE, label
from keras_ab.reports.svg import FLOOR, INK, MUTED, STYLE, inline

PANEL = 1.3
DRAWN = 40
"""Stretches of time that are drawn; more would make a page heavy and no picture finer."""


@dataclass(frozen=True)
class Curves:
    """The curves of one trial, as the page shows them."""

    where: str
    peaks: list[tuple[str, str]]
    figure: Markup


def curves(trial: JudgedTrial, name: str) -> Curves | None:
    """Return device memory where every arm tells of it, or else host memory; None without any."""
    arms = [arm.name for arm in trial.data.declared.arms]
    found = [trial.data.curves[arm] for arm in arms if arm in trial.data.curves]
    on_device = all(curve.device_bytes for curve in found)
    used = [(on_device and curve.device_bytes) or curve.host_bytes for curve in found]
    drawn = [(c, u) for c, u in zip(found, used, strict=True) if u and max(*u, *c.at_s) < SANE]
    if not drawn or trial.data.invalid:
        return None
    where = "device" if on_device else "host"
    peaks = [(curve.arm, text.size(max(used))) for curve, used in drawn]
    return Curves(where, peaks, _figure(drawn, where, name))


def _thinned(at_s: list[float], used: list[int]) -> tuple[list[float], list[int]]:
    """Return the edges of as many stretches of time as are drawn, and the most in use in each."""
    starts = sorted({n * len(used) // DRAWN for n in range(DRAWN)})
    most = [max(used[i:j]) for i, j in pairwise([*starts, len(used)])]
    return [*(at_s[start] for start in starts), at_s[-1]], most


def _ticks(top: float) -> list[float]:
    """Return sizes that are round in B, KiB, MiB or GiB."""
    unit = max((2.0**n for n in (10, 20, 30) if 2**n <= top), default=1.0)
    found = MaxNLocator(3, steps=(1, 2, 5, 10)).tick_values(0, top / unit)
    return [tick * unit for tick in found if 0 <= tick * unit <= top]


def _figure(drawn: list[tuple[MemoryCurve, list[int]]], where: str, name: str) -> Markup:
    height = 0.6 + PANEL * len(drawn)
    top = 1.08 * max(max(used) for _, used in drawn)
    ticks = _ticks(top)
    end = max(curve.at_s[-1] for curve, _ in drawn)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        for row, (curve, used) in enumerate(drawn):
            bottom = (0.55 + PANEL * (len(drawn) - 1 - row)) / height
            axes = figure.add_axes((0.12, bottom, 0.85, (PANEL - 0.4) / height))
            edges, most = _thinned(curve.at_s, used)
            axes.stairs(most, edges, fill=True, fc=FLOOR, ec=INK, linewidth=0.8)
            axes.set(xlim=(0, end or 1), ylim=(0, top or 1))
            axes.set_title(label(curve.arm, 60), loc="left", fontsize=11, color=INK, pad=5)
            axes.set_yticks(ticks, [text.size(tick) for tick in ticks])
            axes.tick_params(length=0)
            axes.xaxis.set_major_formatter(lambda x, _: text.seconds(x))
            if row < len(drawn) - 1:
                axes.set_xticklabels([])
        axes.set_xlabel(f"{where} memory in use over two steps, watched", color=MUTED)
    says = "; ".join(f"{curve.arm}: at most {text.size(max(used))}" for curve, used in drawn)
    return inline(figure, name, f"Memory over two steps. {says}")
