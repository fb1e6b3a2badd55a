"""A point and its interval in a cell, on one axis for the whole table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.reports.figures import ends

WIDTH = 120
"""Units of the drawing, the middle being no difference."""
MOST = math.log(8)
"""Where the axis ends at the latest: what lies beyond is drawn at its end."""


@dataclass(frozen=True)
class Mark:
    """Where a finding lies on the axis: its interval, its point, and the margin about the middle.

    Args:
        low: where the interval begins, in units of the drawing; likewise the others.
        beyond: whether the point lies beyond the axis.
    """

    low: float
    point: float
    high: float
    margin_low: float
    margin_high: float
    beyond: bool


@dataclass(frozen=True)
class Forest:
    """The axis that all rows share, logarithmic and the same on both sides of no difference."""

    reach: float

    def mark(self, finding: Finding | None) -> Mark | None:
        """Return where to draw a finding; None where it is no ratio."""
        if finding is None or not _is_ratio(finding):
            return None
        low, high = ends(finding.estimate)
        point, margin = finding.estimate.point, finding.thresholds.margin
        a, b, c, d, e = (self._at(x) for x in (low, point, high, -margin, margin))
        return Mark(a, b, c, d, e, beyond=abs(point) > self.reach)

    def _at(self, x: float) -> float:
        share = min(max(x / self.reach, -1), 1)
        return round(WIDTH / 2 * (1 + 0.94 * share), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The axis: places and ratios."""
        far = math.exp(self.reach)
        outer = next(x for x in (8, 4, 2, 1.5, 1.2, 1.1, 1.05) if x <= far)
        return [(self._at(math.log(x)), f"{x:.2g}×") for x in (1 / outer, 1, outer)]


def _is_ratio(finding: Finding) -> bool:
    return finding.metric.scale != "difference" and math.isfinite(finding.estimate.point)


def forest(findings: Iterable[Finding]) -> Forest:
    """Return the axis on which three of four findings lie."""
    found = sorted(max(map(abs, ends(f.estimate))) for f in findings if _is_ratio(f))
    usual = found[int(0.75 * (len(found) - 1))] if found else 0.0
    return Forest(min(max(usual, math.log(1.1)), MOST))
