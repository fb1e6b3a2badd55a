"""Processes as a node's owner would start them: without anything of Ray, and no longer than it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from keras_ab.bench.lab.loop.facts import variables
from keras_ab.bench.lab.loop.gpu import gpus
from keras_ab.bench.lab.loop.owned import Owned
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.store import InFolder, Taken
from keras_ab.bench.lab.words.errors import RecordError

RAYS = ("RAY_", "__MODIN_", "GRPC_ENABLE_FORK")
"""Environment variables that are Ray's own."""

DRAWN = "machine.id"
"""The file with the number that stands for a machine where nothing else does."""

_TIED = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent:
    sys.exit("whoever asked for this is gone")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Ends with its parent, however that ends (PR_SET_PDEATHSIG is 1), and becomes what it is told."""


def owner() -> psutil.Process:
    """Return the process that a node's owner started, as whose environment workers would have it.

    Ray starts its workers from its raylet, and changes their environment; without Ray it is this
    process itself.
    """
    here = psutil.Process()
    return next((p for p in here.parents() if p.name().startswith("raylet")), here)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return an owner's environment variables without those of Ray."""
    return {name: value for name, value in given.items() if not name.startswith(RAYS)}


def owners_environment() -> dict[str, str]:
    """Return the environment that this node's owner set up."""
    return environment(owner().environ())


def owned(node: Node) -> Owned:
    """Return what a process on this node must find, and the node with its processors."""
    cores = sorted(owner().cpu_affinity())
    told = node.model_copy(update={"cores": cores})
    return Owned(told, variables(owners_environment()))


def folder() -> Path:
    """Return the folder in which this machine keeps what is a fleet's."""
    home = os.environ.get("KERAS_AB_FLEET_FOLDER") or Path.home() / ".cache" / "keras-ab" / "fleet"
    return Path(home)


def identity() -> str:
    """Return a name for this machine, the same each time, that tells nothing of it.

    Of its GPUs, or of its installation, hashed with what is ours alone, so that nobody can find
    the machine by it; or else of a number that was drawn here once.

    Raises:
        RecordError: there is none of them, and no place to keep a number.
    """
    there = ",".join(sorted(gpu.uuid for gpu in gpus())) or _machine_id() or _drawn()
    return hashlib.sha256(f"a node of keras-ab\n{there}".encode()).hexdigest()[:10]


def _machine_id() -> str:
    """Return what systemd calls this installation; "" where it says nothing yet."""
    try:
        told = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return told if re.fullmatch("[0-9a-f]{32}", told) else ""


def _drawn() -> str:
    """Return the number that stands for this machine, drawn when it is first asked for."""
    place, drawn = InFolder(folder()), secrets.token_hex(16).encode()
    try:
        with contextlib.suppress(Taken):
            place.create(DRAWN, drawn)
        if not place.read(DRAWN):  # as after a power cut
            place.replace(DRAWN, drawn)
        return place.read(DRAWN).decode("ascii", "replace")
    except RecordError as error:
        raise RecordError(
            "a node without a GPU or /etc/machine-id keeps a number by which it is known again",
            str(error.received),
            "start it with --labels keras-ab-node=NAME, or let KERAS_AB_FLEET_FOLDER be writable",
        ) from error


def start(arguments: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start Python in a folder, in the owner's environment; it ends with this process.

    Args:
        arguments: of Python.
        folder: where it stands.
        log: what it prints, both streams.
    """
    program = [sys.executable, "-c", _TIED, str(os.getpid()), *arguments]
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            program,
            cwd=folder,
            env=owners_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
