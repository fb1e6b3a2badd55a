"""Which run a gate judges: the one that is named, or the newest, never an older in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Refused, Runs, is_of_many


def run_of_id(asked: str, runs: Runs) -> JudgedRun:
    """Return the run with an id.

    Raises:
        RecordError: where none has it, or several with different contents have.
    """
    if found := [run for run in runs.runs if run.header.run == asked]:
        return found[0]
    for rival in (run.run.path for run in runs.rivals if run.header.run == asked):
        raise next(bad.error for bad in runs.refused if bad.path == rival)
    known = "; ".join(run.header.run for run in runs.runs[-20:])
    raise RecordError(
        "a run is named by its file, or by its id where its file is among those given",
        f"{legible(asked, 200)!r}, which none of {text.count(len(runs.runs), 'run')} is called",
        f"give the folder that holds it, or name one of: {legible(known, 1000)}",
    )


def newest(runs: Runs, given: Sequence[str | Path], baseline: Sequence[JudgedRun]) -> JudgedRun:
    """Return the run that began last.

    Args:
        runs: all that was read.
        given: where from. A single file says by itself which run is meant.
        baseline: what it is held against.

    Raises:
        RecordError: where a file that was left out may be the newest run, or where the newest run
            is the baseline's, so that nothing was measured since.
    """
    found, own = runs.runs[-1], runs.runs[-1].header.run
    for bad in runs.refused:
        if _may_be_newer(bad, runs):
            raise RecordError(
                "the newest run can be read",
                f"{legible(str(bad.error.received), 1000)}; the next older run is another one",
                f"mend or remove that file, or name the run that is meant: --run {own}",
            )
    is_named = len(given) == 1 and not is_of_many(given[0])
    if not is_named and own in {run.header.run for run in baseline}:
        raise RecordError(
            "what a gate judges was measured after its baseline",
            f"run {legible(own, 200)!r}, the newest, which is the baseline's itself",
            "measure anew, or name the run that is meant: its file alone, or --run ID",
        )
    return found


def _may_be_newer(bad: Refused, runs: Runs) -> bool:
    """Tell whether a file that was left out may be a run that none of the others is newer than.

    When a run began its header says; of a file without one it is known when it was changed last.
    What is a copy of a run that was read is none.
    """
    header = _header(bad.path)
    if str(header.get("run")) in {run.header.run for run in runs.runs}:
        return False
    began = _moment(header.get("started")) or _changed(bad.path)
    last = _moment(runs.runs[-1].header.started)
    return began is None or last is None or began >= last


def _header(path: Path | str) -> dict[str, object]:
    """Return what the first line of a file says, which need not be true; {} where it says none."""
    try:
        with Path(path).open("rb") as file:
            told = json.loads(file.readline(2**20))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _moment(written: object) -> datetime | None:
    """Return a moment, in UTC where no zone is named; None where none is written."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _changed(path: Path | str) -> datetime | None:
    try:
        return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    except OSError:
        return None
