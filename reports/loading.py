"""Find, read and judge run files; a bad file is set aside with its reason, not in the way."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ab.bench.lab.judge.moderation import run_prior
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.record.run_file import parse_run, read_run
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports import remote
from keras_ab.reports.finding_files import files
from keras_ab.reports.judged import JudgedRun, judge_trial
from keras_ab.reports.machines import machines as of_machines

if TYPE_CHECKING:
    import pandas as pd  # only tables need it, and it takes half a second to import


@dataclass(frozen=True)
class Refused:
    """A file that is left out, and why."""

    path: Path | str
    error: RecordError


class EmptyHistory(UserWarning):
    """There is no history, and why."""


@dataclass(frozen=True, repr=False)
class Runs:
    """All that was read, as tidy tables.

    Args:
        runs: the good ones, in the order in which they began.
        refused: the others, each with its error.
    """

    runs: list[JudgedRun]
    refused: list[Refused] = field(default_factory=list)
    rivals: list[JudgedRun] = field(default_factory=list)
    """Runs of one id and several contents, of which nobody can tell the true one: left out."""

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per sample: seconds per step of one arm in one round."""
        from keras_ab.reports import tables

        return tables.samples(self.runs)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, arm and metric, with the verdict."""
        from keras_ab.reports import tables

        return tables.trials(self.runs)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """One row per claim and trial, with the outcome."""
        from keras_ab.reports import tables

        return tables.claims(self.runs)

    @cached_property
    def machines(self) -> pd.DataFrame:
        """One row per run: the machine, the versions, the state of the file."""
        from keras_ab.reports import tables

        return tables.machines(self.runs)

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per run, trial and arm that a machine measured more than once, in order.

        Where it is empty, a warning says why.
        """
        from keras_ab.reports import overview

        found = overview.history(self.runs)
        if found.empty:
            why = "the runs have no trial that one machine measured more than once"
            warnings.warn(f"the history is empty: {why} ({self})", EmptyHistory, stacklevel=3)
        return found

    def __repr__(self) -> str:
        """Say how much was read, and by what it is read further."""
        trials = sum(len(run.trials) for run in self.runs)
        counts = (count(len(self.runs), "run"), count(trials, "trial"))
        machines = count(len(of_machines(self.runs)), "machine")
        aside = f", {count(len(self.refused), 'file')} left out" if self.refused else ""
        tables = ".trials, .claims, .samples, .machines, .history"
        return f"<{' with '.join(counts)} from {machines}{aside}: {tables}>"

    def _repr_html_(self) -> str:
        """Show verdicts in a notebook, as text that a reader can take in."""
        from keras_ab.reports import overview

        return overview.verdicts(self.runs).to_html(index=False)


def load(paths: str | Path | Iterable[str | Path]) -> Runs:
    """Read run files and judge their trials.

    Args:
        paths: files, folders (searched for ``*.jsonl``, folders within them too), globs, and the
            same at any URL that fsspec opens (``s3://bucket/runs/``).

    Raises:
        RecordError: where nothing at all could be read.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    runs = load_with_rivals(given)
    if not runs.runs:
        raise _nothing(given, runs.refused)
    return runs


def load_with_rivals(given: list[str | Path]) -> Runs:
    """Read run files like `load`, content with nothing but rivals.

    Raises:
        RecordError: where nothing at all could be read.
    """
    runs: list[JudgedRun] = []
    refused: list[Refused] = []
    with _uncollected():
        for path in files(given):
            try:
                runs.append(_once(read_and_judge(path), runs))
            except RecordError as error:
                refused.append(Refused(path, error))
    if not runs:
        raise _nothing(given, refused)
    contents = Counter(run.header.run for run in runs)
    rivals = [run for run in runs if contents[run.header.run] > 1]
    refused += [Refused(run.run.path, _rival(run, rivals)) for run in rivals]
    single = [run for run in runs if contents[run.header.run] == 1]
    ordered = sorted(single, key=lambda run: (run.header.started, run.header.run))
    return Runs(ordered, refused, rivals)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the garbage collector out: of millions of records, each search would look at all."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_and_judge(path: Path | str) -> JudgedRun:
    """Read one run file, or URL, and judge its trials.

    Raises:
        RecordError: for a file that is not a sound run.
    """
    run = parse_run(remote.read(path), path) if isinstance(path, str) else read_run(path)
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            data, plan = list(group(run.records).values()), run.header.plan
            prior = run_prior(data, plan)
            trials = [judge_trial(trial, plan, prior) for trial in data]
    except (ArithmeticError, ValueError) as error:
        raise RecordError(
            "the samples of a run can be judged",
            f"{path}: {error}",
            "restore the file from where it was measured, or leave it out",
        ) from error
    return JudgedRun(run, trials, prior)


def _once(new: JudgedRun, runs: list[JudgedRun]) -> JudgedRun:
    """Refuse a run that is there already: counted twice, it would look like two."""
    for old in runs:
        if (old.header.run, old.run.sha256) == (new.header.run, new.run.sha256):
            raise RecordError(
                "each run is given once",
                f"{new.run.path}: run {new.header.run[:80]!r} again, with the same content, "
                f"after {old.run.path}",
                "keep one of the two",
            )
    return new


def _rival(run: JudgedRun, rivals: Iterable[JudgedRun]) -> RecordError:
    found = (other.run for other in rivals if other.header.run == run.header.run)
    listed = "; ".join(f"{other.path} (SHA-256 {other.sha256[:16]})" for other in found)
    return RecordError(
        "each run has one content",
        f"run {run.header.run[:80]!r} with several: {listed}",
        "keep the one that was measured, or the complete one of two",
    )


def _nothing(given: list[str | Path], refused: list[Refused]) -> RecordError:
    if len({str(bad.error) for bad in refused}) == 1:
        return refused[0].error
    if refused:
        return RecordError(
            "at least one run file can be read",
            "; ".join(str(bad.error.received) for bad in refused),
            "restore one of these from where it was measured",
        )
    return RecordError(
        "there is a run to report on",
        f"no *.jsonl in {', '.join(str(path) for path in given) or 'an empty list of paths'}",
        "measure one with pytest --benchmark, or name the folder that holds your runs",
    )
