"""How often a run tells its own identical arms apart: all A/A controls together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from scipy.special import bdtrc

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.moderation import FEWEST_TRIALS, Prior
from keras_ab.reports.canvas import Canvas
from keras_ab.reports.colours import MARGIN, MUTED, VERDICTS
from keras_ab.reports.figures import ratio_ticks
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.machines import Machine

BY_CHANCE = 0.025
"""Where so many or more would be told apart by chance less often than this, something is amiss."""
HEIGHT = 1.9
APART = 4
"""Units from bar to bar of the strip on the first screen."""


@dataclass(frozen=True)
class Identical:
    """The A/A controls of one run.

    Args:
        pairs: what was found about each pair of identical arms, with blocks enough for a verdict.
        confidence: level of their intervals.
    """

    pairs: list[Finding]
    confidence: float

    @property
    def apart(self) -> list[Finding]:
        """The pairs that were told apart: their interval leaves out "no difference"."""
        return [f for f in self.pairs if not f.estimate.low <= 0 <= f.estimate.high]

    @property
    def chance(self) -> float:
        """How likely so many or more are by chance alone, were the trials independent."""
        if not self.apart:
            return 1.0
        return float(bdtrc(len(self.apart) - 1, len(self.pairs), 1 - self.confidence))

    @property
    def is_more_than_chance(self) -> bool:
        """Whether more were told apart than the level of the intervals allows."""
        return self.chance < BY_CHANCE

    @property
    def says(self) -> str:
        """The count in words, and what chance alone would do."""
        level, n = text.level(1 - self.confidence), len(self.pairs)
        if n == 1:
            e = self.pairs[0].estimate
            within = text.beyond(max(-e.low, e.high), "ratio")
            told = ", told apart" if self.apart else ""
            return (
                f"One pair of identical arms{told}: they lie within {within} of each other. That "
                "bounds what the run can tell, and says little of a bias."
            )
        expected = text.number((1 - self.confidence) * n, 2)
        told = f"{len(self.apart)} of {text.count(n, 'identical pair')} told apart at {level}"
        if not self.is_more_than_chance:
            return f"{told}, where {expected} would be by chance: no sign of a bias."
        return (
            f"{told}, where {expected} would be by chance, and so many with a probability of "
            f"{text.number(self.chance, 2)}: intervals of this run are narrower than its noise."
        )


def of_run(run: JudgedRun) -> Identical | None:
    """Return the controls of a run; None where there are none."""
    found = [trial.control for trial in run.trials if trial.control and not trial.data.invalid]
    pairs = [
        f
        for f in found
        if f.estimate.blocks >= f.thresholds.min_blocks and math.isfinite(f.estimate.half_width)
    ]
    return Identical(pairs, run.header.plan.confidence) if pairs else None


@dataclass(frozen=True)
class Bar:
    """The interval of one pair in a strip 24 units high, no difference being in its middle.

    Args:
        x: where it stands.
        high: where the interval ends, from above; `low`, where it begins.
        apart: whether the pair was told apart.
    """

    x: int
    low: float
    high: float
    apart: bool


@dataclass(frozen=True)
class ShownIdentical:
    """The controls of a machine's newest run, as the page shows them."""

    machine: str
    says: str
    moderation: str
    figure: Markup
    bars: list[Bar]

    @property
    def width(self) -> int:
        """Units of the strip."""
        return APART * len(self.bars)


def of_machines(machines: Iterable[Machine]) -> list[ShownIdentical]:
    """Return the controls of the newest run of each machine."""
    shown = []
    for machine in machines:
        if found := of_run(machine.runs[-1]):
            prior = machine.runs[-1].prior
            told = found.says, moderation(prior), figure(found), bars(found)
            shown.append(ShownIdentical(machine.name, *told))
    return shown


def bars(found: Identical) -> list[Bar]:
    """Return the interval of every control, the lowest first, cut off where most end."""
    pairs = sorted(found.pairs, key=lambda finding: finding.estimate.point)
    least, most = _reached(pairs)

    def height(x: float) -> float:
        return round(12 * (1 - min(max(x, least), most) / most), 1)

    ends = ((height(f.estimate.low), height(f.estimate.high), f in found.apart) for f in pairs)
    return [Bar(APART * n + APART // 2, *told) for n, told in enumerate(ends)]


def moderation(prior: Prior) -> str:
    """Say what the intervals of step time borrow from the run's other trials."""
    if prior.trials < FEWEST_TRIALS:
        return (
            f"With fewer than {FEWEST_TRIALS} trials that can tell, the interval of each rests on "
            "its own blocks alone."
        )
    worth = text.number(prior.degrees, 2)
    return (
        f"The variance between the blocks of each trial is moderated by what its {prior.trials} "
        f"trials say together, which counts for {worth} degrees of freedom beside its own, and for "
        "fewer where its blocks are at odds with that."
    )


def figure(found: Identical) -> Markup:
    """Draw the interval of every control, the lowest first."""
    pairs = sorted(found.pairs, key=lambda finding: finding.estimate.point)
    canvas = Canvas(HEIGHT, (0.09, 0.97), (0.05, 0.5), (-1, len(pairs)), _reached(pairs))
    margin = min(pairs[0].thresholds.margin, canvas.y[1])
    canvas.area(canvas.x, (-margin, margin), MARGIN)
    canvas.strokes([((canvas.x[0], 0), (canvas.x[1], 0))], MUTED, 1)
    for colour, is_apart in ((MUTED, False), (VERDICTS["worse"], True)):
        mine = [(n, f.estimate) for n, f in enumerate(pairs) if (f in found.apart) == is_apart]
        ends = [((n, _within(e.low, canvas)), (n, _within(e.high, canvas))) for n, e in mine]
        canvas.strokes(ends, colour, 2)
        canvas.dots([(n, _within(e.point, canvas)) for n, e in mine], colour, 4.5)
    canvas.beside(ratio_ticks(canvas.y, 4), MUTED)
    canvas.below([], "trials, ordered by what was found", tick=0)
    return canvas.inline(found.says)


def _reached(pairs: Sequence[Finding]) -> tuple[float, float]:
    """Return limits, the same on both sides, that one noisy trial does not stretch."""
    widths = sorted(max(abs(f.estimate.low), abs(f.estimate.high)) for f in pairs)
    usual = widths[int(0.9 * (len(widths) - 1))]
    reach = 1.1 * min(max(usual, pairs[0].thresholds.margin), 1.0)
    return -reach, reach


def _within(x: float, canvas: Canvas) -> float:
    return min(max(x, canvas.y[0]), canvas.y[1])
