"""The page on kinds: by kind and node, with the spread, and of one node what it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.declared import Node
from keras_ab.reports.kinds import kinds
from keras_ab.reports.machines import machines
from keras_ab.reports.page import page
from tests.reports.scenes import scenes
from tests.reports.simulated import Scene, header, machine, write

TRIALS = scenes()[1:2]


def made(
    folder: Path,
    node: str,
    kind: str,
    seed: int,
    attempt: int = 1,
    trials: Sequence[Scene] = TRIALS,
) -> Path:
    """Write a run of a node of a kind."""
    told = Node(name=node, kind=kind, fleet="f", unit=node, attempt=attempt)
    head = header(told.run, machine(0 if kind == "fast" else 1))
    head = head.model_copy(update={"node": told})
    return write(folder / f"{told.run}.jsonl", head, list(trials), first_seed=seed)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    for seed, node in enumerate(("a1", "a2", "a3")):
        made(tmp_path, node, "fast", seed)
    made(tmp_path, "b1", "slow", 9)
    return tmp_path


def test_a_kind_is_judged_by_its_nodes(fleet: Path) -> None:
    fast, slow = kinds(reports.load(fleet).runs)
    assert (fast.name, fast.nodes) == ("fast", ("a1", "a2", "a3"))
    row = next(row for row in fast.rows if row.arm == "sparse_int32")
    assert row.finding.estimate.blocks == 3
    assert row.verdict in ("better", "inconclusive") or "would settle it" in row.verdict
    assert "%" in row.spread
    assert [name for name, _ in row.each] == ["a1", "a2", "a3"]
    assert slow.nodes == ("b1",)


def test_of_one_node_it_says_that_it_speaks_of_this_node_alone(fleet: Path) -> None:
    _, slow = kinds(reports.load(fleet).runs)
    assert all(row.says.endswith("on b1, this node alone") for row in slow.rows)
    assert {row.verdict for row in slow.rows} == {"of the kind, nothing is known"}
    html = page(reports.load(fleet))
    assert "what follows speaks of this node alone, not of its kind" in html
    assert "3 nodes: a1, a2, a3." in html


def test_nodes_of_a_kind_are_machines_of_their_own(fleet: Path) -> None:
    names = [machine.name for machine in machines(reports.load(fleet).runs)]
    assert names == [f"Simulated processor A, 8 cores, node a{n}" for n in (1, 2, 3)] + [
        "Simulated processor B, 8 cores, node b1"
    ]


def test_a_node_counts_once_with_its_newest_whole_trial(fleet: Path) -> None:
    made(fleet, "a1", "fast", 50, attempt=2)
    cut_off = [s for s in scenes() if s.end is None or s.unfinished_rounds][:1]
    made(fleet, "a4", "fast", 60, trials=cut_off)
    fast, _ = kinds(reports.load(fleet).runs)
    rows = [row for row in fast.rows if row.arm == "sparse_int32"]
    assert [row.names for row in rows] == [("a1", "a2", "a3")]


def test_other_code_is_another_experiment(fleet: Path) -> None:
    path = made(fleet, "a4", "fast", 61)
    *lines, _ = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines).replace("optimizer='sparse_int32'", "optimizer='another'"))
    fast, _ = kinds(reports.load(fleet).runs)
    assert {row.names for row in fast.rows} == {("a1", "a2", "a3"), ("a4",)}


def test_without_a_fleet_there_is_no_such_section(folder: Path) -> None:
    runs = reports.load(folder)
    assert kinds(runs.runs) == []
    assert 'id="kinds"' not in page(runs)
