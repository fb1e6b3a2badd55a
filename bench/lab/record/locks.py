"""Who is measuring into a run file: one process, for as long as it has the file open."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from keras_ab.bench.lab.words.errors import RecordError

UNDER_WAY = "it is being measured now"


def hold(file: BinaryIO, path: Path) -> None:
    """Keep a run file for this process until it is closed; the kernel closes what is killed.

    What this process starts does not have it open: Python's files are closed on exec.

    Raises:
        RecordError: another process has it.
    """
    if not _free(file, fcntl.LOCK_EX):
        raise RecordError(
            "a run is measured by one process at a time",
            f"{path}: {UNDER_WAY}",
            "wait until it has ended, or start a new run without --ab-resume",
        )


def locked(path: Path) -> bool:
    """Tell whether some process is measuring into a run file."""
    try:
        with path.open("rb") as file:
            return not _free(file, fcntl.LOCK_SH)  # where locks are the server's, "rb" has no other
    except OSError:
        return False


def _free(file: BinaryIO, how: int) -> bool:
    """Lock a file, unless another process has; where a filesystem has no locks, none has."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
