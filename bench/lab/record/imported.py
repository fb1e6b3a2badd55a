"""Which code the process of an arm has imported, each file told once in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from keras_ab.bench.lab.record.bounds import Count
from keras_ab.bench.lab.record.declared import Record
from keras_ab.bench.lab.words.digests import Digest

MOST_NAMED = 10
"""Files in a message: those of a whole package would fill the screen."""


class Imported(Record):
    """The files of code, the reader's and ours, that the processes of some arms have imported."""

    kind: Literal["imported"] = "imported"
    trial: str
    arms: list[str]
    files: dict[str, Digest]
    """SHA-256 by path; in a run file, of those that no line before has told."""
    again: list[Count] = Field(default_factory=list)
    """In a run file, the others, by their number among all that the run has told so far."""


def imported(trial: str, code: Mapping[str, Mapping[str, str]]) -> Iterator[Imported]:
    """Yield what arms have imported, those that are alike together.

    Args:
        trial: the trial.
        code: digests by file, by arm.
    """
    alike: dict[frozenset[tuple[str, str]], list[str]] = {}
    for arm, files in code.items():
        alike.setdefault(frozenset(files.items()), []).append(arm)
    for arms in alike.values():
        yield Imported(trial=trial, arms=arms, files=dict(code[arms[0]]))


def changed(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return the files of which an arm imports other content than before.

    Args:
        before: digests by file, by arm.
        now: the same, later; a file that is in one of them alone has not changed.
    """
    return sorted(
        {
            file
            for arm, files in now.items()
            for file, digest in files.items()
            if digest != before.get(arm, {}).get(file, digest)
        }
    )


def abridged(files: list[str]) -> str:
    """Return the first names of some files, and how many there are beside them."""
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return ", ".join(files[:MOST_NAMED]) + more


class Told:
    """The files that a run has told of so far, numbered as they came."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._files: list[tuple[str, str]] = []

    def _number(self, file: tuple[str, str]) -> int:
        if file not in self._numbers:
            self._numbers[file] = len(self._files)
            self._files.append(file)
        return self._numbers[file]

    def shortened(self, line: Imported) -> Imported:
        """Return a record as it is written: with the numbers of what has been told."""
        new = [file for file in line.files.items() if file not in self._numbers]
        again = [self._numbers[file] for file in line.files.items() if file in self._numbers]
        for file in new:
            self._number(file)
        return line.model_copy(update={"files": dict(new), "again": again})

    def whole(self, line: Imported) -> Imported:
        """Return a record as it was before it was shortened.

        Raises:
            ValueError: it names a file by a number that none has.
        """
        if line.again and max(line.again) >= len(self._files):
            raise ValueError(f"file {max(line.again)} of {len(self._files)}")
        files = dict(self._files[number] for number in line.again) | line.files
        for file in line.files.items():
            self._number(file)
        return line.model_copy(update={"files": files, "again": []})
