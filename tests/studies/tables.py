"""Tables that studies write into pages, between marks, and their cells."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.loop import facts

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def between(name: str) -> re.Pattern[str]:
    """Return the pattern of a table's place in a page."""
    return re.compile(rf"(?<=<!-- table: {name} -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def fill(page: Path, name: str, made: str) -> None:
    """Write a table into its place in a page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(between(name).sub(lambda _: made, text, count=1), encoding="utf-8")


def kept(study: str) -> Path:
    """Return where a study's published table lies."""
    return ROOT / "examples" / "studies" / f"{study}.md"


def publish(study: str, made: str) -> None:
    """Keep a study's table, and write it into its place in the README."""
    kept(study).parent.mkdir(exist_ok=True)
    kept(study).write_text(made, encoding="utf-8")
    fill(README, study, made)


def measured_on() -> str:
    """Return the sentence that names this machine and the day."""
    return f"On {facts.machine()['cpu']}, {os.cpu_count()} cores, {clock.timestamp()[:10]}."


def ratio(logs: Sequence[float]) -> str:
    """Return the ratio whose logs were found, with its 95 % interval."""
    found = interval(logs, 0.95)
    return "{:.2f} [{:.2f}, {:.2f}]".format(*map(math.exp, (found.point, found.low, found.high)))
