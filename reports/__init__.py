"""Runs → pandas → HTML. Needs no framework: a report can be built where nothing can be measured."""

from reports.loading import Runs, load

__all__ = ["Runs", "load"]
