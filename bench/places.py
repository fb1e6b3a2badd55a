"""Where a run's experiments lie, as its file tells it: enough to find them again, and no more."""

from __future__ import annotations

import os
from pathlib import Path

from keras_ab.bench.lab.words.anonymous import anonymous
from keras_ab.bench.lab.words.bench_files import OURS

OWN = "<keras_ab>"
"""Stands for the folder of the experiments that come with this package."""


def told(path: str, runs: Path) -> str:
    """Return a path as seen from the run file, from this package or from home; else its name.

    Args:
        path: a file or folder, absolute.
        runs: the folder of the run file.
    """
    place, runs = Path(path).resolve(), runs.resolve()
    if place.is_relative_to(OURS):
        return str(OWN / place.relative_to(OURS))
    seen = os.path.relpath(place, runs)
    if Path(os.path.commonpath([place, runs])) != Path("/") and anonymous(seen) == seen:
        return seen
    if place.is_relative_to(Path.home()):
        return f"~/{place.relative_to(Path.home())}"
    return f"…/{place.name}"


def found(place: str, runs: Path) -> str | None:
    """Return the path that a run file tells of; None where it tells a name alone."""
    if place.startswith("…"):
        return None
    if place.partition("/")[0] == OWN:
        return os.path.normpath(OURS / place.removeprefix(OWN).lstrip("/"))
    return os.path.normpath(runs.resolve() / Path(place).expanduser())
