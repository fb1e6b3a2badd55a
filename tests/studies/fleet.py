"""How a store of many runs grows: ``python -m tests.studies.fleet 1000 2500 5000 10000``.

``--publish`` writes what was found into docs/fleet.md, with what shipping one run asks of a store.

Runs are simulated: each has three of a hundred experiments, of 200 samples each, and comes from one
of a hundred nodes of five kinds. For each number of runs it is measured how long an index takes
that is made from nothing, and, in a process of its own, a page on one experiment with its memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

from keras_ab.bench.fleet.shipping import Shipping
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.records import Seal
from keras_ab.bench.lab.record.run_file import encode
from keras_ab.bench.lab.record.store import InFolder, store
from keras_ab.reports import index
from tests.reports.simulated import Scene, claim, header, machine, records
from tests.studies.tables import ROOT, fill, measured_on

NAME = "fleet"
PAGE = ROOT / "docs" / "fleet.md"
HEADINGS = (
    "runs in a folder",
    "index from nothing, s",
    "again, nothing new, s",
    "its size, kB",
    "page on one experiment, s",
    "of processor time",
    "memory, MB",
    "size of the page, kB",
)
EXPERIMENTS, EACH, KINDS, NODES = 100, 3, 5, 100
BLOCKS, ROUNDS = 5, 10


def scene(number: int) -> Scene:
    """Return one of the experiments."""
    name = f"technique_{number:03d}"
    return Scene(
        name,
        f"Does technique {number} make a step faster?",
        {"batch": 256},
        {"baseline": 1.0, "variant": 0.9 + 0.002 * number, "other_variant": 1.0},
        blocks=BLOCKS,
        rounds=ROUNDS,
        claims=[claim(f"{name}.faster", "variant", "step_time_s", at_most=1.0)],
    )


def content(number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of one run."""
    dice = random.Random(number)
    node = number % NODES
    told = Node(name=f"n{node}", kind=f"kind {node % KINDS}", fleet=f"f{number:06d}", unit="u-1")
    day, minute = divmod(number, 1440)
    started = f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}T{minute // 60:02d}:{minute % 60:02d}:00"
    head = header(told.run, machine(node % KINDS))
    head = head.model_copy(update={"node": told, "started": f"{started}+00:00"})
    chosen = sorted(dice.sample(range(EXPERIMENTS), EACH))
    lines = [line for n in chosen for line in records(scene(n), dice.randrange(2**31))]
    body = b"".join(map(encode, [head, *lines]))
    seal = Seal(at=head.started, sha256=hashlib.sha256(body).hexdigest())
    return told.run, body + encode(seal)


def fill_store(folder: Path, first: int, last: int) -> None:
    """Write simulated runs."""
    folder.mkdir(exist_ok=True)
    for number in range(first, last):
        name, data = content(number)
        (folder / f"{name}.jsonl").write_bytes(data)


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured_index(folder: Path) -> dict[str, Any]:
    """Make an index from nothing, then once more when nothing is new."""
    begun = time.perf_counter()
    made = index.write(store(folder), anew=True)
    done = time.perf_counter()
    index.write(store(folder))
    again = time.perf_counter()
    size = (folder / index.NAME).stat().st_size
    found = {"runs": len(made.runs), "index_s": done - begun, "up_to_date_s": again - done}
    found["index_cpu_s"] = time.process_time()
    return found | {"index_bytes": size, "peak_bytes": peak_bytes()}


def measured_report(folder: Path) -> dict[str, Any]:
    """Write a page on one experiment."""
    begun = time.perf_counter()
    from keras_ab.reports.page import write_page

    page = write_page(folder, folder.with_suffix(".html"), experiments=["technique_007"])
    took = {"report_s": time.perf_counter() - begun, "page_bytes": page.stat().st_size}
    took["report_cpu_s"] = time.process_time()
    return took | {"report_peak_bytes": peak_bytes()}


class Counting(InFolder):
    """A store that counts what is asked of it, in the requests that S3 would see."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: Counter[str] = Counter()

    def names(self, under: str = "") -> dict[str, int]:
        """Count a page of a list for each thousand names."""
        found = super().names(under)
        self.asked["LIST"] += 1 + len(found) // 1000
        return found

    def read(self, name: str) -> bytes:
        """Count a request, and what it brings."""
        data = super().read(name)
        self.asked.update(GET=1, got_bytes=len(data))
        return data

    def create(self, name: str, data: bytes) -> None:
        """Count a request, and what it takes."""
        self.asked.update(PUT=1, put_bytes=len(data))
        super().create(name, data)

    def remove(self, names: Collection[str]) -> None:
        """Count a request for each thousand names."""
        self.asked["DELETE"] += 1 + len(names) // 1000
        super().remove(names)


def shipped(folder: Path) -> dict[str, int]:
    """Ship one simulated run as its blocks end, as a node does, and count what that asks for."""
    name, data = content(0)
    place, path = Counting(folder / "store"), folder / f"{name}.jsonl"
    shipping, grown = Shipping(path, place, name, now=lambda: 0.0), b""
    for line in data.splitlines(keepends=True):
        grown += line
        if line.startswith((b'{"kind":"block"', b'{"kind":"end"', b'{"kind":"seal"')):
            path.write_bytes(grown)
            shipping.ship()
    assert shipping.sealed
    return dict(place.asked) | {"blocks": EACH * BLOCKS, "run_bytes": len(data)}


PARTS = {"index": measured_index, "report": measured_report}


def asked_of_a_store() -> str:
    """Return what shipping one run asks of a store."""
    with tempfile.TemporaryDirectory() as scratch:
        asked = shipped(Path(scratch))
    writes, lists = text.count(asked["PUT"], "write"), text.count(asked["LIST"], "list")
    deletions = text.count(asked["DELETE"], "deletion")
    return (
        f"A run of {asked['blocks']} blocks and {EACH} trials asks a store for {writes}, {lists} "
        f"and {deletions} while it is shipped, beside one write that claims it."
    )


def measured(folder: Path, first: int, last: int) -> dict[str, float]:
    """Fill a store with more runs; measure the index and the page in processes of their own."""
    fill_store(folder, first, last)
    found: dict[str, float] = {}
    for part in PARTS:
        command = [sys.executable, "-m", "tests.studies.fleet", "--part", part, str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found |= json.loads(done.stdout)
    return found


def row(found: dict[str, float]) -> str:
    """Return the row of one number of runs."""
    cells = (
        f"{found['runs']:,.0f}",
        *(f"{found[part]:.2g}" for part in ("index_s", "up_to_date_s")),
        f"{found['index_bytes'] / 1e3:.0f}",
        *(f"{found[part]:.2g}" for part in ("report_s", "report_cpu_s")),
        f"{found['report_peak_bytes'] / 1e6:.0f}",
        f"{found['page_bytes'] / 1e3:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[dict[str, float]]) -> str:
    """Return the table as Markdown, with the machine, the day, and what a store is asked for."""
    rules = "|---" * len(HEADINGS) + "|"
    lines = [f"| {' | '.join(HEADINGS)} |", rules, *map(row, rows), "", measured_on()]
    return "\n".join([*lines, *wrap(asked_of_a_store(), 100), ""])


def main() -> None:
    """Print a table with a row for each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1000, 2500, 5000, 10000])
    parser.add_argument("--folder", type=Path, help="keep the simulated store here")
    parser.add_argument("--publish", action="store_true", help="write the table into its page")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        part, folder = asked.part
        print(json.dumps(PARTS[part](Path(folder))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch) / "store"
        begins = [len(list(folder.glob("*.jsonl"))), *sorted(asked.counts)]
        made = table([measured(folder, *pair) for pair in pairwise(begins)])
    print(made, end="")
    if asked.publish:
        fill(PAGE, NAME, made)


if __name__ == "__main__":
    main()
