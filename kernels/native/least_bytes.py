"""The least bytes that each kernel's mathematics must move between memory and caches.

An array that one call reads again costs nothing more as far as the cache holds it: a call that goes
back over what it read last finds that much of it. Between two calls (a loss and its gradient) a
whole training step may pass, and nothing is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """One pass over a call's arrays, each named by the letter that it has in the formula.

    Args:
        reads: The arrays that are read.
        writes: Those that are written. One that is also read is updated in place; the others are
            stored past the caches, which need not read them first.
    """

    reads: str
    writes: str = ""


PASSES: dict[str, Sequence[Sequence[Pass]]] = {
    # Every moment needs its own gradient alone.
    "adam": [[Pass("wmvg", "wmv")]],
    # The accumulators, one number a row and one a column, stay in cache.
    "sm3": [[Pass("wg", "w")]],
    # A row's and a column's mean take the whole gradient; the update's norm takes those means, and
    # the step takes the norm.
    "adafactor": [[Pass("wg"), Pass("g"), Pass("wg", "w")]],
    # A factor for each unit; the product is the optimizer's, in whose update XLA fuses it.
    "adaptive_clip": [[Pass("wg")]],
    # The maximum may be found along with the sum, so the loss takes one pass, and its gradient one.
    "cross_entropy": [[Pass("x")], [Pass("x", "d")]],
    # Mean and variance of all rows come before the first result.
    "standardize": [[Pass("w"), Pass("w", "y")], [Pass("wu"), Pass("wu", "d")]],
    "batch_statistics": [[Pass("x")], [Pass("x", "d")]],
}
"""The passes of each call, for every kernel of `kernels.status()`."""


def least_bytes(kernel: str, elements: int, cache: int, itemsize: int = 4) -> int:
    """Return the bytes that one step of a kernel must move for arrays of so many elements.

    Args:
        kernel: A name in `PASSES`.
        elements: Of each array; what has one number a row or a column is left out.
        cache: Bytes that stay near from one pass to the next: those of the last-level cache.
        itemsize: Bytes of an element.
    """
    return sum(_call(passes, elements * itemsize, cache) for passes in PASSES[kernel])


def _call(passes: Sequence[Pass], array: int, cache: int) -> int:
    moved, held = 0, ""
    for each in passes:
        again = [name for name in each.reads if name in held]
        moved += (len(each.reads) - len(again) + len(each.writes)) * array
        moved += max(0, len(again) * array - cache)
        held += each.reads
    return moved
