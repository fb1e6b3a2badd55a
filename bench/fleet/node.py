"""What is carried out on a node: a run, made by the same code as anywhere else, and shipped.

A plain function of names and numbers; of Ray it knows nothing. Whoever carries it out does no
measuring: that is done by a clean process, which it watches.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from keras_ab.bench.fleet import clean, orders
from keras_ab.bench.fleet.shipping import Shipping
from keras_ab.bench.fleet.software import unpacked
from keras_ab.bench.fleet.state import Claim
from keras_ab.bench.lab import clock
from keras_ab.bench.lab.loop.owned import written
from keras_ab.bench.lab.record.declared import Node, Record
from keras_ab.bench.lab.record.parts import PARTS, WHOLE, joined, kept
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.store import InFolder, Store, store
from keras_ab.bench.lab.words.errors import LabError, RecordError

LOCK = Path(tempfile.gettempdir()) / "keras-ab-node.lock"
"""Held by whoever measures on this machine, whichever cluster asked for it."""

LOOK_S = 1.0
"""How often the measuring process is looked at."""

ALIVE_S = 30.0
"""How often a sign of life is given, where there is nothing else to say."""

PATIENCE_S = 1200.0
"""How long a store that is away is waited for, once all is measured."""

SAID = re.compile(r"trial \d|  block|  .*: (raised|timed out|killed)")
"""How the lines begin that are passed on as they come."""


class Errand(Record):
    """What a node is asked to do."""

    store: str
    node: Node
    arguments: list[str]
    """Of pytest."""
    trials: list[str] = Field(min_length=1)
    """Those that are left to be measured."""
    continued: bool = False
    """Whether the run was begun before, and is in the store as far as it came."""


class Event(Record):
    """What happens on a node, as it happens."""

    unit: str
    what: Literal["says", "alive", "measured", "cut off", "failed"]
    said: str = ""

    @property
    def ends(self) -> bool:
        """Whether nothing follows."""
        return self.what in ("measured", "cut off", "failed")


def folder_of(node: Node) -> Path:
    """Return the folder in which a node keeps what it measures, until it is shipped and after."""
    return clean.folder() / node.name / node.fleet


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Hold a machine for oneself; tell whether that was possible.

    Raises:
        RecordError: the lock is of another user, who lets nobody read it.
    """
    with _opened(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        yield free


def _opened(lock: Path) -> BinaryIO:
    """Open a lock, whoever made it: it is held by reading, for only its owner may write to it."""
    try:
        if not lock.exists():
            lock.touch()
        return lock.open("rb")
    except OSError as error:
        raise RecordError(
            "all who measure on a machine can read its lock",
            f"{lock}: {error.strerror}",
            "have its owner allow it (chmod a+r), or remove it while nobody measures there",
        ) from error


def carry_out(errand: Errand, code: bytes = b"", lock: Path = LOCK) -> Iterator[Event]:
    """Make a run and ship it; yield what happens, the last of which tells how it ended.

    Args:
        errand: what is asked for.
        code: files that the node is to have, packed; none where it has them.
        lock: file by which only one at a time measures on a machine.
    """
    unit, said = errand.node.unit, "waits until the machine is free"
    try:
        while True:
            with alone(lock) as free:
                if free:
                    yield from _made(errand, code)
                    return
            yield Event(unit=unit, what="alive", said=said)
            said = ""
            time.sleep(LOOK_S)
    except (LabError, OSError) as error:
        yield Event(unit=unit, what="failed", said=str(error))


def _made(errand: Errand, code: bytes) -> Iterator[Event]:
    place, node = store(errand.store), errand.node
    _check_place(place, node)
    folder = folder_of(node)
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    standing = unpacked(code, folder) if code else folder
    path = runs / f"{node.run}{WHOLE}"
    if errand.continued:
        _fetch(place, node.place, path)
    else:
        claim = Claim.of(node)
        place.create(claim.name, claim.model_dump_json().encode())
    shipping = Shipping(path, place, node.place)
    log = runs / f"{node.run}.log"
    sealed = path.exists() and read_run(path).sealed
    if not sealed:
        process = clean.start(_command(errand, path), standing, log)
        yield from _watched(process, shipping, log, node.unit)
    yield from _shipped(shipping, node.unit)
    yield _ended(shipping, path, log, node.unit)


def _check_place(place: Store, node: Node) -> None:
    """Refuse a store that is not the one where the fleet was asked: a folder of this node's own.

    Raises:
        RecordError: it does not have what the fleet was asked for.
    """
    try:
        place.read(orders.place(node.fleet))
    except RecordError as error:
        raise RecordError(
            "a node finds in the store what its fleet was asked for",
            f"on node {node.name}, {error.received}",
            "name a store that all nodes have: --runs s3://bucket/team, or a folder they share",
        ) from error


def _fetch(place: Store, run: str, path: Path) -> None:
    """Bring a run here, or the end of it, where this node has lost that: as by a power cut."""
    data = path.read_bytes() if path.exists() else b""
    lines = data[: data.rfind(b"\n") + 1]
    for found in kept(place.names(f"{run}{PARTS}")):
        there = joined(place, found.parts)
        if len(there) > len(lines) and there.startswith(lines):
            InFolder(path.parent).replace(path.name, there)
            return
    if not lines:
        path.unlink(missing_ok=True)


def _command(errand: Errand, path: Path) -> list[str]:
    """Return the arguments of Python that measure what an errand asks for."""
    owned = written(clean.owned(errand.node))
    command = ["-m", "pytest", "-p", "no:cacheprovider", "--benchmark", *errand.arguments]
    if errand.continued and path.exists():
        return [*command, f"--ab-resume={path}", "--ab-node", owned]
    where = ["--ab-runs", str(path.parent), "--ab-node", owned]
    return [*command, *where, "--ab-trials", json.dumps(errand.trials)]


def _watched(
    process: subprocess.Popen[bytes], shipping: Shipping, log: Path, unit: str
) -> Iterator[Event]:
    """Ship what a process measures, and pass on what it says, until it ends."""
    try:
        told, said_at = 0, clock.now()
        while _is_running(process):
            shipping.ship()
            lines = _printed(log)
            for line in lines[told:]:
                if SAID.match(line):
                    said_at = clock.now()
                    yield Event(unit=unit, what="says", said=line)
            told = len(lines)
            if clock.now() - said_at > ALIVE_S:
                said_at = clock.now()
                yield Event(unit=unit, what="alive", said=_away(shipping))
    finally:
        process.kill()
        process.wait()


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a moment, and tell whether a process still runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LOOK_S)
    return process.returncode is None


