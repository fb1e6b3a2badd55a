"""Write, read and continue a run file: JSON Lines, flushed per record, sealed with SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from keras_ab.bench.lab.clock import timestamp
from keras_ab.bench.lab.record.imported import Imported, Told
from keras_ab.bench.lab.record.locks import hold
from keras_ab.bench.lab.record.records import SCHEMA, Header, Line, Notice, Record, Seal
from keras_ab.bench.lab.words.errors import RecordError

LINE: TypeAdapter[Any] = TypeAdapter(Line)
"""Reads one line of a run file; made once, for that takes a while."""


@dataclass(frozen=True)
class Run:
    """One run file, read and validated.

    Args:
        path: where it was read.
        header: its first record.
        records: all records between the header and the seal.
        sealed: whether the seal is there and right; a run that was cut off has none.
        sha256: digest of everything before the seal.
        notices: what a reader should know (cut off, half a line dropped).
        findings: what was looked for and found beside the trials, such as the largest batch.
        complete_bytes: length of the file up to its last whole line, without the seal.
        ended: when it was sealed; "" where it was not.
    """

    path: Path
    header: Header
    records: list[Any]
    sealed: bool
    sha256: str
    notices: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    complete_bytes: int = 0
    ended: str = ""


def encode(record: Record) -> bytes:
    """Return the record as one line of JSON."""
    return record.model_dump_json().encode() + b"\n"


class RunWriter:
    """Appends records to a run file; what was handed over is on its way to the disk on return."""

    def __init__(self, path: Path, file: BinaryIO, digest: Any) -> None:
        self.path = path
        self._file = file
        self._digest = digest
        self._told = Told()

    @classmethod
    def create(cls, path: Path, header: Header) -> RunWriter:
        """Start a new run file; its folder is made where it is missing.

        A file without its header would be none: where that cannot be written, nothing is left.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("x+b", buffering=0)
        except OSError as error:
            raise RecordError(
                "the runs folder can be written to",
                f"{path.parent}: {error.strerror}",
                "choose another with --ab-runs FOLDER (try: --runs), or mend its permissions",
            ) from error
        hold(file, path)
        writer = cls(path, file, hashlib.sha256())
        try:
            writer.write(header)
        except RecordError as error:
            file.close()
            path.unlink(missing_ok=True)
            do = "free some space, then start again; nothing was measured"
            raise RecordError(error.must, error.received, do) from error
        return writer

    @classmethod
    def reopen(cls, run: Run) -> RunWriter:
        """Continue a run that was cut off; half a line at its end is dropped.

        Raises:
            RecordError: it is being measured, has changed since it was read, or is not writable.
        """
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(run.path.open("r+b", buffering=0))
                hold(file, run.path)
                digest = _digest_as_read(run, file.readall())
                file.truncate(run.complete_bytes)
                file.seek(run.complete_bytes)
            except OSError as error:
                raise RecordError(
                    "a run that is continued can be written to",
                    f"{run.path}: {error.strerror}",
                    "mend its permissions or free some space, or start a new run",
                ) from error
            stack.pop_all()
        writer = cls(run.path, file, digest)
        for record in run.records:
            writer._shortened(record)
        return writer

    def write(self, record: Record) -> None:
        """Append one record; on failure the file keeps every whole line that it had."""
        self._check_place()
        data = encode(self._shortened(record))
        size = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(data)
            if written != len(data):
                raise OSError(28, os.strerror(28))
        except OSError as error:
            self._drop_half_a_line(size)
            raise self._unwritten(error) from error
        self._digest.update(data)

    def _unwritten(self, error: OSError) -> RecordError:
        return RecordError(
            "every record reaches the disk",
            f"{self.path}: {error.strerror}",
            "free some space, then continue with --ab-resume; what was measured is kept",
        )

    def _shortened(self, record: Record) -> Record:
        """Return a record without what the run has told already."""
        return self._told.shortened(record) if isinstance(record, Imported) else record

    def _check_place(self) -> None:
        """Refuse to go on where the file is no longer to be found, and save what it holds."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                return
        raise RecordError(
            "a run file stays where it is while it is measured",
            f"{self.path} was removed, moved or replaced",
            f"what was measured is in {self._saved()}; continue it with --ab-resume=FILE",
        )

    def _saved(self) -> Path:
        """Return where a copy of all that was written now lies."""
        descriptor, name = tempfile.mkstemp(prefix=f"{self.path.stem}-", suffix=".jsonl")
        with os.fdopen(descriptor, "wb") as copy:
            size = os.fstat(self._file.fileno()).st_size
            copy.write(os.pread(self._file.fileno(), size, 0))
        return Path(name)

    def _drop_half_a_line(self, size: int) -> None:
        if os.path.isfile(self.path):  # noqa: PTH113 - a device such as /dev/full cannot be cut
            os.ftruncate(self._file.fileno(), size)
            os.lseek(self._file.fileno(), size, os.SEEK_SET)  # a later line leaves no hole

    def seal(self) -> None:
        """Close the run for good; without room for its seal it can be continued."""
        with contextlib.closing(self):
            self.write(Seal(at=timestamp(), sha256=self._digest.hexdigest()))

    def close(self) -> None:
        """Close the file as it is; a run without its seal can be continued."""
        try:
            with contextlib.closing(self._file) as file:
                os.fsync(file.fileno()) if os.path.isfile(self.path) else None  # noqa: PTH113
        except OSError as error:
            raise self._unwritten(error) from error


def _digest_as_read(run: Run, data: bytes) -> Any:
    """Return the digest of a file up to its seal, if it is still as the run was read from it."""
    digest = hashlib.sha256(data[: run.complete_bytes])
    more = data.count(b"\n", run.complete_bytes)
    if digest.hexdigest() != run.sha256 or more != run.sealed:
        raise RecordError(
            "a run that is continued is as it was read",
            f"{run.path} has changed since",
            "continue it once more; it is read anew",
        )
    return digest


def _refuse(path: Path | str, number: int, why: str) -> RecordError:
    return RecordError(
        "a run file holds one valid record a line, as keras-ab wrote it",
        f"{path}, line {number}: {why}",
        "restore the file from where it was measured, or leave it out",
    )


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "record"
    return f"{where}: {first['msg']}"[:300]


def _parse(path: Path | str, number: int, raw: bytes) -> Any:
    try:
        return LINE.validate_json(raw)
    except ValidationError as error:
        raise _refuse(path, number, _first_error(error)) from error


def _check_schema(path: Path | str, raw: bytes) -> None:
    """Refuse foreign files and newer schemas before anything is validated in detail."""
    try:
        head = json.loads(raw)
        version = head["schema_version"] if head["kind"] == "header" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if not isinstance(version, int):
        raise RecordError(
            "a run file begins with keras-ab's header",
            f"{path}: a file of another kind",
            "name run files (*.jsonl in your runs folder) and nothing else",
        )
    if version > SCHEMA:
        raise RecordError(
            f"this keras-ab reads run files up to schema {SCHEMA}",
            f"{path}: schema {version}",
            "upgrade keras-ab on the machine that reads",
        )


def _whole_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each complete line with its offset's end."""
    end = 0
    while (newline := data.find(b"\n", end)) >= 0:
        yield newline + 1, data[end:newline]
        end = newline + 1


