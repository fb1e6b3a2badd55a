"""What several techniques do together: effects, interactions, and the best of their combinations.

The corners of a stack are arms of the same blocks. In each block their log ratios to the baseline
are fitted by

    y = mean + sum_i b_i x_i + sum_ij b_ij x_i x_j,    x_i = 1/2 with technique i, -1/2 without

so that b_i is what technique i brings on the average over the others, and b_ij the log of what two
bring together over the product of what each brings alone. Across blocks: an interval of each, like
that of any contrast.

Source: G. E. P. Box, W. G. Hunter, J. S. Hunter, Statistics for Experimenters, 1978, chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, combinations
from statistics import fmean

import numpy as np

from keras_ab.bench.lab.judge import verdicts
from keras_ab.bench.lab.judge.contrasts import block_contrast, finished
from keras_ab.bench.lab.judge.estimate import Estimate, difference, interval
from keras_ab.bench.lab.judge.findings import noise_floor
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict, holm
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan

Corner = frozenset[str]
"""The techniques that an arm has."""

TOLD_APART = 1e-9
"""How far an effect's row may be from what the corners span, for rounding."""


class Together(StrEnum):
    """What two techniques do to each other."""

    MULTIPLY = "multiply"
    """Together they bring the product of what each brings."""
    COMPETE = "compete"
    """Together they bring less."""
    HELP = "help each other"
    """Together they bring more."""
    UNDECIDED = "undecided"


WORDS = {
    Verdict.EQUIVALENT: Together.MULTIPLY,
    Verdict.WORSE: Together.COMPETE,
    Verdict.BETTER: Together.HELP,
    Verdict.INCONCLUSIVE: Together.UNDECIDED,
}


@dataclass(frozen=True)
class Stack:
    """The corners of a stack, and their log ratios to the baseline in each block.

    Args:
        techniques: that are combined.
        corners: one for each column of `ratios`; the baseline has none of the techniques.
        ratios: ``(blocks, corners)``.
    """

    techniques: tuple[str, ...]
    corners: tuple[Corner, ...]
    ratios: np.ndarray

    @property
    def terms(self) -> list[tuple[str, ...]]:
        """The mean, each technique, each two of them: one for each column of the design."""
        several = (combinations(self.techniques, n) for n in range(3))
        return list(chain.from_iterable(several))

    def rows(self, corners: Collection[Corner]) -> np.ndarray:
        """Return the rows of the design for some corners, ``(corners, terms)``."""
        at = [{t: 0.5 if t in corner else -0.5 for t in self.techniques} for corner in corners]
        return np.array([[math.prod(x[t] for t in term) for term in self.terms] for x in at])

    def combined(self, row: np.ndarray) -> list[float] | None:
        """Return a combination of the terms in each block; None where corners do not tell it."""
        design = self.rows(self.corners)
        weights = row @ np.linalg.pinv(design)
        if np.abs(weights @ design - row).max() > TOLD_APART:
            return None
        return (self.ratios @ weights).tolist()

    def term(self, techniques: tuple[str, ...]) -> list[float] | None:
        """Return one term in each block."""
        return self.combined(np.eye(len(self.terms))[self.terms.index(techniques)])

    def corner(self, corner: Corner) -> list[float] | None:
        """Return the fitted log ratio of a corner to the baseline, measured or not."""
        there, nothing = self.rows([corner, frozenset()])
        return self.combined(there - nothing)


@dataclass(frozen=True)
class Effect:
    """What a technique brings on the average over the others, or two beyond their product.

    Args:
        techniques: one, or two.
        estimate: of the log ratio.
        verdict: on it.
        word: for two, what they do to each other; it survives correction for their number.
    """

    techniques: tuple[str, ...]
    estimate: Estimate
    verdict: Verdict
    word: Together | None


@dataclass(frozen=True)
class Part:
    """What one technique still brings to a stack: the stack against the stack without it."""

    technique: str
    estimate: Estimate
    verdict: Verdict


