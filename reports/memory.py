"""Memory over a step: a panel for each arm of a trial, all to one scale."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.records import MemoryCurve
from keras_ab.reports.canvas import BELOW, TICK, Canvas
from keras_ab.reports.colours import FLOOR, INK, MUTED, RULE
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.legible import SANE, label
from keras_ab.reports.ticks import round_numbers

PANEL, ROOM = 1.3, 0.7
"""Inches that an arm takes, and the share of these for its curve; its name is above it."""
DRAWN = 40
"""Stretches of time that are drawn; more would make a page heavy and no picture finer."""


@dataclass(frozen=True)
class Curves:
    """The curves of one trial, as the page shows them."""

    where: str
    peaks: list[tuple[str, str]]
    figure: Markup


def curves(trial: JudgedTrial) -> Curves | None:
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
    return Curves(where, peaks, _figure(drawn, where))


def _thinned(at_s: list[float], used: list[int]) -> tuple[list[float], list[int]]:
    """Return the edges of as many stretches of time as are drawn, and the most in use in each."""
    starts = sorted({n * len(used) // DRAWN for n in range(DRAWN)})
    most = [max(used[i:j]) for i, j in pairwise([*starts, len(used)])]
    return [*(at_s[start] for start in starts), at_s[-1]], most


def _ticks(top: float) -> list[float]:
    """Return sizes that are round in B, KiB, MiB or GiB."""
    unit = max((2.0**n for n in (10, 20, 30) if 2**n <= top), default=1.0)
    return [tick * unit for tick in round_numbers(0, top / unit, 3)]


def _figure(drawn: list[tuple[MemoryCurve, list[int]]], where: str) -> Markup:
    top = 1.08 * max(max(used) for _, used in drawn) or 1.0
    end = max(curve.at_s[-1] for curve, _ in drawn) or 1.0
    high = (0.0, len(drawn))
    canvas = Canvas(0.55 + PANEL * len(drawn), (0.12, 0.97), (0.05, 0.5), (0, end), high)
    for floor, (curve, used) in zip(reversed(range(len(drawn))), drawn, strict=True):
        _panel(canvas, floor, top, label(curve.arm, 60), _thinned(curve.at_s, used))
    seconds = [(x, text.seconds(x)) for x in round_numbers(0, end, 7)]
    canvas.below(seconds, f"{where} memory in use over two steps, watched", TICK)
    says = "; ".join(f"{curve.arm}: at most {text.size(max(used))}" for curve, used in drawn)
    return canvas.inline(f"Memory over two steps. {says}")


def _panel(
    canvas: Canvas, floor: int, top: float, name: str, stairs: tuple[list[float], list[int]]
) -> None:
    """Draw one arm's curve, its name above it, and what sizes stand for beside it."""
    edges, most = stairs
    heights = [floor + ROOM * used / top for used in most]
    ends = zip(pairwise(edges), heights, strict=True)
    outline = [(x, height) for (start, end), height in ends for x in (start, end)]
    canvas.polygon([(edges[0], floor), *outline, (edges[-1], floor)], FLOOR, INK)
    canvas.strokes([((0, floor), (canvas.x[1], floor))], RULE, 1)
    canvas.beside([(floor + ROOM * x / top, text.size(x)) for x in _ticks(top)], MUTED)
    canvas.text((0, floor + 1), name, (0, -2), drop=BELOW)
