"""What differs between machines, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.words.metrics import DIMENSIONS
from keras_ab.reports.compare import (
    Apart,
    Flip,
    Side,
    SpeedUp,
    apart,
    differing_code,
    flips,
    speed_ups,
    unlike,
    without,
)
from keras_ab.reports.machines import changes, key
from keras_ab.reports.sections import TrialView


@dataclass(frozen=True)
class FlipView:
    """One flip, called as the trials of the page are."""

    anchor: str
    name: str
    flip: Flip


def flipped(sides: Sequence[Side], trials: Iterable[TrialView]) -> list[FlipView]:
    """Return what flips from machine to machine, step times first, where the code is the same."""
    shown = {key(view.data): view for view in reversed(list(trials))}
    leave = unlike(sides)
    alike = [without(side, leave) for side in sides]
    found = sorted(flips(alike), key=lambda flip: DIMENSIONS.index(flip.dimension))
    return [FlipView(shown[f.key].anchor, shown[f.key].name, f) for f in found]


@dataclass(frozen=True)
class Speeds:
    """One machine against the first."""

    name: str
    arms: list[SpeedUp]
    environment: list[str]
    differing: list[str]
    apart: Apart
    """Where techniques are worth more, or less, than on the first."""


def speeds(sides: Sequence[Side]) -> list[Speeds]:
    """Return each machine but the first, held against it."""
    first, *others = sides
    return [_held_against(first, other) for other in others]


def _held_against(first: Side, other: Side) -> Speeds:
    """Return a machine against the first, in those trials whose arms have the same code on both."""
    leave = unlike([first, other])
    a, b = without(first, leave), without(other, leave)
    differ = changes(first.runs[-1], other.runs[-1])
    return Speeds(other.name, speed_ups(a, b), differ, differing_code(first, other), apart(a, b))
