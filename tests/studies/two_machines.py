"""What differs between two real machines: ``python -m tests.studies.two_machines``.

It writes docs/two-machines.md from the two whole runs in examples/; a test repeats it.
"""

from __future__ import annotations

from pathlib import Path

from keras_ab.reports.compare import Comparison, comparison, side
from keras_ab.reports.compared import compared
from keras_ab.reports.loading import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "two-machines.md"
SIDES = {
    "Xeon": "examples/quick-cpu-xeon-2-cores.jsonl",
    "EPYC": "examples/cpu-epyc-2-cores-later.jsonl",
}
ALLOWED = ("cases",)
"""The suite went on between the two runs: some have cases that the other has not."""

HEAD = """# Two machines: {names}

What a technique is worth on one machine need not be what it is worth on another. These are two
whole quick runs, each of two cores without a GPU, held against each other: {runs}.

A trial is compared where both runs have its case and the code of its arms is the same; what is left
out is listed, with the reason. The two were not measured at the same time, and that matters to none
of the ratios: each is of arms that took turns on one machine. Peaks of memory are of one process an
arm where allocators did not count in those that were timed, and decide only what is twice as far
apart: where one side says better and the other inconclusive, that is often why.

This page is made by `python -m tests.studies.two_machines`, from what `keras-ab compare {command}`
says; no number in it was typed.

"""


def both() -> Comparison:
    """Return the two runs, held against each other."""
    sides = [side(name, load(ROOT / file).runs) for name, file in SIDES.items()]
    return comparison(sides, ALLOWED)


def written(result: Comparison) -> str:
    """Return the page."""
    told = [side.runs[-1].header for side in result.sides]
    names = " and ".join(str(header.machine["cpu"]) for header in told)
    runs = " and ".join(f"run {header.run} of {header.started[:10]}" for header in told)
    sides = " ".join(f"{name}={file}" for name, file in SIDES.items())
    command = f"{sides} --allow {' '.join(ALLOWED)} --format markdown"
    return HEAD.format(names=names, runs=runs, command=command) + compared(result)


if __name__ == "__main__":
    PAGE.write_text(written(both()), encoding="utf-8")
