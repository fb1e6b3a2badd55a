"""What ends a measurement: the answers on the terminal, and the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.advice import advice, written
from keras_ab.reports.judged import judge_trials
from keras_ab.reports.legible import visible
from keras_ab.reports.page import write_page
from keras_ab.reports.terminal import verdict_table


def close(path: Path, trials: Mapping[str, TrialData], plan: Plan) -> str:
    """Write the page beside a run file, and return what the terminal says of the run.

    The one thing that measuring asks of the reports; reports never ask for a measurement.

    Args:
        path: the run file.
        trials: what was measured in it, by name.
        plan: the plan in its header.
    """
    page = write_page([path], path.with_suffix(".html"))
    advised = written(advice(judge_trials(list(trials.values()), plan)))
    parts = (verdict_table(trials, plan), advised, f"run file: {path}\nreport:   {page}")
    return visible("\n\n".join(filter(None, parts)))
