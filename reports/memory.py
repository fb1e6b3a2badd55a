"""Memory over a step: a panel for each arm of a trial, all to one scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.lab import text
from bench.lab.records import MemoryCurve
from reports.judged import JudgedRun, JudgedTrial
from reports.legible import label, short_names
from reports.svg import FLOOR, INK, MUTED, STYLE, inline

WIDTH, PANEL = 8.0, 1.3
SANE = 1e30


@dataclass(frozen=True)
class Curves:
    """The curves of one trial, as the page shows them."""

    anchor: str
    title: str
    where: str
    peaks: list[tuple[str, str]]
    figure: Markup


def of_runs(runs: Iterable[JudgedRun]) -> Iterator[Curves]:
    """Yield the curves of every trial that has any."""
    number = 0
    for run in runs:
        names = short_names([trial.data.declared for trial in run.trials])
        for name, trial in zip(names, run.trials, strict=True):
            number += 1
            if shown := _curves(trial, name, f"memory{number}"):
                yield shown


def _curves(trial: JudgedTrial, name: str, anchor: str) -> Curves | None:
    """Return device memory where every arm tells of it, or else host memory."""
    arms = [arm.name for arm in trial.data.declared.arms]
    found = [trial.data.curves[arm] for arm in arms if arm in trial.data.curves]
    on_device = all(curve.device_bytes for curve in found)
    used = [(on_device and curve.device_bytes) or curve.host_bytes for curve in found]
    drawn = [(c, u) for c, u in zip(found, used, strict=True) if u and max(*u, *c.at_s) < SANE]
    if not drawn or trial.data.invalid:
        return None
    where = "device" if on_device else "host"
    peaks = [(curve.arm, text.size(max(used))) for curve, used in drawn]
    return Curves(anchor, name, where, peaks, _figure(drawn, where, anchor))


def _figure(drawn: list[tuple[MemoryCurve, list[int]]], where: str, name: str) -> Markup:
    height = 0.6 + PANEL * len(drawn)
    top = 1.08 * max(max(used) for _, used in drawn)
    end = max(curve.at_s[-1] for curve, _ in drawn)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        for row, (curve, used) in enumerate(drawn):
            bottom = (0.55 + PANEL * (len(drawn) - 1 - row)) / height
            axes = figure.add_axes((0.12, bottom, 0.85, (PANEL - 0.4) / height))
            axes.fill_between(curve.at_s, used, color=FLOOR, step="post")
            axes.plot(curve.at_s, used, color=INK, linewidth=1, drawstyle="steps-post")
            axes.set(xlim=(0, end or 1), ylim=(0, top or 1))
            axes.set_title(label(curve.arm, 60), loc="left", fontsize=11, color=INK, pad=5)
            axes.yaxis.set_major_formatter(lambda y, _: text.size(y))
            axes.locator_params(axis="y", nbins=3)
            axes.xaxis.set_major_formatter(lambda x, _: text.seconds(x))
            if row < len(drawn) - 1:
                axes.set_xticklabels([])
        axes.set_xlabel(f"{where} memory in use over two steps, watched", color=MUTED)
    says = "; ".join(f"{curve.arm}: at most {text.size(max(used))}" for curve, used in drawn)
    return inline(figure, name, f"Memory over two steps. {says}")
