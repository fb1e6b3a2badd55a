"""Stores: names written once, runs in parts, and files shipped as they grow."""

import importlib.util
import os
import secrets
from pathlib import Path

import pytest

from keras_ab.bench.fleet.shipping import Shipping
from keras_ab.bench.lab.record.parts import content, kept, part
from keras_ab.bench.lab.record.run_file import parse_run
from keras_ab.bench.lab.record.store import InFolder, Taken, read_many, store
from keras_ab.bench.lab.words.errors import RecordError
from tests.reports.scenes import scenes
from tests.reports.simulated import header, write

HAS_S3 = importlib.util.find_spec("moto") and importlib.util.find_spec("s3fs")
KINDS = [
    "folder",
    "memory",
    pytest.param("s3", marks=pytest.mark.skipif(not HAS_S3, reason="needs moto and s3fs")),
]


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """Return the URL of an empty store of each kind."""
    if request.param == "folder":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{secrets.token_hex(4)}/team"
    return f"{request.getfixturevalue('s3')}/team"


def test_a_name_is_written_once(place):
    ours, theirs = store(place), store(place)
    ours.create("a/run", b"one")
    with pytest.raises(Taken, match="is there already, with another content"):
        theirs.create("a/run", b"two")
    theirs.create("a/run", b"one")  # as after an answer that was lost
    assert theirs.read("a/run") == b"one"
    assert theirs.names() == {"a/run": 3}


def test_names_are_those_of_a_folder_and_fresh(place):
    ours, theirs = store(place), store(place)
    assert ours.names() == {}
    theirs.create("a/one", b"1")
    theirs.create("b/two", b"22")
    assert ours.names() == {"a/one": 1, "b/two": 2}
    assert ours.names("a") == {"a/one": 1}
    assert ours.names("c") == {}


@pytest.mark.parametrize(("through", "last"), [("os.scandir", "a"), ("pathlib.Path.stat", "one")])
def test_what_is_removed_while_names_are_listed_is_passed_over(
    tmp_path, monkeypatch, through, last
):
    ours, gone, true = store(tmp_path), [], {"a": os.scandir, "one": Path.stat}[last]
    for name in ("a/one", "b/two"):
        ours.create(name, b"1")

    def removing(path, **more):
        if Path(path).name != last or gone:
            return true(path, **more)
        told = true(path, **more) if last == "one" else None  # it was there a moment ago
        gone.append(path)
        ours.remove(["a/one"])
        return told or true(path, **more)

    monkeypatch.setattr(through, removing)
    assert "b/two" in ours.names()
    assert gone


def test_a_link_that_leads_to_itself_is_passed_over(tmp_path):
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "one").write_bytes(b"1")
    assert store(tmp_path).names() == {"one": 1}


def test_what_is_derived_is_replaced_and_what_is_removed_is_gone(place):
    ours = store(place)
    ours.replace("index", b"old")
    ours.replace("index", b"new")
    assert ours.read("index") == b"new"
    ours.remove(["index", "not there"])
    assert ours.names() == {}


def test_many_are_read_at_once_and_a_missing_one_says_why(place):
    ours = store(place)
    names = [f"run[*]{n}" for n in range(40)]
    for name in names:
        ours.create(name, name.encode())
    found = dict(read_many(ours, [*names, "missing"]))
    assert isinstance(found.pop("missing"), RecordError)
    assert found == {name: name.encode() for name in names}


def test_a_folder_that_cannot_be_written_is_refused_in_three_parts(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RecordError, match="a store can be written to") as caught:
        store(tmp_path / "file").create("run", b"")
    assert caught.value.do


def test_half_a_write_leaves_no_name(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    with pytest.raises(RecordError, match="No space left"):
        InFolder(tmp_path).create("run", b"data")
    assert list(tmp_path.iterdir()) == []


def test_parts_are_joined_until_a_gap():
    names = {part("r", 0): 5, part("r", 5): 2, part("r", 9): 4, "s.jsonl": 8, part("s", 0): 3}
    first, second = kept(names)
    assert (first.name, first.whole, first.size) == ("r", False, 7)
    assert first.parts == (part("r", 0), part("r", 5))
    assert (second.name, second.whole, second.size) == ("s", True, 8)


def test_a_run_whose_first_part_is_missing_is_not_there():
    assert kept({part("r", 5): 2, "r.parts/claim": 1, "index.parquet": 9}) == []


@pytest.fixture
def run(tmp_path):
    return write(tmp_path / "simulated.jsonl", header("simulated"), scenes()[:1])


class Growing:
    """A run file that grows by so many lines at a time."""

    def __init__(self, whole, folder):
        self._lines = whole.read_bytes().splitlines(keepends=True)
        folder.mkdir()
        self.path = folder / "r.jsonl"
        self.count = len(self._lines)

    def grow_to(self, lines, half=b""):
        self.path.write_bytes(b"".join(self._lines[:lines]) + half)


def test_a_run_is_shipped_as_it_grows_and_ends_in_one_piece(place, run, tmp_path):
    growing, kept_in = Growing(run, tmp_path / "local"), store(place)
    shipping = Shipping(growing.path, kept_in, "r", now=lambda: 0.0)
    shipping.ship()
    assert not shipping.begun
    for lines in range(2, growing.count, 7):
        growing.grow_to(lines, half=b'{"kind":"rou')
        shipping.ship(all_of_it=True)
        (found,) = kept(kept_in.names())
        assert not found.whole
        assert content(kept_in, found) == growing.path.read_bytes().removesuffix(b'{"kind":"rou')
        assert not parse_run(content(kept_in, found), "r").sealed
    growing.grow_to(growing.count)
    shipping.ship()
    assert shipping.sealed
    assert kept_in.names() == {"r.jsonl": run.stat().st_size}
    assert parse_run(kept_in.read("r.jsonl"), "r").sealed


def test_rounds_wait_for_the_end_of_their_block_but_not_for_ever(run, tmp_path):
    growing, kept_in, times = Growing(run, tmp_path / "local"), store(tmp_path / "store"), [0.0]
    shipping = Shipping(growing.path, kept_in, "r", now=lambda: times[0])
    lines = run.read_bytes().splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(b'{"kind":"round"'))
    growing.grow_to(first + 1)
    shipping.ship()
    assert not shipping.begun
    times[0] = 61.0
    shipping.ship()
    assert shipping.begun
    end = next(n for n, line in enumerate(lines) if line.startswith(b'{"kind":"block"'))
    growing.grow_to(end + 1)
    shipping.ship()
    (found,) = kept(kept_in.names())
    assert found.size == growing.path.stat().st_size


