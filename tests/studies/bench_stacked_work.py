"""Techniques of which it is known, by construction, what they do together."""

from itertools import combinations

from keras_ab import Arm, Case, Experiment, Prepared, Source
from tests.studies.known_work import stepping

PASSES = 1000
ALONE = {"multiplies": 0.7, "too": 0.8, "competes": 0.75, "nothing": 1.0}
"""What each makes of the work by itself."""

TOGETHER = {("too", "competes"): 1.25}
"""What two make of it beyond their product; all others multiply."""


def share(corner):
    """Return what is left of the work with some techniques."""
    left = 1.0
    for technique in corner:
        left *= ALONE[technique]
    for pair, more in TOGETHER.items():
        left *= more if set(pair) <= set(corner) else 1.0
    return left


def passing(corner):
    return lambda _case: Prepared(stepping(round(PASSES * share(corner))))


CORNERS = [c for n in range(len(ALONE) + 1) for c in combinations(ALONE, n)]

EXPERIMENT = Experiment(
    name="stacked_work",
    question="Is it found what techniques do together?",
    method="Square roots of the same numbers, in as many passes as a corner leaves.",
    sources=(Source("keras-ab", "Known work", 2026, "https://example.org"),),
    arms=tuple(
        Arm("_".join(c) or "as_it_is", passing(c), f"{share(c):.3f}", techniques=c) for c in CORNERS
    ),
    cases=(Case({}),),
    backends=("plain",),
    subject="known work",
)
