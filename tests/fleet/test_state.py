"""What has become of each unit, by the store alone."""

import pytest

from keras_ab.bench.fleet.state import states, told
from keras_ab.bench.lab.record.store import Taken, store
from tests.fleet.made import FLEET, NAMES, node, order, ship


@pytest.fixture
def place(tmp_path):
    return store(tmp_path / "store")


def test_nothing_has_begun(place):
    (state,) = states(place, order({"cpu": 1}))
    assert state.rest == NAMES
    assert state.left_open is None
    assert "0 of 1 unit complete" in told([state])


def test_a_whole_run_completes_its_unit(place, tmp_path):
    ship(place, tmp_path, node("cpu-1"), NAMES)
    (state,) = states(place, order({"cpu": 1}))
    assert state.complete
    assert state.left_open is None
    assert "on node n1: sealed, 3 trials ended" in told([state])


def test_a_run_that_was_cut_off_leaves_the_rest(place, tmp_path):
    ship(place, tmp_path, node("cpu-1"), NAMES[:1], half=9, seal=False)
    (state,) = states(place, order({"cpu": 1}))
    assert state.rest == NAMES[1:]
    assert state.left_open.claim.run == f"{FLEET}.cpu-1.1"
    assert "not sealed, 1 trial ended" in told([state])


def test_a_trial_that_ended_in_an_earlier_run_is_not_left(place, tmp_path):
    ship(place, tmp_path, node("cpu-1"), NAMES[:1], half=9, seal=False)
    ship(place, tmp_path, node("cpu-1", "n2", 2), NAMES[1:])
    (state,) = states(place, order({"cpu": 1}))
    assert state.complete
    assert [attempt.claim.node for attempt in state.attempts] == ["n1", "n2"]


def test_an_attempt_is_claimed_by_one_node(place, tmp_path):
    ship(place, tmp_path / "a", node("cpu-1"), NAMES[:1], seal=False)
    with pytest.raises(Taken):
        ship(place, tmp_path / "b", node("cpu-1", "n2"), NAMES[:1], seal=False)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04.", b'{"fleet":"other"}'])
def test_what_no_fleet_wrote_is_passed_over(place, tmp_path, content):
    ship(place, tmp_path, node("cpu-1"), NAMES)
    place.create(f"{FLEET}/cpu-1/2.json", content)
    place.create(f"{FLEET}/cpu-1/{FLEET}.cpu-1.2.jsonl", content)
    (state,) = states(place, order({"cpu": 1}))
    assert state.complete
