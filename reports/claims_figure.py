"""The figure of a trial's claims: each bound, and what was found of it."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import ClaimFinding, claim_bounds
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.reports.canvas import Canvas
from keras_ab.reports.colours import INK, MARGIN, MUTED, VERDICTS
from keras_ab.reports.figures import ends
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.legible import label

COLOURS = {
    Outcome.CONFIRMED: VERDICTS["better"],
    Outcome.REFUTED: VERDICTS["worse"],
    Outcome.UNDECIDED: VERDICTS["inconclusive"],
}
NAMES = 0.36
"""Share of the width that the claims' names take."""
SMALL: dict[str, Any] = {"size": 9, "colour": MUTED}


def claims_figure(trial: JudgedTrial) -> Markup | None:
    """Draw each claim's bound and what was found, every row on a scale of its own."""
    drawn = [c for c in trial.claims if c.finding and c.outcome in COLOURS]
    if not drawn:
        return None
    height = 0.15 + 0.55 * len(drawn)
    canvas = Canvas(height, (NAMES, 0.98), (0, 0), (0, 1), (len(drawn), 0))
    for row, claim in enumerate(drawn):
        _claim(canvas, trial, claim, row)
    return canvas.inline("; ".join(f"{c.claim.id}: {c.outcome}" for c in drawn))


def _claim(canvas: Canvas, trial: JudgedTrial, claim: ClaimFinding, row: int) -> None:
    assert claim.finding is not None  # noqa: S101 - chosen by the caller
    metric, e = trial.data.metric(claim.claim.metric), claim.finding.estimate
    bounds = claim_bounds(claim.claim, metric)
    reached = ends(e)
    finite = [x for x in bounds if math.isfinite(x)]
    low, high = min(*reached, *finite), max(*reached, *finite)
    room = 0.25 * (high - low) or 0.05
    place = _Scale(low - room, high + room)
    left, right = (min(max(place.at(x), 0.0), 1.0) for x in bounds)
    top, bottom, y = row + 0.30, row + 0.86, row + 0.58
    canvas.area((left, right), (top, bottom), MARGIN)
    rules = [((place.at(x), top), (place.at(x), bottom)) for x in finite]
    canvas.strokes(rules, INK, 1.5)
    colour = COLOURS[claim.outcome]
    left, right = map(place.at, reached)
    canvas.strokes([((left, y), (right, y))], colour, 3)
    canvas.rings([(place.at(e.point), y)], colour, 10.5, 2.5)
    for x in finite:
        said = text.bound_value(claim.finding.shown(x), metric.scale)
        canvas.text((place.at(x), row + 0.22), said, anchor=_beside(place, x, finite), **SMALL)
    said = claim.claim.id.removeprefix(f"{trial.data.declared.experiment}.")
    canvas.text((-0.02, row + 0.50), label(said, 28), anchor="end")
    canvas.text((-0.02, row + 0.86), label(metric.title, 34), anchor="end", **SMALL)


def _beside(place: _Scale, x: float, bounds: list[float]) -> str:
    """Return on which side of a bound its value is aligned: outwards where two lie close."""
    low, high = min(bounds), max(bounds)
    if low == high or place.at(high) - place.at(low) >= 0.15:
        return "middle"
    return "end" if x == low else "start"


class _Scale:
    """The scale of one row, from 0 to 1."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def at(self, x: float) -> float:
        if math.isinf(x):
            return math.copysign(2.0, x)
        return (x - self._low) / (self._high - self._low)
