"""Kill parts of a fleet at random moments: ``python -m tests.studies.fleet_kills 20``.

In turn a task's process, a node, the head with all its nodes, or the store is taken away while two
nodes measure; the store comes back by itself, what else was killed is started again. What is left
then is measured by `keras-ab fleet resume`. Every run must read back, no trial may end twice, and
what the nodes had written when they were killed must be the beginning of what is in the store.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from moto.server import ThreadedMotoServer

from keras_ab.bench.lab.record.run_file import Run
from keras_ab.bench.lab.record.trial_data import group
from tests.bench.invocation import FAST, TINY
from tests.fleet.on_ray import Cluster, begun, fleet, runs_in, s3_environment
from tests.studies.kills import gaps

NODES = {"a1": "small", "a2": "small"}
VICTIMS = ("task", "node", "head", "store")
SLOWLY = ("--ab-sample-time", "0.02", "--ab-rounds", "20")
AWAY_S = 20.0
RESUMED = 3
"""How often it is resumed at most."""


class Place:
    """A store as S3 speaks it, a cluster, and a folder with a bench file, for several fleets."""

    def __init__(self, folder: Path) -> None:
        import s3fs

        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        shutil.copy(TINY, self.project)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.variables = s3_environment(f"http://127.0.0.1:{self.port}")
        os.environ.update(self.variables)
        s3fs.S3FileSystem.clear_instance_cache()
        self.bucket = f"bucket-{random.getrandbits(40):x}"
        s3fs.S3FileSystem().mkdir(self.bucket)
        self.cluster, self.number, self.gone = self.started(), 0, ""

    @property
    def url(self) -> str:
        """Where runs of the fleet go."""
        return f"s3://{self.bucket}/team{self.number}"

    @property
    def where(self) -> tuple[str, ...]:
        """What says which cluster and which store."""
        return "--address", self.cluster.address, "--runs", self.url, "--no-doctor"

    def started(self) -> Cluster:
        """Start a cluster."""
        return Cluster(NODES, self.folder / "nodes", **self.variables)

    def local(self) -> dict[str, int]:
        """Return how many whole lines each run has on its node."""
        paths = (self.folder / "nodes").rglob("*.jsonl")
        return {path.stem: path.read_bytes().count(b"\n") for path in paths}

    def away(self) -> None:
        """Take the store away for a while; what is in it stays."""
        self.server.stop()
        time.sleep(AWAY_S)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port)
        self.server.start()

    def close(self) -> None:
        """End everything."""
        self.cluster.close()
        self.server.stop()


def family(place: Place) -> list[psutil.Process]:
    """Return all processes of the cluster."""
    root = psutil.Process(place.cluster.pid)
    return [root, *root.children(recursive=True)]


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _end(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def kill(victim: str, place: Place, dice: random.Random) -> bool:
    """Take one part away; tell whether it was there."""
    if victim == "task":
        tasks = [process for process in family(place) if "_carried_out" in _line(process)]
        _end(dice.sample(tasks, min(len(tasks), 1)))
        return bool(tasks)
    if victim == "node":
        place.gone = dice.choice(list(NODES))
        place.cluster.do(f"kill {place.gone}")
    elif victim == "head":
        _end(family(place))
    else:
        place.away()
    return True


def restart(victim: str, place: Place) -> None:
    """Start again what was killed."""
    if victim == "node":
        place.cluster.do(f"add {place.gone} {NODES[place.gone]}")
    if victim == "head":
        place.cluster.close()
        place.cluster = place.started()


def wrong(place: Place, before: dict[str, int]) -> Iterator[str]:
    """Yield what is not as it should be."""
    runs: dict[str, Run] = {run.header.run: run for run in runs_in(place.url)}
    ended: Counter[tuple[str, str]] = Counter()
    for run in runs.values():
        yield from gaps(run)
        if run.header.node is None:
            yield f"{run.header.run} has no node"
            continue
        repeat = run.header.node.unit
        ended.update((repeat, name) for name, data in group(run.records).items() if data.end)
    yield from (f"{key} ended {n} times" for key, n in ended.items() if n > 1)
    if len(ended) != 4:
        yield f"{len(ended)} of 4 trials ended"
    for name, lines in before.items():
        there = len(runs[name].records) + 1 if name in runs else 0
        if there < lines - 1:  # the seal is no record
            yield f"{name}: {lines} lines were measured, {there} are there"


def once(victim: str, dice: random.Random, place: Place) -> list[str]:
    """Take one part away while two nodes measure; return what went wrong."""
    place.number += 1
    others, moment = place.local().keys(), dice.randrange(2, 18)
    arguments = ("--repeat", "all", "--", "bench_tiny.py", *FAST, *SLOWLY)
    driver = begun(place.project, "run", *place.where, *arguments)
    assert driver.stdout
    for line in driver.stdout:
        moment -= "  block" in line
        if moment <= 0:
            break
    time.sleep(dice.random())
    before = {name: lines for name, lines in place.local().items() if name not in others}
    was_there = driver.poll() is None and kill(victim, place, dice)
    said, _ = driver.communicate()
    restart(victim, place)
    for _ in range(RESUMED if driver.returncode else 0):
        done = fleet(place.project, "resume", *place.where, check=False)
        said += done.stdout + done.stderr
        if not done.returncode:
            break
    found = [] if was_there else ["over before anything was killed"]
    found += wrong(place, before)
    return [*found, said[-1500:]] if found else []


def main() -> int:
    """Print what went wrong, and how often nothing did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", type=int, default=0, help="so many are passed over")
    asked = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    failed = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Place(Path(folder))) as place:
        for number in range(asked.after, asked.times):
            victim, dice = VICTIMS[number % len(VICTIMS)], random.Random(f"{asked.seed}/{number}")
            found = once(victim, dice, place)
            print(f"{number + 1} {victim}: {'; '.join(found) or 'nothing lost'}", flush=True)
            failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