def _printed(log: Path) -> list[str]:
    """Return the whole lines that a process has printed."""
    written_so_far = log.read_text(encoding="utf-8", errors="replace")
    return written_so_far[: written_so_far.rfind("\n") + 1].splitlines()


def _away(shipping: Shipping) -> str:
    return f"the store is away: {shipping.away.received}" if shipping.away else ""


def _shipped(shipping: Shipping, unit: str) -> Iterator[Event]:
    """Ship all that there is, however long the store is away, within reason."""
    end = clock.now() + PATIENCE_S
    shipping.ship(all_of_it=True)
    while shipping.away and clock.now() < end:
        yield Event(unit=unit, what="alive", said=_away(shipping))
        time.sleep(LOOK_S)
        shipping.ship(all_of_it=True)


def _ended(shipping: Shipping, path: Path, log: Path, unit: str) -> Event:
    """Return how it ended."""
    if shipping.sealed:
        return Event(unit=unit, what="measured", said=path.name)
    if shipping.away:
        said = f"{_away(shipping)}; the run lies on the node, {path.name}"
        return Event(unit=unit, what="cut off", said=said)
    tail = "\n".join(_printed(log)[-12:]) if log.exists() else ""
    return Event(unit=unit, what="cut off" if path.exists() else "failed", said=tail)


def examine(backend: str, node: str, lock: Path = LOCK) -> Iterator[Event]:
    """Ask the doctor about this machine, in a clean process; the last event has what it says."""
    try:
        yield from _examined(backend, node, lock)
    except (LabError, OSError) as error:
        yield Event(unit=node, what="failed", said=str(error))


def _examined(backend: str, node: str, lock: Path) -> Iterator[Event]:
    with tempfile.TemporaryDirectory() as folder, alone(lock) as free:
        if not free:
            yield Event(unit=node, what="failed", said="another measures on this machine")
            return
        log = Path(folder) / "doctor.log"
        command = ["-m", "keras_ab.command_line", "doctor", "--backend", backend]
        process = clean.start(command, Path(folder), log)
        try:
            while _is_running(process):
                yield Event(unit=node, what="alive")
        finally:
            process.kill()
            process.wait()
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        yield Event(unit=node, what="failed" if process.returncode else "measured", said=said)
