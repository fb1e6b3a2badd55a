"""The tables as files: CSV or Parquet, in a folder or at any URL that fsspec opens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.loading import Runs

TABLES = ("samples", "trials", "claims", "machines", "history")


def export(
    runs: Runs, folder: str | Path, form: Literal["parquet", "csv"] = "parquet"
) -> list[str]:
    """Write every table of runs to a folder, and return where they are.

    Args:
        runs: what `reports.load` returned.
        folder: a folder, made where it is missing, or a URL (``s3://bucket/tables``).
        form: ``parquet`` needs pyarrow, ``csv`` nothing.

    Raises:
        RecordError: where a table cannot be written.
    """
    place = str(folder).rstrip("/")
    written = []
    for name in TABLES:
        target, frame = f"{place}/{name}.{form}", getattr(runs, name)
        try:
            if "://" not in place:
                Path(place).mkdir(parents=True, exist_ok=True)
            frame.to_parquet(target) if form == "parquet" else frame.to_csv(target, index=False)
        except (ImportError, OSError, ValueError) as error:
            raise RecordError(
                "a table can be written",
                f"{target}: {error}",
                "pip install 'keras-ab[reports]' for Parquet and URLs, or write CSV to a folder",
            ) from error
        written.append(target)
    return written
