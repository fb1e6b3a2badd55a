"""What is done side by side: as much at a time as there are cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in groups of at most `size`, in their order."""
    left = list(items)
    while left:
        yield left[:size]
        left = left[size:]
