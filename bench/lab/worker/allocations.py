"""What is alive when most device memory is in use, from what the allocator did during a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from keras_ab.bench.lab.words.steps import AlivePieces, PeakMemory
from keras_ab.bench.lab.worker.tracing import SAMPLE, Allocation, Trace


def at_peak(trace: Trace) -> PeakMemory | None:
    """Return what is alive at the peak of the marked samples; None where nobody tells."""
    marks = [event for event in trace.events if event.name == SAMPLE]
    ordered = sorted(trace.allocations, key=lambda one: one.at_ns)
    inside = [one for one in ordered if any(m.start_ns <= one.at_ns < m.end_ns for m in marks)]
    if not inside:
        return None
    top = max(inside, key=lambda one: one.in_use_bytes)
    pieces = _alive(ordered[: ordered.index(top) + 1])
    held: Counter[str] = Counter()
    for piece in pieces:
        held[piece.operation] += piece.held_bytes
    counts = Counter(piece.operation for piece in pieces)
    return PeakMemory(
        in_use_bytes=top.in_use_bytes,
        earlier_bytes=max(0, top.in_use_bytes - held.total()),
        alive=tuple(AlivePieces(name, counts[name], size) for name, size in held.most_common()),
    )


def _alive(history: Sequence[Allocation]) -> list[Allocation]:
    """Return the pieces that were handed out and not taken back."""
    alive: dict[int, Allocation] = {}
    for one in history:
        alive.pop(one.address, None)
        if one.held_bytes:
            alive[one.address] = one
    return list(alive.values())
