"""The run file: whole lines or nothing, sealed, and refused with the reason when wrong."""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from keras_ab.bench.lab.record.locks import locked
from keras_ab.bench.lab.record.records import SCHEMA, Attempted, End, Header, Round, Seal
from keras_ab.bench.lab.record.run_file import RunWriter, encode, read_run
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.full_disk import full_disk

HEADER = Header(
    run="r",
    started="2026-01-01T00:00:00+00:00",
    backend="plain",
    machine={},
    environment={},
    conditions={},
    plan=Plan(),
)


def a_round(number):
    times = {"a": 0.1, "b": 0.2}
    return Round(trial="t", block=0, round=number, order=["b", "a"], steps=3, step_time_s=times)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "run.jsonl"


@pytest.fixture
def sealed(path):
    writer = RunWriter.create(path, HEADER)
    for number in range(3):
        writer.write(a_round(number))
    writer.seal()
    return path


def test_a_run_reads_back_as_it_was_written(sealed):
    run = read_run(sealed)
    assert run.sealed
    assert run.header == HEADER
    assert run.records == [a_round(number) for number in range(3)]
    assert run.notices == []


def test_every_record_is_on_the_disk_before_write_returns(path):
    writer = RunWriter.create(path, HEADER)
    writer.write(a_round(0))
    assert path.read_bytes().endswith(encode(a_round(0)))
    writer.close()


def test_a_run_cut_anywhere_keeps_all_its_whole_lines(sealed):
    data = sealed.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(ends[0], len(data)):
        sealed.write_bytes(data[:cut])
        run = read_run(sealed)
        assert not run.sealed
        assert len(run.records) == sum(end <= cut for end in ends) - 1
        assert "cut off" in run.notices[0]


def test_a_run_that_was_cut_off_is_continued_and_sealed(sealed):
    data = sealed.read_bytes()
    sealed.write_bytes(data[: data.rindex(b'{"kind":"round"') + 20])
    writer = RunWriter.reopen(read_run(sealed))
    writer.write(a_round(2))
    writer.seal()
    run = read_run(sealed)
    assert run.sealed
    assert run.records == [a_round(number) for number in range(3)]


@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_an_edited_run_is_refused(sealed, line):
    lines = sealed.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"0.1", b"0.3").replace(b'"r"', b'"s"')
    sealed.write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match="the seal does not match"):
        read_run(sealed)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{not json}\n", "line 3: record: Invalid JSON"),
        (b'{"kind":"surprise"}\n', "line 3: record: Input tag 'surprise'"),
        (encode(a_round(1)).replace(b"0.1", b"NaN"), "line 3: "),
        (
            encode(a_round(1)).replace(b"0.1", b"-0.1"),
            "line 3: step_time_s.a: .*greater than or equal",
        ),
        (encode(a_round(1)).replace(b'"steps":3', b'"stops":3'), "line 3: steps: Field required"),
        (encode(HEADER), "line 3: a second header"),
        (encode(Seal(at="", sha256="0" * 64)), "line 4: a record after the seal"),
    ],
)
def test_a_wrong_line_is_named(path, line, why):
    path.parent.mkdir()
    path.write_bytes(encode(HEADER) + encode(a_round(0)) + line + encode(a_round(2)))
    with pytest.raises(RecordError, match=why):
        read_run(path)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"a,b\n1,2\n", b"[]\n", b'{"kind":1}\n'])
