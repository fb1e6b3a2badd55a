"""What is alive when most device memory is in use, arm beside arm, from a trace."""

from __future__ import annotations

from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.words.steps import AlivePieces, PeakMemory
from keras_ab.reports.legible import SANE

MOST_ROWS = 8
"""Kinds of operation named in a table; the rest, which hold less, are one row."""


_Pieces = dict[str, AlivePieces]


@dataclass(frozen=True)
class PiecesByArm:
    """Pieces of memory by kind of operation, arm beside arm.

    Args:
        arms: names of the arms that tell.
        rows: a name and one cell for each arm, those that hold most first.
    """

    arms: list[str]
    rows: list[tuple[str, list[str]]]


def pieces_by_arm(peaks: dict[str, PeakMemory]) -> PiecesByArm | None:
    """Return the peaks of a trial's arms side by side; None where no arm tells."""
    peaks = {arm: peak for arm, peak in peaks.items() if _sane(peak)}
    if not peaks:
        return None
    held: list[_Pieces] = [{one.operation: one for one in p.alive} for p in peaks.values()]
    most = {
        name: max(pieces[name].held_bytes for pieces in held if name in pieces)
        for name in dict.fromkeys(name for pieces in held for name in pieces)
    }
    ordered = sorted(most, key=lambda name: -most[name])
    named, rest = ordered[:MOST_ROWS], ordered[MOST_ROWS:]
    rows = [(name, [_cell(pieces, [name]) for pieces in held]) for name in named]
    if rest:
        title = text.count(len(rest), "other operation")
        rows.append((title, [_cell(pieces, rest) for pieces in held]))
    rows.append(("in use before the trace", [text.size(p.earlier_bytes) for p in peaks.values()]))
    rows.append(("together", [text.size(p.in_use_bytes) for p in peaks.values()]))
    return PiecesByArm(list(peaks), rows)


def _sane(peak: PeakMemory) -> bool:
    numbers = [peak.in_use_bytes, peak.earlier_bytes]
    numbers += [number for one in peak.alive for number in (one.pieces, one.held_bytes)]
    return max(numbers) < SANE


def _cell(pieces: _Pieces, names: list[str]) -> str:
    found = [pieces[name] for name in names if name in pieces]
    if not found:
        return ""
    size = text.size(sum(one.held_bytes for one in found))
    return f"{size} in {sum(one.pieces for one in found)}"
