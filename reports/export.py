"""The tables as files: CSV or Parquet, in a folder or at any URL that fsspec opens."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.loading import EmptyHistory, Runs

TABLES = ("samples", "trials", "claims", "machines", "history")


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet takes a cell for a formula, and would carry it out."""


def export(
    runs: Runs,
    folder: str | Path,
    form: Literal["parquet", "csv"] = "parquet",
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write every table of runs to a folder, and return where they are.

    Args:
        runs: what `reports.load` returned.
        folder: a folder, made where it is missing, or a URL (``s3://bucket/tables``).
        form: ``parquet`` needs pyarrow, ``csv`` nothing; there, text that a spreadsheet would take
            for a formula begins with an apostrophe.
        overwrite: whether tables that are there already are replaced.

    Raises:
        RecordError: where a table cannot be written.
    """
    place = str(folder).rstrip("/")
    written: list[str] = []
    _check_free([Path(f"{place}/{name}.{form}") for name in TABLES], overwrite=overwrite)
    for name in TABLES:
        target, frame = f"{place}/{name}.{form}", _table(runs, name)
        try:
            if "://" not in place:
                Path(place).mkdir(parents=True, exist_ok=True)
            if form == "parquet":
                frame.to_parquet(target)
            else:
                frame.map(_no_formula).to_csv(target, index=False)
        except (ImportError, OSError, ValueError) as error:
            raise RecordError(
                "a table can be written",
                f"{target}: {error}",
                "pip install 'keras-ab[reports]' for Parquet and URLs, or write CSV to a folder",
            ) from error
        written.append(target)
    return written


def _table(runs: Runs, name: str) -> Any:
    """Return a table; one that is empty is written all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyHistory)
        return getattr(runs, name)


def _check_free(targets: Iterable[Path], *, overwrite: bool) -> None:
    there = [str(target) for target in targets if target.exists()]
    if there and not overwrite:
        raise RecordError(
            "tables are written where there are none",
            ", ".join(there),
            "name another folder with -o, or replace them with --overwrite",
        )


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
