"""Who measures what, and what happens when nodes fail: on a cluster that does as it is told."""

from collections import deque
from dataclasses import dataclass, field

import pytest

from keras_ab.bench.fleet.node import Event
from keras_ab.bench.fleet.running import MOST_TRIES, SILENCE_S, Running
from keras_ab.bench.fleet.state import state
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.words.errors import RecordError
from tests.fleet.made import NAMES, order, ship, there


@dataclass
class Cluster:
    """Nodes that make their runs at once, but for those that are told to do otherwise."""

    place: object
    folder: object
    there: list
    does: dict = field(default_factory=dict)
    """What a node does instead, once each: how many trials it ends, and how it ends itself."""
    told: deque = field(default_factory=deque)
    begun: list = field(default_factory=list)
    given_up: list = field(default_factory=list)

    def nodes(self):
        return self.there

    def begin(self, node, errand, code):
        self.begun.append((node.name, errand.node.unit, tuple(errand.trials), errand.continued))
        unit = errand.node.unit
        does = self.does.get(node.name)
        ends, how = does.popleft() if does else (None, "measured")
        if how == "silent":
            self.told.append(Event(unit=unit, what="says", said="trial 1 of 3"))
            return
        if not errand.continued:
            whole = how == "measured"
            done = errand.trials if ends is None else errand.trials[:ends]
            ship(self.place, self.folder, errand.node, done, half=0 if whole else 5, seal=whole)
        if errand.continued and how == "measured":
            self._seal(errand)
        self.told.append(Event(unit=unit, what=how))

    def _seal(self, errand):
        """Go on with a run: as another attempt here, for a simulated one cannot be continued."""
        again = errand.node.model_copy(update={"attempt": errand.node.attempt + 1})
        ship(self.place, self.folder, again, errand.trials)

    def events(self, timeout_s):
        told, self.told = list(self.told), deque()
        return told

    def give_up(self, unit):
        self.given_up.append(unit)


@pytest.fixture
def running(tmp_path):
    def made(there, order, does=None, now=lambda: 0.0):
        place = store(tmp_path / "store")
        does = {name: deque(what) for name, what in (does or {}).items()}
        cluster = Cluster(place, tmp_path, list(there), does)
        return Running(cluster, place, order, list(there), lambda _: None, now=now), cluster

    return made


def test_each_unit_has_a_node_of_its_kind(running):
    nodes = [there("a", "cpu"), there("b", "gpu")]
    run, cluster = running(nodes, order({"cpu": 1, "gpu": 1}))
    assert all(unit.complete for unit in run.run())
    assert sorted(cluster.begun) == [
        ("a", "cpu-1", tuple(NAMES), False),
        ("b", "gpu-1", tuple(NAMES), False),
    ]


def test_repeats_are_on_different_nodes(running):
    run, cluster = running([there("a"), there("b"), there("c")], order({"cpu": 3}, repeat=3))
    assert all(unit.complete for unit in run.run())
    assert sorted(name for name, *_ in cluster.begun) == ["a", "b", "c"]


def test_a_repeat_whose_node_is_lost_waits_rather_than_to_be_measured_twice_on_one(running):
    run, cluster = running(
        [there("a"), there("b")], order({"cpu": 2}, repeat=2), {"a": [(0, "failed")]}
    )
    found = run.run()
    assert sorted(unit.complete for unit in found) == [False, True]
    assert [name for name, *_ in cluster.begun] == ["a", "b"]


def test_what_a_lost_node_has_ended_is_not_measured_again(running):
    run, cluster = running([there("a"), there("b")], order({"cpu": 1}), {"a": [(2, "failed")]})
    (unit,) = run.run()
    assert unit.complete
    assert cluster.begun == [
        ("a", "cpu-1", tuple(NAMES), False),
        ("b", "cpu-1", tuple(NAMES[2:]), False),
    ]
    ended = [name for attempt in unit.attempts for name in attempt.ended]
    assert sorted(ended) == sorted(NAMES)


def test_a_process_that_is_lost_alone_goes_on_where_it_was(running):
    run, cluster = running([there("a"), there("b")], order({"cpu": 1}), {"a": [(1, "cut off")]})
    assert run.run()[0].complete
    assert cluster.begun == [
        ("a", "cpu-1", tuple(NAMES), False),
        ("a", "cpu-1", tuple(NAMES[1:]), True),
    ]


def test_a_node_that_comes_back_by_another_id_goes_on(running):
    run, cluster = running([there("a")], order({"cpu": 1}), {"a": [(1, "failed")]})
    cluster.there.append(there("a", id="id-again"))
    assert run.run()[0].complete
    assert [(name, continued) for name, _, _, continued in cluster.begun] == [
        ("a", False),
        ("a", True),
    ]


@pytest.mark.parametrize(("allow", "goes_on"), [([], False), (["versions"], True)])
def test_a_node_that_comes_back_with_other_versions_is_left_out(running, allow, goes_on):
    told = order({"cpu": 1}).model_copy(update={"allow": allow})
    run, cluster = running([there("a")], told, {"a": [(1, "failed")]})
    said = []
    run.say = said.append
    cluster.there.append(there("a", id="id-again", software={"python": "3.99"}))
    assert run.run()[0].complete == goes_on
    assert any("is back with other versions" in line for line in said) != goes_on


def test_a_unit_is_not_tried_for_ever(running):
    run, cluster = running([there("a")], order({"cpu": 1}), {"a": [(0, "cut off")] * 9})
    assert not run.run()[0].complete
    assert len(cluster.begun) == MOST_TRIES


def test_a_store_that_is_away_when_a_unit_ends_is_asked_again(running, monkeypatch):
    run, cluster = running([there("a"), there("b")], order({"cpu": 1}), {"a": [(1, "failed")]})
    true, asked = state, []

    def away_for_a_while(*args):
        asked.append(len(cluster.begun))
        if len(asked) < 3:
            raise RecordError("a store can be read", "it is away", "wait")
        return true(*args)

    monkeypatch.setattr("keras_ab.bench.fleet.running.state", away_for_a_while)
    monkeypatch.setattr("keras_ab.bench.fleet.running.LOOK_S", 0.0)
    assert run.run()[0].complete
    assert asked == [1, 1, 1, 2]  # nothing was begun meanwhile
    assert len(cluster.begun) == 2


def test_a_node_that_falls_silent_is_given_up(running):
    times = [0.0]

    def now():
        times[0] += SILENCE_S / 2
        return times[0]

    run, cluster = running([there("a"), there("b")], order({"cpu": 1}), {"a": [(0, "silent")]}, now)
    assert run.run()[0].complete
    assert cluster.given_up == ["cpu-1"]
    assert [name for name, *_ in cluster.begun] == ["a", "b"]