def test_a_run_is_continued_from_what_was_shipped(run, tmp_path):
    growing, kept_in = Growing(run, tmp_path / "local"), store(tmp_path / "store")
    growing.grow_to(5)
    Shipping(growing.path, kept_in, "r").ship(all_of_it=True)
    growing.grow_to(growing.count - 1)
    later = Shipping(growing.path, kept_in, "r")
    assert later.begun
    later.ship(all_of_it=True)
    (found,) = kept(kept_in.names())
    assert content(kept_in, found) == growing.path.read_bytes()


def test_another_that_goes_on_with_a_run_is_stopped(run, tmp_path):
    ours, theirs = (Growing(run, tmp_path / name) for name in ("ours", "theirs"))
    kept_in = store(tmp_path / "store")
    for growing in (ours, theirs):
        growing.grow_to(5)
    first, second = (Shipping(growing.path, kept_in, "r") for growing in (ours, theirs))
    first.ship(all_of_it=True)
    theirs.path.write_bytes(ours.path.read_bytes().replace(b"simulated", b"simulatex"))
    with pytest.raises(Taken):
        second.ship(all_of_it=True)
    with pytest.raises(RecordError, match="begins as it was shipped"):
        Shipping(theirs.path, kept_in, "r")


class Unheard(InFolder):
    """A store that writes what it is given, and whose answers are lost now and then."""

    lost = False

    def create(self, name, data):
        super().create(name, data)
        if self.lost:
            raise RecordError("a store can be written to", "timed out", "wait")


def test_what_arrived_without_an_answer_is_gone_on_from(run, tmp_path):
    growing, kept_in = Growing(run, tmp_path / "local"), Unheard(tmp_path / "store")
    shipping = Shipping(growing.path, kept_in, "r")
    kept_in.lost = True
    for lines in (3, 5, 9):
        growing.grow_to(lines)
        shipping.ship(all_of_it=True)
        assert "timed out" in str(shipping.away)
    kept_in.lost = False
    growing.grow_to(growing.count - 1)
    shipping.ship(all_of_it=True)
    assert shipping.away is None
    (found,) = kept(kept_in.names())
    assert content(kept_in, found) == growing.path.read_bytes()
    growing.grow_to(growing.count)
    shipping.ship()
    assert kept_in.names() == {"r.jsonl": run.stat().st_size}


@pytest.mark.parametrize("there", [b"", b"of another\n"])
def test_what_is_not_the_beginning_of_a_part_is_not_gone_on_from(run, tmp_path, there):
    growing, kept_in = Growing(run, tmp_path / "local"), store(tmp_path / "store")
    shipping = Shipping(growing.path, kept_in, "r")
    growing.grow_to(5)
    kept_in.create(part("r", 0), there)
    with pytest.raises(Taken):
        shipping.ship(all_of_it=True)


class Away(InFolder):
    """A store that is away for a while."""

    gone = False

    def create(self, name, data):
        if self.gone:
            raise RecordError("a store can be written to", "it is away", "wait")
        super().create(name, data)


def test_a_store_that_is_away_is_caught_up_with(run, tmp_path):
    growing, kept_in = Growing(run, tmp_path / "local"), Away(tmp_path / "store")
    shipping = Shipping(growing.path, kept_in, "r")
    growing.grow_to(3)
    shipping.ship(all_of_it=True)
    kept_in.gone = True
    for lines in (5, 9, 12):
        growing.grow_to(lines)
        shipping.ship(all_of_it=True)
        assert "it is away" in str(shipping.away)
    kept_in.gone = False
    shipping.ship(all_of_it=True)
    assert shipping.away is None
    (found,) = kept(kept_in.names())
    assert content(kept_in, found) == growing.path.read_bytes()
