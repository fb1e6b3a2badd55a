"""What is asked for becomes an order, and is gone on with by what began it: without Ray."""

from dataclasses import dataclass, field

import pytest

from keras_ab.bench.fleet import asked, orders
from keras_ab.bench.fleet.asked import Asked
from keras_ab.bench.fleet.choosing import Chosen
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.words.errors import RecordError
from tests.fleet.made import there

HERE = {"python": "3.11", "packages": {"keras": "3.15"}}
NEWER = {"python": "3.11", "packages": {"keras": "3.16"}}
CASES = {"h100": {"large": 9.0}, "cpu": {"small": 1.0}}


@dataclass
class Cluster:
    """Nodes that tell what they are, and of which each kind has cases of its own."""

    there: list
    silent: list = field(default_factory=list)

    def nodes(self):
        return self.there

    def select(self, node, arguments, code):
        return Chosen(backend="plain", trials=CASES[node.kind], files=[])

    def close(self):
        pass


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Return what asks nodes for something, and returns the orders that they were handed."""
    handed, said = [], []
    chosen = Chosen(backend="plain", trials={"small": 1.0}, files=[])
    monkeypatch.setattr(asked.software, "software", lambda: HERE)
    monkeypatch.setattr(asked, "choose", lambda _: chosen)
    monkeypatch.setattr(asked, "_run", lambda *of: handed.append(of[2]))

    def ask(what, nodes, *named, **more):
        monkeypatch.setattr(asked, "connect", lambda *_: Cluster(nodes))
        what(Asked(str(tmp_path), doctor=False, **more), *named, said.append)
        return handed[-1]

    ask.said, ask.place = said, store(tmp_path)
    return ask


def nodes(*software, kind="cpu"):
    return [there(f"n{n}", kind, software=told) for n, told in enumerate(software, 1)]


def test_a_node_of_each_kind_says_which_cases_are_its_own(fleet):
    mixed = [*nodes(HERE, HERE), there("gpu", "h100", software=HERE)]
    order = fleet(asked.run, mixed, arguments=["-k", "tiny"])
    assert [(unit.kind, unit.trials) for unit in order.units] == [
        ("cpu", ["small"]),
        ("h100", ["large"]),
    ]
    assert order.arguments == ["-k", "tiny", "--ab-backend=plain"]
    assert orders.kept(fleet.place, order.fleet) == order


def test_nodes_have_the_versions_that_are_here(fleet):
    with pytest.raises(RecordError, match="code that are here"):
        fleet(asked.run, nodes(NEWER, NEWER))
    assert fleet(asked.run, nodes(HERE, HERE)).software == HERE
    assert fleet(asked.run, nodes(HERE, NEWER), allow=["versions"]).software == {}


def test_nodes_that_uv_makes_have_the_versions_of_each_other(fleet, tmp_path):
    assert fleet(asked.run, nodes(NEWER, NEWER), uv=tmp_path).software == NEWER
    with pytest.raises(RecordError, match="code of node n1") as caught:
        fleet(asked.run, nodes(NEWER, HERE), uv=tmp_path)
    assert caught.value.received == "n2: packages.keras: '3.16' → '3.15'"
    fleet(asked.run, nodes(NEWER, HERE), uv=tmp_path, allow=["versions"])


def test_what_is_left_is_measured_with_the_versions_that_it_was_begun_with(fleet, monkeypatch):
    begun = fleet(asked.run, nodes(HERE)).fleet
    assert fleet(asked.resume, nodes(HERE), begun).fleet == begun
    monkeypatch.setattr(asked.software, "software", lambda: NEWER)  # as after an upgrade
    with pytest.raises(RecordError, match=f"that {begun} was begun with") as caught:
        fleet(asked.resume, nodes(NEWER), begun)
    assert caught.value.received == "n1: packages.keras: '3.15' → '3.16'"
    assert fleet(asked.resume, nodes(NEWER), begun, allow=["versions"]).allow == ["versions"]


def test_under_uv_as_well(fleet, tmp_path):
    begun = fleet(asked.run, nodes(NEWER), uv=tmp_path).fleet
    assert fleet(asked.resume, nodes(NEWER), begun, uv=tmp_path).fleet == begun
    with pytest.raises(RecordError, match=f"that {begun} was begun with"):
        fleet(asked.resume, nodes(HERE), begun, uv=tmp_path)


def test_what_might_differ_when_it_was_begun_may_differ_when_it_is_gone_on_with(fleet):
    begun = fleet(asked.run, nodes(HERE, NEWER), allow=["versions"]).fleet
    assert fleet(asked.resume, nodes(HERE, NEWER), begun).fleet == begun


def test_of_an_older_order_it_is_said_that_versions_are_not_known(fleet):
    begun = fleet(asked.run, nodes(HERE))
    older = begun.model_copy(update={"fleet": "older", "software": {}})
    orders.keep(fleet.place, older)
    fleet(asked.resume, nodes(HERE), begun.fleet)
    assert fleet.said == [f"fleet {begun.fleet}: 1 run, to {fleet.place.url}"]
    fleet(asked.resume, nodes(HERE), "older")
    assert "older tells of no versions" in fleet.said[-1]
