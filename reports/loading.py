"""Find, read and judge run files; a bad file is set aside with its reason, not in the way."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ab.bench.lab.judge.moderation import run_prior
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.record.parts import PARTS, WHOLE, is_in_parts, read_parts
from keras_ab.bench.lab.record.run_file import Run, parse_run, read_run
from keras_ab.bench.lab.record.store import AT_ONCE, store
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports import index, remote
from keras_ab.reports.finding_files import files
from keras_ab.reports.judged import JudgedRun, JudgedTrial, judge_trial
from keras_ab.reports.machines import machines as of_machines

if TYPE_CHECKING:
    import pandas as pd  # only tables need it, and it takes half a second to import


@dataclass(frozen=True)
class Refused:
    """A file that is left out, and why."""

    path: Path | str
    error: RecordError


Wanted = Callable[[str, TrialData], bool]
"""Tells whether a trial of a run, by the run's id, is to be judged."""


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
    experiments: tuple[str, ...] = ()
    """Those whose trials are here, where not all are."""

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


def load(paths: str | Path | Iterable[str | Path], experiments: Collection[str] = ()) -> Runs:
    """Read run files and judge their trials.

    Args:
        paths: files, folders (searched for ``*.jsonl``, folders within them too), globs, and the
            same at any URL that fsspec opens (``s3://bucket/runs/``).
        experiments: names of those that are wanted, of stores; all where none is named. Only runs
            that have one of them are read, whole, because the trials of a run say together how
            noisy it was.

    Raises:
        RecordError: where nothing at all could be read.
    """
    if not experiments:
        return load_some(paths)
    given = [paths] if isinstance(paths, str | Path) else paths
    places = [path for place in given for path in having(place, experiments)]
    found = load_some(places, lambda _, data: data.declared.experiment in experiments)
    return only(found, experiments)


def load_some(paths: str | Path | Iterable[str | Path], wanted: Wanted | None = None) -> Runs:
    """Read run files whole, and judge those of their trials that are wanted.

    Args:
        paths: see `load`.
        wanted: which trials; None for all.

    Raises:
        RecordError: where nothing at all could be read.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    runs = load_with_rivals(given, wanted)
    if not runs.runs:
        raise _nothing(given, runs.refused)
    return runs


def having(place: str | Path, experiments: Collection[str]) -> list[str | Path]:
    """Return the runs in a store that have one of some experiments, by the store's index.

    Those that the index could not read are among them: they may have it, and a report names them.

    Raises:
        RecordError: none has.
    """
    if not is_of_many(place):
        return [place]
    kept_in = store(place)
    known = index.current(kept_in)
    found, refused = known.having(experiments), known.refused
    if not found:
        unread = f"; not read: {', '.join(run.name for run in refused)}" if refused else ""
        raise RecordError(
            "a store has a run with the experiment that is asked for",
            f"{', '.join(experiments)}: in none of the runs in {place}{unread}",
            "keras-ab list shows the names of experiments",
        )
    return [f"{kept_in.url}/{run.place}" for run in (*found, *refused)]


def is_of_many(place: str | Path) -> bool:
    """Tell whether a place is one of many runs, and not a run itself, or some that a glob names."""
    named = str(place).endswith((WHOLE, PARTS)) or has_magic(str(place))
    return not named and ("://" in str(place) or Path(place).is_dir())


def only(runs: Runs, experiments: Collection[str]) -> Runs:
    """Return runs with the trials of some experiments alone, judged as they were."""
    kept = [_of(run, experiments) for run in runs.runs]
    return replace(runs, runs=kept, experiments=tuple(sorted(experiments)))


def _of(run: JudgedRun, experiments: Collection[str]) -> JudgedRun:
    trials = [trial for trial in run.trials if trial.data.declared.experiment in experiments]
    return replace(run, trials=trials)


def load_with_rivals(given: list[str | Path], wanted: Wanted | None = None) -> Runs:
    """Read run files like `load`, content with nothing but rivals.

    Args:
        given: run files, folders, globs and URLs.
        wanted: which trials are judged; None for all.

    Raises:
        RecordError: where nothing at all could be read.
    """
    found: dict[tuple[str, str], JudgedRun] = {}
    refused: list[Refused] = []
    with _uncollected():
        for path, data in _contents(files(given)):
            try:
                _add(_judged(_parsed(path, data), wanted), found)
            except RecordError as error:
                refused.append(Refused(path, error))
    runs = list(found.values())
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


def read_and_judge(path: Path) -> JudgedRun:
    """Read one run file and judge its trials.

    Raises:
        RecordError: for a file that is not a sound run.
    """
    return _judged(read_run(path))


def _contents(
    paths: Iterable[Path | str],
) -> Iterator[tuple[Path | str, bytes | RecordError | None]]:
    """Yield paths with what is at URLs, many of which are read at once; None at files."""
    listed = list(paths)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(listed), AT_ONCE):
            part = listed[start : start + AT_ONCE]
            yield from zip(part, pool.map(_at_url, part), strict=True)


def _at_url(path: Path | str) -> bytes | RecordError | None:
    try:
        if is_in_parts(path):
            return read_parts(path)
        return remote.read(path) if isinstance(path, str) else None
    except RecordError as error:
        return error


def _parsed(path: Path | str, data: bytes | RecordError | None) -> Run:
    if isinstance(data, RecordError):
        raise data
    return read_run(Path(path)) if data is None else parse_run(data, path)


def _judged(run: Run, wanted: Wanted | None = None) -> JudgedRun:
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            data, plan = list(group(run.records).values()), run.header.plan
            prior = run_prior(data, plan)
            chosen = [t for t in data if wanted is None or wanted(run.header.run, t)]
            trials = [judge_trial(trial, plan, prior) for trial in chosen]
    except (ArithmeticError, ValueError) as error:
        raise RecordError(
            "the samples of a run can be judged",
            f"{run.path}: {error}",
            "restore the file from where it was measured, or leave it out",
        ) from error
    return JudgedRun(_without_others(run, trials) if wanted else run, trials, prior)


def _without_others(run: Run, trials: Iterable[JudgedTrial]) -> Run:
    """Return a run without the records of other trials: what is not shown need not be held."""
    kept = {trial.data.declared.trial for trial in trials}
    wanted = [r for r in run.records if getattr(r, "trial", None) in (None, *kept)]
    return replace(run, records=wanted)


def _add(new: JudgedRun, runs: dict[tuple[str, str], JudgedRun]) -> None:
    """Add a run to others; refuse one that is there: counted twice, it would look like two."""
    old = runs.setdefault((new.header.run, new.run.sha256), new)
    if old is not new:
        raise RecordError(
            "each run is given once",
            f"{new.run.path}: run {new.header.run[:80]!r} again, with the same content, "
            f"after {old.run.path}",
            "keep one of the two",
        )


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
