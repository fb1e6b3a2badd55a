"""Which arm comes when: in random and balanced orders, which the seed of a run fixes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from keras_ab.bench.lab.words.declare import CONTROL


def williams_square(size: int) -> list[list[int]]:
    """Return rows in which every item stands in every place equally often.

    Each item also follows every other equally often, so that what one arm leaves behind (a warm
    cache, a hot core) falls on all others alike. Even sizes need `size` rows, odd ones twice that.

    Source: E. J. Williams, Experimental designs balanced for the estimation of residual effects of
    treatments, 1949, https://doi.org/10.1071/CH9490149.
    """
    first = [(i + 1) // 2 if i % 2 else (size - i // 2) % size for i in range(size)]
    rows = [[(item + shift) % size for item in first] for shift in range(size)]
    return rows if size % 2 == 0 else rows + [row[::-1] for row in rows]


def balanced_orders(arms: Sequence[str], rng: random.Random) -> Iterator[list[str]]:
    """Yield orders for ever, one a round, balanced over each Williams square."""
    while True:
        names = rng.sample(list(arms), len(arms))
        rows = williams_square(len(arms))
        rng.shuffle(rows)
        yield from ([names[i] for i in row] for row in rows)


def block_dice(seed: int, trial: str, block: int) -> random.Random:
    """Return what decides everything random about a block, in the order in which it is asked."""
    return random.Random(f"{seed}/{trial}/{block}")


def starts(active: Sequence[str], dice: random.Random) -> list[str]:
    """Return in which order the processes of a block are started, the control's among them."""
    return dice.sample([*active, CONTROL], len(active) + 1)


def orders(seed: int, trial: str, block: int, active: Sequence[str]) -> Iterator[list[str]]:
    """Yield the orders of a block's rounds in which no process failed.

    Args:
        seed: of the run's plan.
        trial: its name.
        block: its number.
        active: the arms that are measured, the baseline first, without the control.
    """
    dice = block_dice(seed, trial, block)
    for _ in starts(active, dice):
        dice.getrandbits(32)  # each process draws the layout of its memory
    yield from balanced_orders(sorted([*active, CONTROL]), dice)
