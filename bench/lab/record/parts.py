"""How a run that is under way lies in a store: in parts, each named by where it begins.

A run is shipped as it grows, and no name in a store is written twice. So each shipment has a name
of its own, ``RUN.parts/000000004096``; once the run has its seal, the whole of it is ``RUN.jsonl``,
and the parts go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_ab.bench.lab.record.store import Store, store
from keras_ab.bench.lab.words.errors import RecordError

WHOLE, PARTS = ".jsonl", ".parts"


def part(run: str, offset: int) -> str:
    """Return the name of the part of a run that begins at a byte."""
    return f"{run}{PARTS}/{offset:012d}"


@dataclass(frozen=True)
class Kept:
    """One run as it lies in a store.

    Args:
        name: without its ending, seen from the store.
        whole: whether it is there in one piece.
        size: of what is there, in bytes.
        parts: the names of its parts, in order, without a gap between them.
    """

    name: str
    whole: bool
    size: int
    parts: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The name by which it is read."""
        return f"{self.name}{WHOLE if self.whole else PARTS}"


def kept(names: Mapping[str, int]) -> list[Kept]:
    """Return the runs among the names of a store, in order.

    Args:
        names: sizes by name; see `Store.names`.
    """
    whole = {name.removesuffix(WHOLE): size for name, size in names.items() if _is_whole(name)}
    parts: dict[str, dict[int, str]] = {}
    for name in names:
        run, _, offset = name.rpartition(f"{PARTS}/")
        if run and run not in whole and offset.isascii() and offset.isdigit():
            parts.setdefault(run, {})[int(offset)] = name
    found = [Kept(run, True, size) for run, size in whole.items()]
    found += [_in_parts(run, told, names) for run, told in parts.items()]
    return sorted((run for run in found if run.whole or run.size), key=lambda run: run.name)


def _is_whole(name: str) -> bool:
    return name.endswith(WHOLE) and f"{PARTS}/" not in name


def _in_parts(run: str, told: Mapping[int, str], names: Mapping[str, int]) -> Kept:
    """Return a run as far as its parts follow each other."""
    end, found = 0, []
    while end in told and names[told[end]]:
        found.append(told[end])
        end += names[told[end]]
    return Kept(run, False, end, tuple(found))


def joined(place: Store, names: Iterable[str]) -> bytes:
    """Return the content of parts together."""
    return b"".join(place.read(name) for name in names)


def is_in_parts(path: Path | str) -> bool:
    """Tell whether a path or URL is of a run in parts."""
    return str(path).rstrip("/").endswith(PARTS)


def read_parts(path: Path | str) -> bytes:
    """Return all that is there of a run in parts, by its path or URL.

    Raises:
        RecordError: nothing is there, or it cannot be read.
    """
    url, _, name = str(path).rstrip("/").rpartition("/")
    place = store(url or ".")
    for run in kept(place.names(name)):
        return joined(place, run.parts)
    raise RecordError(
        "a run in parts has a first one",
        f"{path}: none",
        "name the store: the run has ended since, or was never begun",
    )


def content(place: Store, run: Kept) -> bytes:
    """Return all that is there of a run.

    Raises:
        RecordError: it cannot be read.
    """
    return place.read(run.place) if run.whole else joined(place, run.parts)