def stack_of(data: TrialData) -> Stack | None:
    """Return the stack in a trial; None where no arm has two techniques, or nothing was measured.

    Arms that failed are not among its corners; effects that the others do not tell are left out.
    """
    arms = {arm.name: frozenset(arm.techniques) for arm in data.declared.arms}
    kept = [arm for arm in arms if arm == data.baseline or not data.why_not(arm)]
    blocks = [n for n in sorted(data.blocks) if all(n in finished(data, arm) for arm in kept)]
    if data.invalid or not blocks or max(len(arms[arm]) for arm in kept) < 2:
        return None
    ratios = [[_ratio(data, block, arm) for arm in kept] for block in blocks]
    techniques = tuple(dict.fromkeys(chain.from_iterable(a.techniques for a in data.declared.arms)))
    return Stack(techniques, tuple(arms[arm] for arm in kept), np.array(ratios))


def _ratio(data: TrialData, block: int, arm: str) -> float:
    return 0.0 if arm == data.baseline else block_contrast(data, block, arm)


def thresholds_of(data: TrialData, plan: Plan) -> Thresholds:
    """Return what effects on step time are held against, as the arms of the trial are."""
    floor = noise_floor(data, data.metric(STEP_TIME.name))
    return Thresholds(floor, math.log1p(plan.margin), max(5, plan.min_blocks))


def effects(stack: Stack, plan: Plan, thresholds: Thresholds) -> list[Effect]:
    """Return the effects that the corners tell: of each technique, then of each two together."""
    told = {term: values for term in stack.terms[1:] if (values := stack.term(term)) is not None}
    found = [_effect(term, values, plan, thresholds) for term, values in told.items()]
    return [*(e for e in found if len(e.techniques) == 1), *_corrected(found, plan, thresholds)]


def _effect(
    term: tuple[str, ...], values: Sequence[float], plan: Plan, thresholds: Thresholds
) -> Effect:
    estimate = interval(values, plan.confidence, plan.min_blocks)
    verdict = verdicts.judge(estimate, thresholds)
    return Effect(term, estimate, verdict, WORDS[verdict] if len(term) == 2 else None)


def _corrected(found: Sequence[Effect], plan: Plan, thresholds: Thresholds) -> list[Effect]:
    """Return the interactions; a word that does not survive Holm's correction is taken back."""
    pairs = [effect for effect in found if len(effect.techniques) == 2]
    p_values = [verdicts.p_value(effect.estimate, thresholds.floor) for effect in pairs]
    kept = holm(p_values, 1 - plan.confidence)
    decided = (Together.COMPETE, Together.HELP)
    return [
        effect if keep or effect.word not in decided else replace(effect, word=Together.UNDECIDED)
        for effect, keep in zip(pairs, kept, strict=True)
    ]


def best_corner(stack: Stack) -> Corner:
    """Return the combination with the smallest fitted step time, measured or not."""
    sizes = range(len(stack.techniques) + 1)
    every = [frozenset(c) for n in sizes for c in combinations(stack.techniques, n)]
    fitted = {corner: stack.corner(corner) for corner in every}
    told = {corner: float(np.mean(values)) for corner, values in fitted.items() if values}
    return min(told, key=lambda corner: told[corner])


def predicted(stack: Stack, corner: Corner, plan: Plan) -> Estimate | None:
    """Return what as many blocks again should find of a corner; None where nobody can tell.

    What is foretold is itself a mean of as many blocks, of a corner that is measured and not
    fitted: it varies as those that were measured do, on the average, which is more than the fit.
    """
    values = stack.corner(corner)
    if values is None:
        return None
    fit = interval(values, plan.confidence, plan.min_blocks)
    columns = [r.tolist() for c, r in zip(stack.corners, stack.ratios.T, strict=True) if c]
    direct = [interval(column, plan.confidence, plan.min_blocks) for column in columns]
    error = math.sqrt(fmean(e.standard_error**2 for e in direct))
    return difference(fit, replace(direct[0], point=0.0, standard_error=error), plan.confidence)


def parts(stack: Stack, plan: Plan, thresholds: Thresholds) -> list[Part]:
    """Return what each technique of the largest stack still brings, where it was left out once."""
    top = max(stack.corners, key=len)
    place = {corner: column for column, corner in enumerate(stack.corners)}
    found = []
    for technique in stack.techniques:
        if technique in top and (without := top - {technique}) in place:
            values = stack.ratios[:, place[top]] - stack.ratios[:, place[without]]
            estimate = interval(values.tolist(), plan.confidence, plan.min_blocks)
            found.append(Part(technique, estimate, verdicts.judge(estimate, thresholds)))
    return found
