"""What ends a measurement: the answers on the terminal, and the page."""

from __future__ import annotations

from pathlib import Path

from keras_ab.bench.lab.record.parts import kept
from keras_ab.bench.lab.record.store import Store
from keras_ab.reports import index
from keras_ab.reports.advice import advice, written
from keras_ab.reports.legible import visible
from keras_ab.reports.loading import load
from keras_ab.reports.page import write, write_page
from keras_ab.reports.terminal import coloured, verdict_table, warnings


def close(path: Path, *, in_colour: bool = False) -> str:
    """Write the page beside a run file, and return what the terminal says of the run.

    The one thing that measuring asks of the reports; reports never ask for a measurement.

    Args:
        path: the run file.
        in_colour: whether the terminal has colours.
    """
    runs = load(path)
    page = write(runs, path.with_suffix(".html"))
    (run,) = runs.runs
    advised, places = written(advice(run.trials)), f"run file: {path}\nreport:   {page}"
    found = "\n".join(run.run.findings)
    parts = (verdict_table(run), advised, found, warnings(run), places)
    says = visible("\n\n".join(filter(None, parts)))
    return coloured(says) if in_colour else says


def close_many(store: Store, folder: str, page: Path) -> str:
    """Bring a store's index up to date and write the page on one folder of it; say where.

    Args:
        store: where the runs are.
        folder: a name in it.
        page: where the page goes.
    """
    index.write(store)
    places = [f"{store.url}/{run.place}" for run in kept(store.names(folder))]
    return f"report: {write_page(places, page)}" if places else "nothing to report on"


def write_unfinished(path: Path, done: str) -> None:
    """Write the page of a run that is still under way, for those who cannot wait.

    Args:
        path: the run file.
        done: how much of it is there, ``3 of 42 trials``.
    """
    write_page([path], path.with_suffix(".html"), done)
