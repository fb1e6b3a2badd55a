"""The page on kinds: by kind and node, with the spread, and of one node what it is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.declared import Node
from keras_ab.reports.kinds import MOST_NODES, kinds, told_apart
from keras_ab.reports.machines import machines
from keras_ab.reports.page import page
from keras_ab.reports.verify import verify
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
    started: str = "2026-01-02T03:04:05+00:00",
) -> Path:
    """Write a run of a node of a kind."""
    told = Node(name=node, kind=kind, fleet="f", unit=node, attempt=attempt)
    head = header(told.run, machine(0 if kind == "fast" else 1))
    head = head.model_copy(update={"node": told, "started": started})
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


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return runs of two nodes more than are told one by one, the last begun last."""
    for number in range(MOST_NODES + 2):
        started = f"2026-02-01T00:{number:02d}:00+00:00"
        made(tmp_path, f"n{number}", "fast", number, started=started)
    return tmp_path


def told(runs: reports.Runs) -> list[str]:
    return [m.runs[-1].header.node.name for m in told_apart(machines(runs.runs))]  # type: ignore[union-attr]


def test_of_many_nodes_of_a_kind_the_newest_is_told_and_all_are_counted(many: Path) -> None:
    runs = reports.load(many)
    assert told(runs) == [f"n{MOST_NODES + 1}"]
    html = page(runs)
    assert f"{MOST_NODES + 1} more nodes" in html
    assert f"{MOST_NODES + 2} nodes: n0, n1" in html
    (kind,) = kinds(runs.runs)
    row = next(row for row in kind.rows if row.arm == "sparse_int32")
    assert len(row.each) == MOST_NODES + 2
    assert sum(int(part.split()[0]) for part in row.counted.split(", ")) == MOST_NODES + 2
    assert row.counted in html
    assert len(html) < 1.5 * len(page(reports.load(many / f"f.n{MOST_NODES + 1}.1.jsonl")))


def test_few_nodes_of_a_kind_are_told_all(fleet: Path) -> None:
    assert told(reports.load(fleet)) == ["a1", "a2", "a3", "b1"]


def test_nodes_that_share_trials_are_told_until_all_trials_are(many: Path) -> None:
    other = scenes()[:1]
    made(many, "shared", "fast", 70, trials=other, started="2026-01-01T00:00:00+00:00")
    assert told(reports.load(many)) == ["shared", f"n{MOST_NODES + 1}"]


def test_a_page_of_many_nodes_is_held_against_their_runs(many: Path, tmp_path: Path) -> None:
    written = tmp_path / "page.html"
    written.write_text(page(reports.load(many)), encoding="utf-8")
    assert {entry.state for entry in verify(written, many)} == {"holds"}


def test_what_counts_for_no_kind_is_said_of_nodes_that_are_not_told(many: Path) -> None:
    broken = [replace(scene, guard_error=0.5) for scene in TRIALS]
    cut_off = [replace(scene, end=None) for scene in TRIALS]
    old = "2026-01-01T00:00:00+00:00"
    made(many, "broken", "fast", 71, trials=broken, started=old)
    made(many, "cut", "fast", 72, trials=cut_off, started=old)
    runs = reports.load(many)
    assert "broken" not in told(runs)
    (kind,) = kinds(runs.runs)
    first, second = kind.left_out
    assert first.startswith("broken: labels, ")
    assert "a guard is broken" in first
    assert second.endswith("cut off before its end")
    assert "2 trials that count for no kind" in page(runs)
