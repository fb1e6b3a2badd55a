"""What nodes tell of themselves, which are chosen, and which are refused."""

from datetime import UTC, datetime, timedelta

import pytest

from keras_ab.bench.fleet import clean
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


def test_other_versions_are_refused_unless_allowed():
    here = {"python": "3.11", "packages": {"numpy": "2.0"}}
    nodes = [there("a", software=here), there("b", software=here | {"packages": {"numpy": "2.1"}})]
    with pytest.raises(RecordError, match=r"b: packages.numpy: '2.0' → '2.1'"):
        check_alike(nodes, here, [])
    check_alike(nodes, here, ["versions"])


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


def test_this_machine_tells_what_its_owner_says_or_what_it_is():
    named = told("id", {NAME: "Rack 7", KIND: "h100"})
    assert (named.name, named.kind) == ("rack-7", "h100")
    plain = told("id", {})
    assert plain.name == told("another", {}).name or clean._machine_id() == ""
    assert "cores" in plain.kind
    assert plain.software == software()


def test_an_identity_tells_nothing_of_the_machine(monkeypatch):
    monkeypatch.setattr(clean, "gpus", list)
    monkeypatch.setattr(clean, "_machine_id", lambda: "0123456789abcdef")
    assert clean.identity("x") == clean.identity("y")
    assert "0123" not in clean.identity("x")
    monkeypatch.setattr(clean, "_machine_id", lambda: "")
    assert clean.identity("x") != clean.identity("y")


def test_rays_own_variables_are_not_the_owners():
    given = {"RAY_ADDRESS": "x", "OMP_NUM_THREADS": "3", "HOME": "/h"}
    assert clean.environment(given) == {"OMP_NUM_THREADS": "3", "HOME": "/h"}


def test_code_is_packed_alike_and_laid_out_once(tmp_path):
    folder = tmp_path / "code"
    left_out = (".git/config", "runs/r.txt", "deep/__pycache__/y.pyc", "fleet-x.html")
    for name in ("bench_x.py", "deep/y.py", *left_out):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    data = packed(folder)
    (folder / "bench_x.py").touch()
    assert packed(folder) == data
    laid = unpacked(data, tmp_path)
    assert unpacked(data, tmp_path) == laid
    found = sorted(p.relative_to(laid).as_posix() for p in laid.rglob("*") if p.is_file())
    assert found == ["bench_x.py", "deep/y.py"]


def test_too_much_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ab.bench.fleet.software.LARGEST_CODE_BYTES", 10)
    (tmp_path / "bench_x.py").write_text("x" * 100)
    with pytest.raises(DeclarationError, match="the code that is sent"):
        packed(tmp_path)
