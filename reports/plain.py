"""Text for a terminal: names as they are, tables in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from keras_ab.reports.legible import legible

WIDTH = 80
WIDEST_CELL = 24
"""A row with a longer cell has a line for each of its cells."""


def words(written: str, longest: int = 500) -> str:
    """Return words on one line."""
    return " ".join(legible(written, longest).split())


def paragraph(written: str) -> str:
    """Return text, or an item of a list, on lines that fit."""
    indent = "  " if written.startswith("- ") else ""
    return textwrap.fill(written, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def heading(written: str) -> str:
    """Return a heading."""
    return f"{written}\n{'-' * min(WIDTH, len(written))}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column stands above the rows that share it."""
    names = [words(name) for name in headings[1:]]
    listed = [[words(cell) for cell in row] for row in rows]
    heads = [name if len(name) <= WIDEST_CELL else f"{name[: WIDEST_CELL - 1]}…" for name in names]
    columns = zip(heads, *(row[1:] for row in listed), strict=True)
    widths = [max(len(cell) for cell in column if len(cell) <= WIDEST_CELL) for column in columns]
    lines, above = [_in_columns(heads, widths)], ""
    for first, *cells in listed:
        if first != above:
            lines.append(paragraph(first))
        above = first
        lines += _row(names, cells, widths)
    return "\n".join(lines)


def _row(names: Sequence[str], cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a row on one line, or with a line for each cell where that does not fit."""
    line = _in_columns(cells, widths)
    if max(map(len, cells)) <= WIDEST_CELL and len(line) <= WIDTH:
        return [line]
    named = [f"      {name}: {cell}" for name, cell in zip(names[1:], cells[1:], strict=True)]
    return [
        textwrap.fill(each, WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False)
        for each in (f"  {cells[0]}", *named)
    ]


def _in_columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"  {'  '.join(padded)}".rstrip()
