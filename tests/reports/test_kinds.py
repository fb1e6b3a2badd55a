"""The page on kinds: by kind and node, with the spread, and of one node what it is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.imported import Imported
from keras_ab.bench.lab.record.records import Absent, Failure
from keras_ab.reports.kinds import MOST_NODES, kinds, told_apart
from keras_ab.reports.machines import machines
from keras_ab.reports.page import page
from keras_ab.reports.verify import verify
from tests.reports.scenes import scenes
from tests.reports.simulated import Scene, header, machine, write
from tests.reports.test_compare import UPGRADED

TRIALS = scenes()[1:2]
ARMS = list(TRIALS[0].step)


def made(
    folder: Path,
    node: str,
    kind: str,
    seed: int,
    attempt: int = 1,
    trials: Sequence[Scene] = TRIALS,
    started: str = "2026-01-02T03:04:05+00:00",
    **more: Any,
) -> Path:
    """Write a run of a node of a kind."""
    told = Node(name=node, kind=kind, fleet="f", unit=node, attempt=attempt)
    head = header(told.run, machine(0 if kind == "fast" else 1))
    head = head.model_copy(update={"node": told, "started": started} | more)
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


def rows_of(folder: Path) -> dict[tuple[str, ...], str]:
    """Return what the rows of the fast kind say beside others, by the names of their nodes."""
    fast, *_ = kinds(reports.load(folder).runs)
    return {row.names: row.beside for row in fast.rows}


def imported(digit: str) -> list[Scene]:
    files = {"bench_labels.py": digit * 64, "helper.py": "f" * 64}
    told = [Imported(trial=TRIALS[0].name, arms=ARMS, files=files)]
    return [replace(TRIALS[0], extra=told)]


def test_nodes_of_other_versions_are_not_judged_with_the_rest(fleet: Path) -> None:
    assert rows_of(fleet) == {("a1", "a2", "a3"): ""}
    environment = header("").environment | {"packages": UPGRADED}
    made(fleet, "a4", "fast", 61, environment=environment)
    beside = rows_of(fleet)
    assert beside["a4",] == "versions: TensorFlow 2.22.0, Keras 3.15.1, Python 3.11.7"
    assert beside["a1", "a2", "a3"].startswith("versions: TensorFlow 2.21.0")
    assert "versions: TensorFlow 2.22.0" in page(reports.load(fleet))


@pytest.mark.parametrize(
    ("plan", "says"),
    [({"margin": 0.1}, "margin: 10.0 %"), ({"confidence": 0.99}, "level: 99 %")],
)
def test_nodes_of_other_plans_are_not_judged_with_the_rest(
    plan: dict[str, float], says: str, fleet: Path
) -> None:
    made(fleet, "a0", "fast", 61, plan=replace(header("").plan, **plan))
    assert rows_of(fleet)["a0",] == says
    fast, *_ = kinds(reports.load(fleet).runs)
    margins = {row.names: row.finding.thresholds.margin for row in fast.rows}
    assert (margins["a0",] != margins["a1", "a2", "a3"]) == ("margin" in plan)


def test_nodes_that_imported_other_code_are_not_judged_with_the_rest(tmp_path: Path) -> None:
    for seed, (node, digit) in enumerate((("a1", "a"), ("a2", "a"), ("a3", "b"))):
        made(tmp_path, node, "fast", seed, trials=imported(digit))
    assert rows_of(tmp_path) == {
        ("a1", "a2"): f"bench_labels.py: {'a' * 12}",
        ("a3",): f"bench_labels.py: {'b' * 12}",
    }
    (own,) = imported("a")
    one = Imported(trial=own.name, arms=ARMS[1:2], files={"fast.py": "c" * 64})
    made(tmp_path, "a4", "fast", 9, trials=[replace(own, extra=[*own.extra, one])])
    made(tmp_path, "a5", "fast", 10)
    beside = rows_of(tmp_path)
    assert set(beside) == {("a1", "a2"), ("a3",), ("a4",), ("a5",)}
    assert f"fast.py: {'c' * 12} for sparse_int32" in beside["a4",]
    assert beside["a5",].startswith("imports: not recorded; bench_labels.py: none; ")
    assert beside["a5",].endswith("and 1 more")


def test_an_arm_that_failed_on_a_node_is_no_evidence_and_is_named(fleet: Path) -> None:
    names = {"trial": TRIALS[0].name, "arm": "sparse_int32", "stage": "quality"}
    nan = Failure(**names, what="not finite", message="the outcome of seed 1 is NaN")
    for node, lost in (("a4", ()), ("a5", ("sparse_int32",))):
        made(fleet, node, "fast", 61, trials=[replace(TRIALS[0], lost=lost, extra=[nan])])
    fast, *_ = kinds(reports.load(fleet).runs)
    nodes = {row.arm: row.names for row in fast.rows}
    assert nodes["sparse_int32"] == ("a1", "a2", "a3")
    assert nodes["sparse_uint16"] == ("a1", "a2", "a3", "a4", "a5")
    assert len(fast.left_out) == 2
    for node, line in zip(("a4", "a5"), fast.left_out, strict=True):
        assert line.startswith(f"{node}: labels, ")
        assert "sparse_int32: failed: not finite during quality" in line


def test_an_arm_that_failed_before_it_told_its_code_leaves_the_others_their_node(
    tmp_path: Path,
) -> None:
    own = Imported(trial=TRIALS[0].name, arms=[ARMS[1]], files={"own.py": "a" * 64})
    rest = Imported(
        trial=TRIALS[0].name, arms=[*ARMS[:1], *ARMS[2:]], files={"shared.py": "b" * 64}
    )
    for seed, node in enumerate(("a1", "a2")):
        made(tmp_path, node, "fast", seed, trials=[replace(TRIALS[0], extra=[own, rest])])
    names = {"trial": TRIALS[0].name, "arm": ARMS[1], "stage": "build"}
    failed = Failure(**names, what="raised", message="out of memory")
    trial = replace(TRIALS[0], lost=(ARMS[1],), extra=[rest, failed])
    made(tmp_path, "a3", "fast", 9, trials=[trial])
    fast, *_ = kinds(reports.load(tmp_path).runs)
    nodes = {row.arm: row.names for row in fast.rows}
    assert nodes[ARMS[1]] == ("a1", "a2")
    assert nodes[ARMS[2]] == ("a1", "a2", "a3")
    assert not any(row.beside for row in fast.rows)


def test_an_arm_of_too_few_blocks_is_no_evidence_and_is_named(fleet: Path) -> None:
    made(fleet, "a4", "fast", 61, trials=[replace(TRIALS[0], blocks=1)])
    fast, *_ = kinds(reports.load(fleet).runs)
    assert {row.names for row in fast.rows} == {("a1", "a2", "a3")}
    assert {line.rpartition(": ")[2] for line in fast.left_out} == {
        "1 block of the 5 that it takes"
    }
    assert len(fast.left_out) == len(ARMS) - 1


def test_an_arm_that_one_node_has_not_is_named(fleet: Path) -> None:
    why = Absent(trial=TRIALS[0].name, arm="sparse_int32", reason="no such dtype")
    made(fleet, "a4", "fast", 61, trials=[replace(TRIALS[0], lost=("sparse_int32",), extra=[why])])
    fast, *_ = kinds(reports.load(fleet).runs)
    (line,) = fast.left_out
    assert line.startswith("a4: labels, ")
    assert line.endswith("sparse_int32: not measured here: no such dtype")


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
    assert "2 trials or arms that count for no kind" in page(runs)
