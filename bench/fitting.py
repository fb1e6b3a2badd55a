"""Does a batch fit? Asked of a process that may die of it, while the machine may not."""

from __future__ import annotations

from pathlib import Path

import psutil

from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, begin
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.worker.protocol import Try
from keras_ab.bench.own.largest import is_of_memory
from keras_ab.bench.trying import Trying

LIMIT_S = 600.0
LOOK_EVERY_S = 0.02
"""How often a process's memory is looked at: filling a gigabyte takes ten times as long."""

SHARE = 0.8
"""Of the memory that is free, what a process may take."""


def memory_limit_bytes() -> int:
    """Return what a process may take of the host's memory."""
    return int(SHARE * psutil.virtual_memory().available)


def fits(trying: Trying, names: tuple[str, ...], times: int, limit_bytes: int) -> bool:
    """Tell whether a batch fits: so many times the file's own, with some techniques.

    Raises:
        LabError: it fails for another reason than memory.
    """
    given = f"({trying.subject!r}, {names!r}, {times})"
    file = trying.declared("batch_that_fits", given, "largest")
    name, seed = f"{trying.subject.name}_batch", trying.session.plan.seed
    with trying.session.worker() as worker:
        answer = begin(worker, Try(str(file), name, "fits", trying.backend, seed), LIMIT_S)
        if not stays_below(worker, limit_bytes):
            return False
        try:
            answer()
        except NoAnswer as why:
            if why.what == "killed" or is_of_memory(why.message):
                return False
            raise LabError(
                "a larger batch is the same work on more examples", why, "mend what it says"
            ) from why
    return True


def stays_below(worker: Worker, limit_bytes: int) -> bool:
    """Wait for an answer; end the process if it ever holds more than a limit, and tell that."""
    answered = False
    while not answered:
        answered = worker.answered(LOOK_EVERY_S)
        if (most_held_bytes(worker.pid) or 0) > limit_bytes:
            worker.stop()
            return False
    return True


def most_held_bytes(pid: int) -> int | None:
    """Return the most memory that a process ever held; None where it has ended.

    That is the kernel's high-water mark: what comes and goes between two looks is in it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    _, marked, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) * 1024 if marked else None
