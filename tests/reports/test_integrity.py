"""A run that was edited and sealed anew shows it; one that was measured raises no doubt."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.run_file import RunWriter, read_run
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.integrity import doubts
from keras_ab.reports.page import page
from tests.bench.test_sweeps import GROWTH, GrowingLab, load_experiment
from tests.reports import simulated
from tests.reports.test_compare import jit

Lines = list[dict[str, Any]]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jsonl"))


def tampered(folder: Path, change: Callable[[Lines], Lines]) -> str:
    """Return the page on a run of which the records were changed, sealed anew."""
    path = simulated.write(folder / "r.jsonl", simulated.header("r"), [jit()], seal=False)
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [head, *change(lines)]))
    RunWriter.reopen(read_run(path)).seal()
    runs = reports.load(path)
    assert runs.runs[0].run.sealed
    return " ".join(page(runs).split())


def kind(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line["kind"] == name


def renumbered(lines: Lines) -> Lines:
    """Give the samples of one block out as another's, and the other's as its."""
    swap = {0: 1, 1: 0}
    for line in lines:
        if line["kind"] in ("round", "block"):
            line["block"] = swap.get(line["block"], line["block"])
    return sorted(lines, key=lambda line: line.get("block", -1 if line["kind"] != "end" else 99))


def without_slow_rounds(lines: Lines) -> Lines:
    return [line for line in lines if not (line["kind"] == "round" and line["round"] == 3)]


def without_a_block(lines: Lines) -> Lines:
    return [line for line in lines if line.get("block") != 2]


def without_the_last_block(lines: Lines) -> Lines:
    return [line for line in lines if line.get("block") != 7]


def with_a_copied_block(lines: Lines) -> Lines:
    source = [line["step_time_s"] for line in lines if line.get("block") == 0 and "round" in line]
    target = [line for line in lines if line.get("block") == 1 and "round" in line]
    for line, times in zip(target, source, strict=True):
        line["step_time_s"] = times
    return lines


def with_a_block_after_the_end(lines: Lines) -> Lines:
    return [*(line for line in lines if line.get("block") != 7),
            *(line for line in lines if line.get("block") == 7)]  # fmt: skip


def without_control(lines: Lines) -> Lines:
    for line in lines:
        if line["kind"] == "block":
            line["values"].pop("control")
    return lines


def without_guards(lines: Lines) -> Lines:
    return [line for line in lines if line["kind"] != "guard"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (renumbered, "in 2 blocks the arms did not come in the order that the run’s seed gives"),
        (without_slow_rounds, "rounds are missing from the numbering of 8 blocks"),
        (without_a_block, "blocks are missing from the numbering"),
        (without_the_last_block, "it ended as precise after 7 blocks, and asked for 8"),
        (with_a_copied_block, "1 block with the same samples as another"),
        (with_a_block_after_the_end, "there are rounds or blocks after the trial’s end"),
        (without_control, "there are blocks without the control"),
        (without_guards, "4 checks of guards are missing"),
    ],
)
def test_an_edited_run_that_was_sealed_anew_shows_it(
    change: Callable[[Lines], Lines], says: str, tmp_path: Path
) -> None:
    assert f"not as the lab writes it: {says}" in tampered(tmp_path, change).replace("&#39;", "’")


def test_a_run_that_nobody_touched_raises_no_doubt(tmp_path: Path) -> None:
    assert "not as the lab writes it" not in tampered(tmp_path, lambda lines: lines)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_was_measured_raises_no_doubt_whatever_its_schema(path: Path) -> None:
    run = read_run(path)
    for data in group(run.records).values():
        assert list(doubts(data, run.header.plan)) == []


def test_what_the_loop_measures_now_raises_no_doubt() -> None:
    plan, lab = Plan(min_blocks=5, max_blocks=5, rounds=9), GrowingLab(noise=0.05)
    case = load_experiment(GROWTH, "growth").cases[0]
    (data,) = group(lab.measure(case, plan)).values()
    assert list(doubts(data, plan)) == []
    assert data.rounds