def test_a_foreign_file_is_refused(tmp_path, data):
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordError, match="a file of another kind"):
        read_run(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(RecordError, match="without a whole line"):
        read_run(path)


def test_a_newer_schema_says_what_to_upgrade(path):
    path.parent.mkdir()
    newer = json.loads(encode(HEADER)) | {"schema_version": SCHEMA + 1, "unheard": "of"}
    path.write_text(json.dumps(newer) + "\n")
    with pytest.raises(RecordError, match="upgrade keras-ab"):
        read_run(path)


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_a_run_of_an_older_schema_is_still_read(path, version):
    path.parent.mkdir()
    path.write_text(json.dumps(json.loads(encode(HEADER)) | {"schema_version": version}) + "\n")
    assert read_run(path).header.schema_version == version


def test_a_run_of_the_first_schema_is_still_read():
    """It was measured before attempts were recorded."""
    (path,) = (Path(__file__).parents[2] / "examples").glob("cpu-xeon-2-cores-schema-1.jsonl")
    run = read_run(path)
    assert run.header.schema_version == 1
    assert all(line.timed for line in run.records if line.kind == "trial")


def test_an_attempt_reads_back_as_it_was_written(path):
    tried = Attempted(
        trial="t",
        arm="",
        name="snippet",
        says="as printed",
        what="raised",
        message="TypeError: é\n",
    )
    writer = RunWriter.create(path, HEADER)
    writer.write(tried)
    writer.seal()
    assert read_run(path).records == [tried]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        read_run(tmp_path / "gone.jsonl")


@pytest.mark.parametrize("deed", ["removed", "moved", "replaced"])
def test_a_run_file_that_is_not_where_it_was_ends_the_run_and_is_saved(path, deed):
    writer = RunWriter.create(path, HEADER)
    writer.write(a_round(0))
    if deed == "removed":
        shutil.rmtree(path.parent)
    else:
        path.rename(path.with_suffix(".moved"))
    if deed == "replaced":
        path.write_bytes(encode(HEADER))
    with pytest.raises(RecordError, match="removed, moved or replaced") as refused:
        writer.write(a_round(1))
    saved = Path(refused.value.do.removeprefix("what was measured is in ").partition(";")[0])
    assert read_run(saved).records == [a_round(0)]
    saved.unlink()
    writer.close()


class FullDisk:
    """A file on a disk that takes half of one more record."""

    def __init__(self, file):
        self.file = file

    def fileno(self):
        return self.file.fileno()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_loses_nothing_that_was_written(path):
    writer = RunWriter.create(path, HEADER)
    writer.write(a_round(0))
    writer._file = FullDisk(writer._file)
    with pytest.raises(RecordError, match="No space left on device"):
        writer.write(a_round(1))
    writer._file.file.close()
    assert read_run(path).records == [a_round(0)]
    assert path.read_bytes().endswith(encode(a_round(0)))


def test_a_real_full_device_is_refused_with_what_to_do():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb", buffering=0) as file, pytest.raises(RecordError, match="free some space"):
        RunWriter(full, file, _Digest()).write(End(trial="t", reason="precise"))


class _Digest:
    def update(self, data):
        raise AssertionError("a record that is not on the disk must not enter the seal")


def test_a_runs_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="choose another with --ab-runs"):
        RunWriter.create(tmp_path / "file" / "run.jsonl", HEADER)


def test_an_existing_run_is_never_overwritten(sealed):
    with pytest.raises(RecordError, match="File exists"):
        RunWriter.create(sealed, HEADER)


def test_a_header_without_room_leaves_no_file(path):
    with full_disk(), pytest.raises(RecordError, match="start again; nothing was measured"):
        RunWriter.create(path, HEADER)
    assert not path.exists()


def test_a_line_that_is_written_once_there_is_room_again_leaves_no_hole(path):
    writer = RunWriter.create(path, HEADER)
    size = path.stat().st_size
    with full_disk(size + 10), pytest.raises(RecordError, match="free some space"):
        writer.write(a_round(0))
    assert path.stat().st_size == size
    writer.write(a_round(0))
    writer.seal()
    assert read_run(path).records == [a_round(0)]


def test_a_seal_without_room_is_refused_and_the_run_can_be_continued(path):
    writer = RunWriter.create(path, HEADER)
    writer.write(a_round(0))
    with full_disk(), pytest.raises(RecordError, match="continue with --ab-resume"):
        writer.seal()
    assert not locked(path)
    RunWriter.reopen(read_run(path)).seal()
    assert read_run(path).records == [a_round(0)]


def test_a_file_that_cannot_be_closed_well_is_refused(path, monkeypatch):
    writer = RunWriter.create(path, HEADER)

    def no_room(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(RecordError, match="No space left on device"):
        writer.close()
    assert not locked(path)


@pytest.mark.parametrize("wrong", ["gone", "not writable"])
def test_a_run_that_cannot_be_opened_to_go_on_is_refused(path, wrong):
    RunWriter.create(path, HEADER).close()
    run = read_run(path)
    path.unlink()
    if wrong == "not writable":
        path.mkdir()
    with pytest.raises(RecordError, match="a run that is continued can be written to"):
        RunWriter.reopen(run)


@pytest.mark.parametrize("begin", ["created", "reopened"])
def test_a_run_is_measured_by_one_process_at_a_time(path, begin):
    writer = RunWriter.create(path, HEADER)
    if begin == "reopened":
        writer.close()
        writer = RunWriter.reopen(read_run(path))
    with path.open("ab") as file:
        file.write(b'{"kind":"rou')  # a line that is being written
    before, run = path.read_bytes(), read_run(path)
    assert locked(path)
    with pytest.raises(RecordError, match="it is being measured now"):
        RunWriter.reopen(run)
    assert path.read_bytes() == before
    writer.close()
    assert not locked(path)
    RunWriter.reopen(run).close()


def test_a_run_that_has_gone_on_since_it_was_read_is_not_cut_back(path):
    RunWriter.create(path, HEADER).close()
    run = read_run(path)
    writer = RunWriter.reopen(run)
    writer.write(a_round(0))
    writer.seal()
    with pytest.raises(RecordError, match="has changed since"):
        RunWriter.reopen(run)
    assert read_run(path).sealed


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_where_a_filesystem_has_no_locks_runs_are_made_and_continued(path, monkeypatch, number):
    def no_locks(_file, _how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    RunWriter.create(path, HEADER).close()
    assert not locked(path)
    RunWriter.reopen(read_run(path)).seal()
    assert read_run(path).sealed
