"""Whatever a file holds, reading it gives a run or a RecordError, and never another exception."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_ab import reports
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.citing import quotables
from keras_ab.reports.page import page
from keras_ab.reports.verify import check_document
from tests.examples import examples
from tests.reports import scenes, simulated
from tests.reports.test_page import HOSTILE, Elements

FUZZ = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    chosen = scenes.scenes()[1:2] + scenes.scenes()[5:]
    for scene in chosen:
        scene.blocks, scene.rounds = min(scene.blocks, 2), 3
    path = tmp_path_factory.mktemp("fuzz") / "r.jsonl"
    return simulated.write(path, simulated.header("r"), chosen).read_bytes()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "fuzzed.jsonl"
    path.write_bytes(data)
    return path


@FUZZ
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(RecordError):
        reports.load(written(tmp_path, data))


@FUZZ
@given(share=st.floats(0, 1))
def test_a_truncated_run_reads_back_all_whole_lines(
    share: float, sealed: bytes, tmp_path: Path
) -> None:
    cut = sealed[: int(share * len(sealed))]
    path, whole = written(tmp_path, cut), cut.count(b"\n")
    if not whole:
        with pytest.raises(RecordError):
            read_run(path)
        return
    run = read_run(path)
    assert len(run.records) == whole - 1 - run.sealed
    assert run.sealed == (cut == sealed)
    assert bool(run.notices) != run.sealed
    reports.load(path)


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
def test_an_edited_sealed_run_is_refused_by_line(
    place: float, byte: int, sealed: bytes, tmp_path: Path
) -> None:
    where = int(place * (len(sealed) - 1))
    edited = bytearray(sealed)
    edited[where] ^= byte
    try:
        run = read_run(written(tmp_path, bytes(edited)))
    except RecordError as error:
        text = str(error)
        assert "line " in text or "another kind" in text or "schema" in text
    else:  # only what the seal does not cover: the date of the seal itself
        assert where > sealed.rindex(b"\n", 0, -1)
        assert run.sealed


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True),
    st.sampled_from([0.0, 1e308, -1e308, 5e-324]),
    st.text(max_size=8),
    st.sampled_from([HOSTILE, "=1+1", "../../etc/passwd", "%2e%2e", "{% raw %}", "|`a`|"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def _replace(record: Any, path: list[int], value: Any) -> Any:
    """Return a record with the leaf at a path replaced."""
    if not path or not isinstance(record, dict | list) or not record:
        return value
    keys = list(record) if isinstance(record, dict) else list(range(len(record)))
    key = keys[path[0] % len(keys)]
    copy = dict(record) if isinstance(record, dict) else list(record)
    copy[key] = _replace(record[key], path[1:], value)
    return copy


@FUZZ
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 10**6), st.lists(st.integers(0, 50), min_size=1, max_size=4), VALUES
        ),
        min_size=1,
        max_size=3,
    )
)
def test_an_unsealed_run_with_other_values_is_a_run_or_refused(
    edits: list[tuple[int, list[int], Any]], sealed: bytes, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in sealed.splitlines()[:-1]]
    for number, path, value in edits:
        lines[number % len(lines)] = _replace(lines[number % len(lines)], path, value)
    data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    try:
        runs = reports.load(written(tmp_path, data))
    except RecordError:
        return
    assert len(runs.trials) + len(runs.claims) + len(runs.samples) >= 0


@settings(FUZZ, max_examples=examples(12))
@given(
    edits=st.lists(
        st.tuples(
            st.integers(1, 10**6), st.lists(st.integers(0, 50), min_size=2, max_size=4), VALUES
        ),
        min_size=1,
        max_size=2,
    )
)
def test_what_can_be_read_can_be_shown(
    edits: list[tuple[int, list[int], Any]], sealed: bytes, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in sealed.splitlines()[:-1]]
    for number, path, value in edits:
        lines[number % len(lines)] = _replace(lines[number % len(lines)], path, value)
    data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    try:
        runs = reports.load(written(tmp_path, data))
    except RecordError:
        return
    html = page(runs)
    elements = Elements(html)
    assert html.endswith("</html>")
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not [k for _, attrs in elements.found for k in attrs if k.startswith("on")]
    assert not {tag for tag, _ in elements.found} & {"img", "iframe", "object", "embed"}
    assert not set(html) & {"\x00", "\x1b", "\u202e"}
    sentences = "\n".join(quotable.sentence("markdown") for quotable in quotables(runs.runs))
    assert {entry.state for entry in check_document(sentences, runs)} <= {"holds"}
