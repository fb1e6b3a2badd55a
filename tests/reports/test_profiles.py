"""What the profiler told, as the page shows it."""

from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge.estimate import Middle
from keras_ab.bench.lab.record.records import Profile
from keras_ab.bench.lab.words.steps import (
    AlivePieces,
    OperationShare,
    PeakMemory,
    StepProfile,
)
from keras_ab.reports import alive, profiles
from keras_ab.reports.page import page
from tests.reports import simulated


def times(idle: float = 1e-3, **operations: float) -> StepProfile:
    return StepProfile(
        steps=10,
        step_time_s=idle + sum(operations.values()),
        hand_over_time_s=2e-3,
        idle_time_s=idle,
        longest_gap_s=5e-4,
        operations=tuple(OperationShare(k, 2, v) for k, v in operations.items()),
    )


def around(timed: float) -> Middle:
    return Middle(timed - 0.001, timed, timed + 0.001)


BASELINE = times(MatMul=6e-3, Softmax=3e-3)
FASTER = times(MatMul=6e-3, SparseSoftmax=2e-3)


def write(path: Path, arms: dict[str, StepProfile | None], ratio: float) -> Path:
    step = {arm: ratio if number else 1.0 for number, arm in enumerate(arms)}
    scene = simulated.Scene("labels", "Does it save time?", {"classes": 10}, step, noise=1e-4)
    scene.extra = [
        Profile(trial=scene.name, arm=arm, files=f"r.traces/{arm}", step=found, reason="lost it")
        for arm, found in arms.items()
    ]
    return simulated.write(path, simulated.header("r"), [scene])


def test_rows_add_up_to_the_difference_between_the_steps() -> None:
    found = profiles.step_difference("faster", BASELINE, FASTER, None, around(-0.1))
    assert [row.operation for row in found.rows[:2]] == ["Softmax", "SparseSoftmax"]
    assert [row.share for row in found.rows] == pytest.approx([-0.3, 0.2, 0, 0])
    assert sum(row.share for row in found.rows) == pytest.approx(found.together.share)
    assert found.together.share == pytest.approx(-0.1)


def test_small_differences_share_a_row_and_still_add_up() -> None:
    many = {f"op{n}": 1e-4 * (n + 1) for n in range(30)}
    slower = {name: 2 * time for name, time in many.items()}
    found = profiles.step_difference("a", times(**many), times(**slower), None, None)
    assert len(found.rows) == profiles.MOST_ROWS + 2
    assert found.rows[0].operation == "op29"
    assert found.rows[-2].operation == "20 other operations"
    assert found.rows[-2].baseline_calls == 40
    assert sum(row.share for row in found.rows) == pytest.approx(found.together.share)


@pytest.mark.parametrize(("timed", "explains"), [(-0.1, True), (-0.09, True), (-0.2, False)])
def test_a_table_explains_a_ratio_that_it_adds_up_to(timed: float, explains: bool) -> None:
    assert (
        profiles.step_difference("faster", BASELINE, FASTER, None, around(timed)).explains
        is explains
    )


@pytest.mark.parametrize(("untraced", "explains"), [(-0.11, True), (-0.2, False)])
def test_what_counts_is_the_same_processes_without_the_profiler(
    untraced: float, explains: bool
) -> None:
    found = profiles.step_difference("faster", BASELINE, FASTER, untraced, around(-0.15))
    assert found.explains is explains
    assert "in the same processes without the profiler −" in found.says
    assert "timed in the trial −15.0 %" in found.says


def test_what_the_timing_cannot_tell_apart_is_not_called_too_far() -> None:
    wide = Middle(-0.3, -0.02, 0.3)
    found = profiles.step_difference("faster", BASELINE, FASTER, None, wide)
    assert not found.explains
    assert found.says.endswith("They agree as far as the timing can tell.")


def test_the_page_names_the_operations_and_says_whether_they_explain_the_ratio(
    tmp_path: Path,
) -> None:
    html = page(reports.load(write(tmp_path / "r.jsonl", {"a": BASELINE, "b": FASTER}, 0.9)))
    assert "Where the time goes" in html
    assert "SparseSoftmax" in html
    assert "−10.0 %" in html
    assert "The table explains the ratio." in html
    html = page(reports.load(write(tmp_path / "s.jsonl", {"a": BASELINE, "b": FASTER}, 0.5)))
    assert "Too far apart for the table to explain the ratio; a longer trace is finer" in html


def test_an_arm_that_could_not_be_traced_says_why(tmp_path: Path) -> None:
    html = page(reports.load(write(tmp_path / "r.jsonl", {"a": BASELINE, "b": None}, 0.9)))
    assert "b: lost it" in html


@pytest.mark.parametrize("time_s", [1e300, 1e-300])
def test_times_that_nobody_measured_are_left_out(tmp_path: Path, time_s: float) -> None:
    odd = times(MatMul=time_s, idle=0.0)
    runs = reports.load(write(tmp_path / "r.jsonl", {"a": odd, "b": FASTER}, 0.9))
    (shown,) = profiles.of_runs(runs.runs)
    assert [side.arm for side in shown.arms] == ["b"]
    assert shown.differences == []


def peak(earlier_bytes: int = 2**20, **pieces: int) -> PeakMemory:
    """Return a peak with so many pieces of 1 MiB."""
    held = tuple(AlivePieces(k, n, n * 2**20) for k, n in pieces.items())
    together = earlier_bytes + sum(one.held_bytes for one in held)
    return PeakMemory(in_use_bytes=together, earlier_bytes=earlier_bytes, alive=held)


def test_what_is_alive_stands_side_by_side_the_largest_first() -> None:
    found = alive.pieces_by_arm({"keep": peak(Relu=9, Sub=1), "recompute": peak(Relu=3, MatMul=4)})
    assert found == alive.PiecesByArm(
        ["keep", "recompute"],
        [
            ("Relu", ["9.00 MiB in 9", "3.00 MiB in 3"]),
            ("MatMul", ["", "4.00 MiB in 4"]),
            ("Sub", ["1.00 MiB in 1", ""]),
            ("in use before the trace", ["1.00 MiB", "1.00 MiB"]),
            ("together", ["11.0 MiB", "8.00 MiB"]),
        ],
    )


def test_kinds_that_hold_little_are_one_row() -> None:
    found = alive.pieces_by_arm({"a": peak(**{f"Op{n}": 20 - n for n in range(11)})})
    assert found is not None
    assert len(found.rows) == alive.MOST_ROWS + 3
    assert found.rows[alive.MOST_ROWS] == ("3 other operations", ["33.0 MiB in 33"])


def test_memory_that_no_machine_has_is_left_out() -> None:
    found = alive.pieces_by_arm({"a": peak(earlier_bytes=10**60), "b": peak(Relu=1)})
    assert found is not None
    assert found.arms == ["b"]
    assert alive.pieces_by_arm({"a": peak(earlier_bytes=10**60)}) is None
