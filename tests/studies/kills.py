"""Kill runs at random: ``python -m tests.studies.kills 50``.

So many times each, a run's main process, a forkserver and a worker is ended by SIGKILL at a random
moment. Whatever was ended, the run reads back with no round missing; where it was the main process,
the run is continued by what it was begun with; and afterwards nothing is left: no process, no
temporary folder, no shared memory.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import psutil

from keras_ab.bench.lab.record.run_file import Run, read_run
from keras_ab.bench.lab.record.trial_data import group
from tests.bench.invocation import FAST, TINY, command, environment, lines_in

SLOWLY = ("--ab-sample-time", "0.01")
LONGEST_S = 60.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
Processes = list[psutil.Process]


def forkservers(main: psutil.Process) -> Processes:
    """Return the children of the main process that fork."""
    return [child for child in main.children() if "main(int(sys.argv[1])" in _line(child)]


def workers(main: psutil.Process) -> Processes:
    """Return what the forkservers have forked."""
    return [worker for server in forkservers(main) for worker in server.children()]


VICTIMS: dict[str, Callable[[psutil.Process], Processes]] = {
    "main process": lambda main: [main],
    "forkserver": forkservers,
    "worker": workers,
}


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Place:
    """A folder with a bench file, where a run is made, and with one for its temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder, folder / "tmp"
        self.scratch.mkdir()
        shutil.copy(TINY, folder / "bench_tiny.py")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin, or continue, a run."""
        return subprocess.Popen(
            command(*FAST, *SLOWLY, *arguments),
            cwd=self.folder,
            env=environment() | {"TMPDIR": str(self.scratch)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def run(self) -> Run | None:
        """The run as it reads back; None before there is one."""
        paths = sorted((self.folder / "runs").glob("*.jsonl"))
        return read_run(paths[0]) if paths else None


def _wait_for(main: subprocess.Popen[bytes], place: Place, lines: int) -> None:
    while main.poll() is None and lines_in(place.folder) < lines:
        time.sleep(0.002)


def _kill(
    main: subprocess.Popen[bytes], victim: str, dice: random.Random
) -> tuple[bool, Processes]:
    """Kill one process; return whether there was one, and all that were alive then."""
    end = time.monotonic() + 5
    while main.poll() is None and time.monotonic() < end:
        try:
            root = psutil.Process(main.pid)
            family = [root, *root.children(recursive=True)]
            found = VICTIMS[victim](root)
            if found:
                dice.choice(found).kill()
                return True, family
        except psutil.Error:
            continue
        time.sleep(0.002)
    return False, []


def gaps(run: Run) -> Iterator[str]:
    """Yield the blocks in which a round is missing."""
    numbers = [(r.trial, r.block, r.round) for r in run.records if r.kind == "round"]
    for key, rounds in groupby(numbers, key=lambda r: r[:2]):
        told = [number for *_, number in rounds]
        if told != list(range(len(told))):
            yield f"rounds {told} of {key}"


def shared_memory() -> set[str]:
    """Return the names of what is shared."""
    return {path.name for path in SHARED_MEMORY.iterdir()}


def left(place: Place, family: Processes, shared: set[str]) -> Iterator[str]:
    """Yield what is left once a run is over."""
    _, alive = psutil.wait_procs(family, timeout=30)
    yield from (f"process {_line(process)[:80]}" for process in alive)
    yield from (f"temporary {path.name}" for path in place.scratch.iterdir())
    yield from (f"shared memory {name}" for name in shared_memory() - shared)


def said(main: subprocess.Popen[bytes]) -> str:
    """Return what a run printed until its end, or until somebody else's who prints to the same."""
    try:
        return main.communicate(timeout=LONGEST_S)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        main.kill()
        return "no end of what it prints"


def once(victim: str, dice: random.Random, folder: Path) -> list[str]:
    """Kill one process of one run; return what went wrong, or that it was over too soon."""
    place, shared = Place(folder), shared_memory()
    main = place.start("bench_tiny.py")
    _wait_for(main, place, dice.randrange(1, 56))
    time.sleep(dice.random() * 0.05)
    killed, family = _kill(main, victim, dice)
    output = said(main)
    if not killed:
        return ["over too soon"]
    wrong = list(left(place, family, shared))
    before = place.run
    if before is None:
        return [*wrong, "no run"]
    wrong += gaps(before)
    wrong += ["a traceback"] if "INTERNALERROR" in output else []
    if victim == "main process":
        main = place.start("--ab-resume")
        output = said(main)
    after = place.run
    assert after is not None
    wrong += [] if after.records[: len(before.records)] == before.records else ["records lost"]
    wrong += [] if after.sealed else [f"not sealed: {output[-300:]}"]
    ended = [name for name, data in group(after.records).items() if data.end]
    wrong += [] if ended == ["tiny[scale:1]", "tiny[scale:2]"] else [f"ended: {ended}"]
    return [*wrong, *gaps(after), *left(place, [], shared)]


def main() -> int:
    """Print what went wrong, and how often nothing did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", type=int)
    parser.add_argument("--victims", nargs="+", choices=list(VICTIMS), default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    failed = 0
    for victim in asked.victims:
        found: Counter[str] = Counter()
        kills = tries = 0
        while kills < asked.times and tries < 3 * asked.times:
            with tempfile.TemporaryDirectory() as folder:
                wrong = once(victim, random.Random(f"{asked.seed}/{victim}/{tries}"), Path(folder))
            tries += 1
            kills += wrong != ["over too soon"]
            found.update(set(wrong) - {"over too soon"})
        print(f"{victim}: {kills} killed, {sum(found.values())} wrong {dict(found)}", flush=True)
        failed += sum(found.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
