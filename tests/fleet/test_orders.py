"""What is asked for, divided among nodes; what may be asked; what the store keeps of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ab.bench.fleet import orders
from keras_ab.bench.fleet.asked import newest
from keras_ab.bench.fleet.orders import Order, checked, shares
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError

TRIALS = {"a": 10.0, "b": 60.0, "c": 30.0, "d": 20.0}
KINDS = {"h100": 4, "cpu": 2}


def divided(trials, kinds, *how, **more):
    """Divide the same trials among the nodes of each kind."""
    return orders.divided(dict.fromkeys(kinds, trials), kinds, *how, **more)


def test_by_default_one_node_of_each_kind_measures_all():
    units = divided(TRIALS, KINDS)
    assert [(u.name, u.kind, u.repeat, u.trials) for u in units] == [
        ("h100-1", "h100", 1, list(TRIALS)),
        ("cpu-1", "cpu", 1, list(TRIALS)),
    ]


def test_repeated_the_same_trials_are_on_many_nodes():
    units = divided(TRIALS, KINDS, 2)
    assert [(u.kind, u.repeat) for u in units] == [("h100", 1), ("h100", 2), ("cpu", 1), ("cpu", 2)]
    assert all(u.trials == list(TRIALS) for u in units)
    assert len(divided(TRIALS, KINDS, None)) == 6


def test_shared_each_trial_is_measured_once_a_kind_in_parts_of_like_length():
    units = divided(TRIALS, KINDS, shard=True)
    on_h100 = [u.trials for u in units if u.kind == "h100"]
    assert on_h100 == [["b"], ["c"], ["d"], ["a"]]
    assert [u.trials for u in units if u.kind == "cpu"] == [["b"], ["a", "c", "d"]]


def test_shared_and_repeated_each_repeat_has_all():
    units = divided(TRIALS, {"h100": 5}, 2, shard=True)
    by_repeat = [sorted(t for u in units if u.repeat == n for t in u.trials) for n in (1, 2)]
    assert by_repeat == [["a", "b", "c", "d"]] * 2
    assert len(units) == 4


def test_each_kind_has_trials_of_its_own():
    own = {"h100": {"large": 9.0}, "cpu": {"small": 1.0}}
    units = orders.divided(own, {"h100": 1, "cpu": 1})
    assert [(u.kind, u.trials) for u in units] == [("h100", ["large"]), ("cpu", ["small"])]


def test_more_repeats_than_nodes_are_refused():
    with pytest.raises(DeclarationError, match="there are 2 of cpu") as caught:
        divided(TRIALS, KINDS, 3)
    assert caught.value.do


def test_kinds_of_like_names_have_units_of_their_own():
    names = [
        u.name for u in divided(TRIALS, {"AMD EPYC, 2 cores": 1, "AMD EPYC: 2 cores": 1, "…": 1})
    ]
    assert names == ["amd-epyc-2-cores-1", "amd-epyc-2-cores-2", "node-1"]


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1e4), min_size=1), st.integers(1, 9))
def test_shares_hold_every_trial_once_and_no_share_is_empty(trials, nodes):
    parts = shares(trials, nodes)
    assert sorted(name for part in parts for name in part) == sorted(trials)
    assert all(parts)
    assert len(parts) == min(nodes, len(trials))


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench/bench_x.py", "-k", "labels and not quick", "--ab-budget", "5"],
        ["--ab-cases=full", "-m", "-weird", "bench_x.py::x[a:1-b]"],
        [],
    ],
)
def test_paths_expressions_and_options_of_ours_are_handed_on(arguments):
    assert checked(arguments) == arguments


@pytest.mark.parametrize(
    "argument",
    ["-p", "-cevil.ini", "--rootdir=/", "/etc/bench_x.py", "../bench_x.py", "--ab-runs=/tmp",
     "--ab-resume", "--ab-node={}", "--ab-trials", "--pyargs", "-o", "--override-ini=x=y"],
)  # fmt: skip
def test_what_could_choose_other_code_is_not(argument):
    with pytest.raises(DeclarationError, match="hands on"):
        checked([argument])


def order(**changed):
    told = {"fleet": "2026-01-02T0304-abcdef", "asked": "now", "arguments": ["-k", "tiny"]}
    return Order(**(told | {"backend": "plain", "units": divided(TRIALS, KINDS)} | changed))


def test_an_order_is_kept_once(tmp_path):
    place = store(tmp_path)
    orders.keep(place, order())
    assert orders.kept(place, order().fleet) == order()
    assert orders.fleets(place) == [order().fleet]
    with pytest.raises(RecordError, match="is there already"):
        orders.keep(place, order(backend="jax"))


def test_an_order_of_before_versions_were_kept_is_still_read(tmp_path):
    place, told = store(tmp_path), json.loads(order().model_dump_json())
    del told["software"]
    place.create(orders.place(order().fleet), json.dumps(told).encode())
    assert orders.kept(place, order().fleet) == order()


def test_of_two_fleets_of_one_minute_the_newest_is_the_one_that_was_asked_for_last(tmp_path):
    place = store(tmp_path)
    for fleet, asked in [
        ("2026-01-02T0303-ffffff", "2026-01-02T03:03:59.999+00:00"),
        ("2026-01-02T0304-ffffff", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T0304-aaaaaa", "2026-01-02T03:04:05.002+00:00"),
    ]:
        orders.keep(place, order(fleet=fleet, asked=asked))
    assert newest(place) == "2026-01-02T0304-aaaaaa"


def test_an_order_that_names_other_code_is_not_carried_out(tmp_path):
    place = store(tmp_path)
    spoilt = json.loads(order().model_dump_json()) | {"arguments": ["-p", "evil"]}
    place.create(orders.place(order().fleet), json.dumps(spoilt).encode())
    with pytest.raises(RecordError, match="nothing of it was carried out"):
        orders.kept(place, order().fleet)
