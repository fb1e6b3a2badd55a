"""What techniques do together, in sentences that can be cited."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.judge.stacks import (
    Effect,
    Part,
    Together,
    best_corner,
    effects,
    parts,
    predicted,
    stack_of,
    thresholds_of,
)
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.declared import Trial
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.plan import Plan

STILL = {
    Verdict.BETTER: "it still brings something",
    Verdict.WORSE: "leave it out",
    Verdict.EQUIVALENT: "leave it out, it brings nothing more",
    Verdict.INCONCLUSIVE: "undecided",
}


@dataclass(frozen=True)
class Told:
    """One thing that a stack says of several techniques.

    Args:
        verb: what it begins with in advice.
        kind: ``together``, ``still`` or ``predicted``.
        techniques: that it is about.
        says: it.
    """

    verb: str
    kind: str
    techniques: tuple[str, ...]
    says: str

    @property
    def cited(self) -> tuple[str, str]:
        """What takes the place of arm and metric in an id."""
        return ":".join(self.techniques), self.kind


def crosses(trial: Trial) -> bool:
    """Tell whether an arm of a trial has several techniques."""
    return any(len(arm.techniques) > 1 for arm in trial.arms)


def confirms(trial: Trial) -> bool:
    """Tell whether a trial measures the best stack once more: its first treatment has it all."""
    most = max(len(arm.techniques) for arm in trial.arms)
    return crosses(trial) and len(trial.arms[1].techniques) == most


def listed(names: Sequence[str]) -> str:
    """Return names in words, ``a, b and c``."""
    words = [name.replace("_", " ") for name in names]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def ratio_of(e: Estimate) -> str:
    """Return the ratio with its interval that an estimate of a log ratio is."""
    point, low, high = (math.exp(min(x, 700.0)) for x in (e.point, e.low, e.high))
    return text.ratios(point, low, high)


def told_of(data: TrialData, plan: Plan) -> list[Told]:
    """Return what a trial says of techniques together; nothing where it crosses none."""
    stack = stack_of(data)
    if stack is None:
        return []
    limits = thresholds_of(data, plan)
    if confirms(data.declared):
        return [_still(part) for part in parts(stack, plan, limits)]
    pairs = [_together(e) for e in effects(stack, plan, limits) if e.word]
    corner = best_corner(stack)
    foretold = predicted(stack, corner, plan)
    names = tuple(t for t in stack.techniques if t in corner)
    return [*pairs, *_predicted(names, foretold)]


def _still(part: Part) -> Told:
    came_to = f"the stack takes {ratio_of(part.estimate)} of what it takes without it"
    says = f"{listed([part.technique])}: {came_to}; {STILL[part.verdict]}"
    return Told("In the stack", "still", (part.technique,), says)


def _together(effect: Effect) -> Told:
    word = effect.word
    does = "may multiply or not" if word is Together.UNDECIDED else str(word)
    of_product = f"both take {ratio_of(effect.estimate)} of the product of each alone"
    says = f"{listed(effect.techniques)} {does}: {of_product}"
    return Told("Together", "together", effect.techniques, says)


def _predicted(names: tuple[str, ...], foretold: Estimate | None) -> Iterator[Told]:
    if names and foretold:
        says = f"{listed(names)}: as many blocks again should find {ratio_of(foretold)}"
        luck = "before the luck of having come out best"
        yield Told("Predicted", "predicted", names, f"{says} of the step time, {luck}")
