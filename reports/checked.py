"""What becomes of what is verified, and in which words two texts differ."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from keras_ab.reports.legible import legible


@dataclass(frozen=True)
class Checked:
    """What became of one quoted number, or of one line of a page."""

    state: Literal[
        "holds", "altered", "run missing", "two contents", "two ids", "not signed", "other version"
    ]
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.what}" + (f"\n    {self.why}" if self.why else "")


def words_apart(quoted: str, expected: str) -> str:
    """Say in which words a quotation differs from what the raw samples give."""
    old, new = quoted.split(), expected.split()
    same = _alike(old, new)  # a figure is one line of thousands of words
    end = _alike(old[same:][::-1], new[same:][::-1])
    old, new = old[same : len(old) - end], new[same : len(new) - end]
    opcodes = difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    apart = [
        f"says {' '.join(old[i:j])!r}, the run gives {' '.join(new[k:m])!r}"
        for tag, i, j, k, m in opcodes
        if tag != "equal"
    ]
    return legible("; ".join(apart), 1000)


def _alike(a: list[str], b: list[str]) -> int:
    """Return how many words two lists begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
