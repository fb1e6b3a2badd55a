"""What nodes tell of themselves, which are chosen, and which are refused."""

from datetime import UTC, datetime, timedelta

import pytest

from keras_ab.bench.fleet import clean
from keras_ab.bench.fleet.cluster import RayCluster
from keras_ab.bench.fleet.software import packed, software, unpacked
from keras_ab.bench.fleet.there import (
    KIND,
    NAME,
    by_clock,
    check_alike,
    chosen,
    said_of_clock,
    told,
)
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError
from tests.fleet.made import there

NODES = [there("a", "cpu", labels={"zone": "x"}), there("b", "gpu"), there("c", "cpu")]


def names(on):
    return [node.name for node in chosen(NODES, on)]


def test_nodes_are_chosen_by_kind_name_and_label():
    assert names([]) == ["a", "b", "c"]
    assert names(["kind=cpu"]) == ["a", "c"]
    assert names(["kind=cpu", "zone=x"]) == ["a"]
    assert names(["node=b"]) == ["b"]


@pytest.mark.parametrize(
    ("on", "message"), [(["kind=h100"], "kind=h100, of: a "), (["h100"], "a label is KEY=VALUE")]
)
def test_labels_that_fit_no_node_are_refused_with_what_there_is(on, message):
    with pytest.raises(DeclarationError, match=message) as caught:
        chosen(NODES, on)
    assert caught.value.do


def test_two_nodes_of_one_name_are_refused():
    with pytest.raises(DeclarationError, match="twice: a: one machine, or copies of one image"):
        chosen([there("a"), there("a")], [])


def test_other_versions_are_refused():
    here = {"python": "3.11", "packages": {"numpy": "2.0"}}
    nodes = [there("a", software=here), there("b", software=here | {"packages": {"numpy": "2.1"}})]
    with pytest.raises(RecordError, match="code that are here") as caught:
        check_alike(nodes, here, "that are here")
    assert caught.value.received == "b: packages.numpy: '2.0' → '2.1'"
    check_alike(nodes[:1], here, "that are here")


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("off_s", "ahead_s", "said"),
    [(1, 0, ""), (3603, 3601, "ahead of"), (-100, -100, "behind"), (4, 2, "")],
)
def test_a_clock_that_is_wrong_is_said(off_s, ahead_s, said):
    """Asked at noon, answered two seconds later."""
    node = there("a", now=(NOON + timedelta(seconds=off_s)).isoformat())
    found = by_clock(node, NOON, NOON + timedelta(seconds=2))
    assert found.clock_ahead_s == ahead_s
    assert said in said_of_clock(found)
    assert bool(said) == bool(said_of_clock(found))


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Be a machine that nothing tells from others; return where it keeps what is a fleet's."""
    monkeypatch.setattr(clean, "gpus", list)
    monkeypatch.setattr(clean, "_machine_id", str)
    monkeypatch.setenv("KERAS_AB_FLEET_FOLDER", str(tmp_path / "fleet"))
    return tmp_path / "fleet"


def test_this_machine_tells_what_its_owner_says_or_what_it_is(bare):
    named = told("id", {NAME: "Rack 7", KIND: "h100"})
    assert (named.name, named.kind) == ("rack-7", "h100")
    plain = told("id", {})
    assert plain.name == told("another", {}).name
    assert "cores" in plain.kind
    assert plain.software == software()


def test_an_identity_tells_nothing_of_the_machine(bare, monkeypatch):
    monkeypatch.setattr(clean, "_machine_id", lambda: "0123456789abcdef")
    assert "0123" not in clean.identity()
    assert not bare.exists()


def test_a_machine_that_nothing_tells_from_others_keeps_a_number(bare, monkeypatch):
    first = clean.identity()
    assert clean.identity() == first
    (bare / clean.DRAWN).write_bytes(b"")  # as after a power cut
    second = clean.identity()
    assert second == clean.identity() != first
    monkeypatch.setenv("KERAS_AB_FLEET_FOLDER", str(bare / "another"))
    assert clean.identity() not in (first, second)


def test_a_machine_that_cannot_keep_a_number_is_told_to_be_named(bare):
    bare.write_text("no folder")
    with pytest.raises(RecordError, match="keeps a number") as caught:
        clean.identity()
    assert NAME in caught.value.do


@pytest.mark.parametrize("says", ["uninitialized\n", "", None])
def test_an_installation_without_an_id_of_its_own_is_not_known_by_it(monkeypatch, tmp_path, says):
    if says is not None:
        (tmp_path / "machine-id").write_text(says)
    monkeypatch.setattr(clean, "Path", lambda _: tmp_path / "machine-id")
    assert clean._machine_id() == ""
    (tmp_path / "machine-id").write_text(f"{'0f' * 16}\n")
    assert clean._machine_id() == "0f" * 16


class Refuses:
    """A Ray that raises an error of its own, with the node's as its cause and text of both."""

    def get(self, task, timeout):
        raised = RuntimeError("Traceback …\n  what to do: name it")
        raised.cause = RecordError("a node has a name", "none", "name it")
        raise raised

    def remote(self, *_, **__):
        return self

    options = __call__ = remote


def test_what_a_node_refuses_is_said_in_its_own_words(monkeypatch):
    cluster = RayCluster(Refuses(), [])
    monkeypatch.setattr(cluster, "_on", lambda *_, **__: Refuses())
    monkeypatch.setattr(cluster, "_with_slot", lambda: {"0123456789": {}})
    assert cluster.nodes() == []
    assert cluster.silent == [f"01234567: {RecordError('a node has a name', 'none', 'name it')}"]
    with pytest.raises(DeclarationError, match="on a node of each kind") as caught:
        cluster.select(there("a"), [], b"")
    assert caught.value.received == "on a: none"


def test_rays_own_variables_are_not_the_owners():
    given = {"RAY_ADDRESS": "x", "OMP_NUM_THREADS": "3", "HOME": "/h"}
    assert clean.environment(given) == {"OMP_NUM_THREADS": "3", "HOME": "/h"}


def test_code_is_packed_alike_and_laid_out_as_it_was_sent(tmp_path):
    folder = tmp_path / "code"
    left_out = (".git/config", "runs/r.txt", "deep/__pycache__/y.pyc", "fleet-x.html")
    for name in ("bench_x.py", "deep/y.py", *left_out):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    data = packed(folder)
    (folder / "bench_x.py").touch()
    assert packed(folder) == data
    laid = unpacked(data, tmp_path)
    (laid / "bench_x.py").write_bytes(b"")  # as after a power cut
    assert unpacked(data, tmp_path) == laid
    assert (laid / "bench_x.py").read_text() == "bench_x.py"
    found = sorted(p.relative_to(laid).as_posix() for p in laid.rglob("*") if p.is_file())
    assert found == ["bench_x.py", "deep/y.py"]


def test_too_much_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ab.bench.fleet.software.LARGEST_CODE_BYTES", 10)
    (tmp_path / "bench_x.py").write_text("x" * 100)
    with pytest.raises(DeclarationError, match="the code that is sent"):
        packed(tmp_path)