def read_run(path: Path) -> Run:
    """Read and validate a run file.

    Raises:
        RecordError: for a foreign, newer, edited or otherwise invalid file, naming the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            "a run file can be read", f"{path}: {error.strerror}", "check the path and permissions"
        ) from error
    return parse_run(data, path)


def parse_run(data: bytes, path: Path | str) -> Run:
    """Validate the content of a run file that was read from a path or a URL.

    Raises:
        RecordError: for a foreign, newer, edited or otherwise invalid file, naming the line.
    """
    lines = list(_whole_lines(data))
    if not lines:
        raise RecordError(
            "a run file has at least its header",
            f"{path}: {len(data)} bytes without a whole line",
            "leave this file out; nothing was measured in it",
        )
    _check_schema(path, lines[0][1])
    return _assemble(path, data, lines)


def _whole(path: Path | str, records: list[Any]) -> list[Any]:
    """Return records of which each says again what it had left out, as told before."""
    told, whole = Told(), []
    for number, record in enumerate(records, 1):
        try:
            whole.append(told.whole(record) if isinstance(record, Imported) else record)
        except ValueError as error:
            raise _refuse(path, number, f"code that was not told before: {error}") from error
    return whole


def _assemble(path: Path | str, data: bytes, lines: list[tuple[int, bytes]]) -> Run:
    records = [_parse(path, number, raw) for number, (_, raw) in enumerate(lines, 1)]
    for number, record in enumerate(records[1:], 2):
        if isinstance(record, Header):
            raise _refuse(path, number, "a second header")
        if isinstance(record, Seal) and number < len(records):
            raise _refuse(path, number + 1, "a record after the seal")
    records = _whole(path, records)
    sealed = isinstance(records[-1], Seal)
    body_end = lines[-1][0]
    if sealed:
        body_end = lines[-2][0]
    digest = hashlib.sha256(data[:body_end]).hexdigest()
    if sealed and records[-1].sha256 != digest:
        raise _refuse(
            path, len(lines), "the seal does not match: the file was edited after the run"
        )
    told = [record for record in records if isinstance(record, Notice)]
    notices = [notice.message for notice in told if not notice.finding]
    if not sealed:
        notices.append("cut off before its end: no seal, so later edits cannot be ruled out")
    if lines[-1][0] < len(data):
        if sealed:
            raise _refuse(path, len(lines) + 1, "half a record after the seal")
        notices.append("the last line was cut in half and is left out")
    return Run(
        path=Path(path),
        header=records[0],
        records=records[1:-1] if sealed else records[1:],
        sealed=sealed,
        sha256=digest,
        notices=notices,
        findings=[notice.message for notice in told if notice.finding],
        complete_bytes=body_end,
        ended=records[-1].at if sealed else "",
    )
