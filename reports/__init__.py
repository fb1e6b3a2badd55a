"""Runs → pandas → HTML. Needs no framework: a report can be built where nothing can be measured."""

from keras_ab.reports.loading import Runs, load

__all__ = ["Runs", "load"]
