"""Which files of code differ between what the arms of two sides imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.reports.compare import Side
from keras_ab.reports.machines import Key

NAMED = 3
"""Trials that a line names; of more it tells the number."""

Files = Mapping[str, str]
"""SHA-256 by path."""


def changed_code(a: Side, b: Side) -> list[str]:
    """Return one line for each file that is another on side `b`, with the trials that it is in.

    Where a run does not say what its arms imported, as before schema 4, that is a line of its own.
    """
    found: dict[str, list[str]] = {}
    for k in (k for k in a.trials if k in b.trials):
        for what in _changed(k, a, b):
            found.setdefault(what, []).append(k.says)
    return [f"{what}: {_named(trials)}" for what, trials in sorted(found.items())]


def _changed(k: Key, a: Side, b: Side) -> Iterator[str]:
    """Yield what can be said of the files of one trial."""
    old, new = (side.trials[k].trial.data for side in (a, b))
    silent = [side.name for side, data in ((a, old), (b, new)) if not data.imported]
    if silent:
        yield f"what was imported is not recorded by {' and '.join(silent)}"
        return
    differences: dict[str, list[str]] = {}
    for arm in (arm for arm in old.imported if arm in new.imported):
        for what in _apart(old.imported[arm], new.imported[arm]):
            differences.setdefault(what, []).append(arm)
    for what, arms in differences.items():
        yield f"{what}{_of(arms, old)}"


def _apart(old: Files, new: Files) -> Iterator[str]:
    for path in old.keys() | new.keys():
        if path not in new:
            yield f"{path} is no longer imported"
        elif path not in old:
            yield f"{path} is imported now"
        elif old[path] != new[path]:
            yield f"{path} has changed"


def _of(arms: list[str], data: TrialData) -> str:
    """Say which arms, where it is not all of them."""
    return "" if len(arms) == len(data.imported) else f" for {', '.join(sorted(arms))}"


def _named(trials: list[str]) -> str:
    more = len(trials) - NAMED
    return "; ".join(trials[:NAMED]) + (f"; and {more} more" if more > 0 else "")
