"""Where a run's experiments lie, as its file tells it: enough to find them again, and no more."""

from __future__ import annotations

import os
from pathlib import Path

from keras_ab.bench.lab.words.anonymous import anonymous
from keras_ab.bench.lab.words.bench_files import OURS
from keras_ab.bench.lab.words.errors import DeclarationError

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


def found_again(places: list[str], runs: Path, named: list[str]) -> list[str] | None:
    """Return where a run that is continued finds its experiments; None for what is named now.

    Args:
        places: as its file tells them.
        runs: the folder of its file.
        named: what is named now, as that file would tell it.

    Raises:
        DeclarationError: its file tells a name alone, and another is named now.
    """
    paths = [found(place, runs) for place in places]
    if None not in paths:
        return [path for path in paths if path]
    if named == places:
        return None
    raise DeclarationError(
        "a run that is continued finds its experiments again",
        f"{', '.join(places)}, in a folder that its file does not tell",
        "name their paths: pytest --benchmark PATH --ab-resume=RUN.jsonl",
    )
