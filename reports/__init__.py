"""Runs → pandas → HTML. Needs no framework: a report can be built where nothing can be measured."""

from typing import Any

from keras_ab.reports.loading import Runs, load

__all__ = ["Runs", "load", "plot"]


def plot(runs: Runs, what: str = "forest", **which: Any) -> Any:
    """Draw what runs found: the ``forest``, the ``rounds``, the ``history``; see `plots.plot`."""
    from keras_ab.reports import plots

    return plots.plot(runs, what, **which)
