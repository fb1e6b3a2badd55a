"""Which arm comes when: in random and balanced orders where it is timed, else side by side."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


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


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in groups of at most `size`, in their order."""
    left = list(items)
    while left:
        yield left[:size]
        left = left[size:]


def balanced_orders(arms: Sequence[str], rng: random.Random) -> Iterator[list[str]]:
    """Yield orders for ever, one a round, balanced over each Williams square."""
    while True:
        names = rng.sample(list(arms), len(arms))
        rows = williams_square(len(arms))
        rng.shuffle(rows)
        yield from ([names[i] for i in row] for row in rows)
