"""Markdown that strangers' names cannot break out of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keras_ab.reports.legible import legible

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>#|~&!"})


def escape(words: str, longest: int = 500) -> str:
    """Return words on one line that Markdown shows as they are."""
    return " ".join(legible(words, longest).split()).translate(SPECIAL)


def code(words: str, longest: int = 500) -> str:
    """Return words as code on one line; what would end it is replaced."""
    shown = " ".join(legible(words, longest).split()).replace("`", "'").replace("|", "¦")
    return f"`{shown}`" if shown else "–"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are escaped unless they are code already."""
    lines = [headings, ["---"] * len(headings), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: str) -> str:
    return cell if cell.startswith("`") and cell.count("`") == 2 else escape(cell)
