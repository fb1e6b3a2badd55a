"""What it would take to settle what is open: blocks, and the time that they need."""

from __future__ import annotations

MOST_BLOCKS = 10_000
"""Beyond this an estimate lies on the line."""


def plural(word: str) -> str:
    """Return ``runs`` or ``batches``."""
    return f"{word}es" if word.endswith(("s", "ch")) else f"{word}s"


def effort(needed: float, done: int, block_s: float | None, word: str = "block") -> str:
    """Return what would settle it, ``about 33 blocks in all, about 5 minutes more,``.

    Empty where no number of blocks would.

    Args:
        needed: blocks (or seeds) in all.
        done: how many there are.
        block_s: what one takes; None where nobody knows.
        word: what they are.
    """
    if not needed <= MOST_BLOCKS:
        return ""
    many = f"about {needed:.0f} {word if needed == 1 else plural(word)} in all"
    return many if block_s is None else f"{many}, {duration((needed - done) * block_s)} more,"


def duration(seconds: float) -> str:
    """Return a length of time as one says it, ``about 5 minutes``."""
    for limit, unit, name in ((90, 1, "second"), (5400, 60, "minute"), (172_800, 3600, "hour")):
        if seconds < limit:
            return _of(seconds / unit, name)
    return _of(seconds / 86_400, "day")


def _of(count: float, name: str) -> str:
    whole = max(1, round(count))
    return f"about {whole} {name if whole == 1 else plural(name)}"
