"""Which runs of a store have which trials: a table beside the runs, made from them at any time.

A report on one experiment reads the table, and then the runs that have it. The table decides
nothing else: whatever is reported is read from the runs themselves, and runs that came later than
the table are looked at as well.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from keras_ab.bench.lab.record.parts import Kept, content, kept
from keras_ab.bench.lab.record.records import End, Header, Trial
from keras_ab.bench.lab.record.run_file import LINE
from keras_ab.bench.lab.record.store import Store, read_many
from keras_ab.bench.lab.words.errors import RecordError

NAME = "index.parquet"
MOST_ROWS = 10_000_000
"""Of an index that is read: a hundred thousand runs of a hundred trials each."""
LOOKED_AT = tuple(f'{{"kind":"{kind}"'.encode() for kind in ("header", "trial", "end"))
"""How the lines begin that tell which trials there are."""


@dataclass(frozen=True)
class Row:
    """One trial of one run; of a run without trials, or one that cannot be read, the run alone.

    Args:
        name: of the run in the store.
        size: in bytes, of what was looked at.
        run: its id.
        started: when it began, by its own clock.
        backend: name of the backend.
        node: name of the node, where a fleet asked for the run.
        kind: of the node.
        trial: its name.
        experiment: name of its experiment.
        ended: whether it came to its end.
        refused: why the run cannot be read, "" where it can.
    """

    name: str
    size: int
    run: str = ""
    started: str = ""
    backend: str = ""
    node: str = ""
    kind: str = ""
    trial: str = ""
    experiment: str = ""
    ended: bool = False
    refused: str = ""


def rows(run: Kept, data: bytes | RecordError) -> list[Row]:
    """Return the rows of one run, from its header and the beginning and end of its trials alone."""
    if isinstance(data, RecordError):
        return [Row(run.name, run.size, refused=str(data.received)[:300])]
    looked_at = (line for line in data.splitlines() if line.startswith(LOOKED_AT))
    try:
        header, *others = [LINE.validate_json(line) for line in looked_at]
    except (ValidationError, ValueError):
        return [Row(run.name, run.size, refused="not a sound run")]
    if not isinstance(header, Header):
        return [Row(run.name, run.size, refused="a file of another kind")]
    return _rows(run, header, others)


def _rows(run: Kept, header: Header, others: Iterable[Any]) -> list[Row]:
    records = list(others)
    ended = {record.trial for record in records if isinstance(record, End)}
    told: dict[str, Any] = {"run": header.run, "started": header.started}
    told["backend"] = header.backend
    if header.node:
        told |= {"node": header.node.name, "kind": header.node.kind}
    found = [
        Row(run.name, run.size, **told, **_trial(record), ended=record.trial in ended)
        for record in records
        if isinstance(record, Trial)
    ]
    return found or [Row(run.name, run.size, **told)]


def _trial(record: Trial) -> dict[str, str]:
    return {"trial": record.trial, "experiment": record.experiment}


def scanned(store: Store, runs: Iterable[Kept]) -> Iterator[Row]:
    """Yield the rows of runs, read from the store."""
    whole = {run.place: run for run in runs if run.whole}
    for place, data in read_many(store, list(whole)):
        yield from rows(whole[place], data)
    for run in (run for run in runs if not run.whole):
        yield from rows(run, _content(store, run))


def _content(store: Store, run: Kept) -> bytes | RecordError:
    try:
        return content(store, run)
    except RecordError as error:
        return error


@dataclass(frozen=True)
class Index:
    """What was known of a store when its table was made, and what has come since.

    Args:
        runs: those that are there now, by name.
        rows: of all that the table tells of and that are as they were.
        unknown: the runs that it does not tell of, or could not be read when it was made.
    """

    runs: Mapping[str, Kept]
    rows: list[Row]
    unknown: list[Kept]

    def having(self, experiments: Collection[str]) -> list[Kept]:
        """Return the runs that have one of some experiments."""
        names = {row.name for row in self.rows if row.experiment in experiments}
        return [run for name, run in self.runs.items() if name in names]

    @property
    def refused(self) -> list[Kept]:
        """The runs that could not be read, of which nobody knows what they have."""
        names = {row.name for row in self.rows if row.refused}
        return [run for name, run in self.runs.items() if name in names]


def known(store: Store, *, anew: bool = False) -> Index:
    """Return what the table of a store tells; of nothing, where it has none or shall be made anew.

    Raises:
        RecordError: the store cannot be read.
    """
    names = store.names()
    runs = {run.name: run for run in kept(names)}
    told = [] if anew or NAME not in names else _read(store)
    sizes = {row.name: row.size for row in told if not row.refused}
    same = {name for name, run in runs.items() if sizes.get(name) == run.size}
    unknown = [run for name, run in runs.items() if name not in same]
    return Index(runs, [row for row in told if row.name in same], unknown)


def current(store: Store, *, anew: bool = False) -> Index:
    """Return what is known of a store, runs that came since its table was made among it."""
    found = known(store, anew=anew)
    return Index(found.runs, [*found.rows, *scanned(store, found.unknown)], [])


def write(store: Store, *, anew: bool = False) -> Index:
    """Bring the table of a store up to date, and return it.

    Args:
        store: where the runs are.
        anew: whether to look at all runs, and not only at those that have come since.

    Raises:
        RecordError: the store cannot be read or written to.
    """
    index = current(store, anew=anew)
    store.replace(NAME, _encoded(index.rows))
    return index


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise RecordError(
            "pyarrow is installed where runs are indexed",
            str(error),
            "pip install 'keras-ab[fleet]', or 'keras-ab[reports]' to read alone",
        ) from error
    return pyarrow


def _encoded(found: Iterable[Row]) -> bytes:
    arrow, told = _pyarrow(), [asdict(row) for row in found]
    types = {"str": arrow.string(), "int": arrow.int64(), "bool": arrow.bool_()}
    schema = arrow.schema([(field.name, types[str(field.type)]) for field in fields(Row)])
    out = io.BytesIO()
    arrow.parquet.write_table(arrow.Table.from_pylist(told, schema), out, compression="zstd")
    return out.getvalue()


def _read(store: Store) -> list[Row]:
    """Return the rows of a table; none of one that cannot be read, for it is made from the runs."""
    try:
        file = _pyarrow().parquet.ParquetFile(io.BytesIO(store.read(NAME)))
        if file.metadata.num_rows > MOST_ROWS or file.schema_arrow.names != _names():
            return []
        return _ROWS.validate_python(file.read().to_pylist())
    except (OSError, ValueError, RecordError):
        return []


def _names() -> list[str]:
    return [field.name for field in fields(Row)]


_ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Row])
