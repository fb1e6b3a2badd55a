"""From what a user names (files, folders, globs, URLs) to run files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from keras_ab.bench.lab.record.parts import is_in_parts, kept
from keras_ab.bench.lab.record.store import store
from keras_ab.reports import remote


def files(given: Iterable[str | Path]) -> Iterator[Path | str]:
    """Yield each run file once, in a fixed order; URLs stay strings."""
    seen: set[Path | str] = set()
    for entry in given:
        for path in _expand(entry):
            place = path if isinstance(path, str) else path.resolve()
            if place not in seen:
                seen.add(place)
                yield path


def _expand(entry: str | Path) -> Sequence[Path | str]:
    if isinstance(entry, str) and "://" in entry:
        return sorted(remote.expand(entry))
    path = Path(entry)
    if is_in_parts(path):
        return [path]
    if path.is_dir():
        return sorted(path / run.place for run in kept(store(path).names()))
    if not path.exists() and has_magic(str(entry)):
        found = map(Path, glob(str(entry), recursive=True))  # noqa: PTH207
        return sorted(path for path in found if path.is_file())
    return [path]
