"""The table at the end of a benchmark run fits the terminal and leaves nothing out."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.records import Failure
from keras_ab.reports.legible import legible, short_names
from keras_ab.reports.loading import read_and_judge
from keras_ab.reports.terminal import WIDTH, coloured, verdict_table, warnings
from tests.reports import scenes, simulated
from tests.reports.test_page import HOSTILE, hostile_scene


@pytest.fixture(scope="module")
def table(folder: Path) -> str:
    return table_of(folder / "cpu.jsonl")


def table_of(path: Path) -> str:
    return verdict_table(reports.load(path).runs[0])


@pytest.mark.parametrize(
    "words",
    [
        "labels classes=1000, against one_hot",
        "0.931× [0.924, 0.939]  better",
        "−0.019 worse",
        "trade          1.31×",
        "step time inconclusive: between",
        "labels.compact (sparse_uint16: stored labels at most 0.0100×): 0.000500×",
        "undecided: “",
        "jit.at-least-free",
        "Ratios to the trial's baseline, with their 95 % intervals: less is better.",
        "Quality is a difference: more is better.",
        "invalid: recompute, each: a guard is broken",
        "failed: accumulation, accumulate_fused: raised during sampling",
        "not measured here: mixed_precision, float16: float16 matrix units",
    ],
)
def test_the_table_says(words: str, table: str) -> None:
    assert words in " ".join(table.split("\n")) or words in table


def test_a_claim_is_in_its_words(table: str) -> None:
    claims = table.partition("\nclaims\n")[2]
    assert re.search(r"^  (confirmed|refuted|undecided|not measured here): “[A-Z]", claims, re.M)


def test_a_trial_says_how_long_a_step_of_its_baseline_takes(table: str) -> None:
    assert re.search(r"^labels classes=1000, against one_hot at [\d.]+ [mµ]s a step$", table, re.M)


def test_what_there_is_no_column_for_stands_below(table: str) -> None:
    below = re.findall(r"^    (?:memory|quality|energy) .*", table, re.M)
    assert any("quality −0.019 worse" in line for line in below)


def test_answers_have_colours_where_there_are_any(table: str) -> None:
    shown = coloured(table)
    assert "\x1b[33mtrade\x1b[0m" in shown
    assert "  \x1b[32mconfirmed\x1b[0m: “" in shown
    assert re.sub(r"\x1b\[\d+m", "", shown) == table


def test_an_estimate_without_an_interval_shows_none(tmp_path: Path) -> None:
    scene = replace(scenes.scenes()[0], blocks=1)
    table = table_of(simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene]))
    assert "no interval yet" in table
    assert "1 block: too few to conclude anything" in table
    assert "∞" not in table


def test_what_most_trials_share_is_warned_of_once(tmp_path: Path) -> None:
    few = [replace(scene, blocks=1) for scene in scenes.scenes()[:2]]
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), few)
    told = " ".join(warnings(read_and_judge(path)).split())
    assert told == (
        "warnings 2 of 2 trials: fewer than 5 blocks finished: nothing is concluded; "
        "to do: let the trial run to its end"
    )


def test_a_run_that_was_cut_off_is_warned_of_and_a_sound_one_is_not(tmp_path: Path) -> None:
    sound = [scenes.scenes()[0]]
    whole = simulated.write(tmp_path / "a.jsonl", simulated.header("a"), sound)
    assert warnings(read_and_judge(whole)) == ""
    cut = simulated.write(tmp_path / "b.jsonl", simulated.header("b"), sound, seal=False)
    told = warnings(read_and_judge(cut))
    assert told.startswith("warnings\n  cut off before its end: no seal")
    assert "to do: continue it with --ab-resume" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("scale", "better", "says"),
    [
        ("difference", "more", " Quality is a difference: more is better."),
        ("difference", "less", " Quality is a difference: less is better."),
        ("ratio", "more", " Quality is a ratio: more is better."),
        ("ratio", "less", ""),
    ],
)
def test_it_says_what_quality_is(tmp_path: Path, scale: str, better: str, says: str) -> None:
    scene = scenes.scenes()[2]
    declared = simulated.declared(scene)
    metrics = [
        replace(m, scale=scale, better=better) if m.per == "seed" else m for m in declared.metrics
    ]
    scene.declared_as = declared.model_copy(update={"metrics": metrics})
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    legend, _, _ = table_of(path).partition("\n\n")
    assert " ".join(legend.split()).endswith(f"says what is open.{says}")


def test_qualities_of_several_kinds_are_told_apart(tmp_path: Path) -> None:
    loss, accuracy = scenes.scenes()[2], replace(scenes.scenes()[2], case={"width": 8})
    declared = simulated.declared(loss)
    metrics = [
        replace(m, title="loss", scale="ratio", better="less") if m.per == "seed" else m
        for m in declared.metrics
    ]
    loss.declared_as = declared.model_copy(update={"metrics": metrics})
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [loss, accuracy])
    told = " ".join(table_of(path).split())
    assert "Quality as test accuracy is a difference: more is better." in told


def failed_late(arm: str, tmp_path: Path) -> str:
    """Return the table of a trial in which one arm came to NaN while it learnt."""
    scene = scenes.scenes()[2]
    names = {"trial": scene.name, "arm": arm, "stage": "quality"}
    scene.extra = [Failure(**names, what="not finite", message="the outcome of seed 1 is NaN")]
    return table_of(simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene]))


def test_a_baseline_that_failed_after_it_was_timed_is_told(tmp_path: Path) -> None:
    baseline = simulated.declared(scenes.scenes()[2]).arms[0].name
    told = " ".join(failed_late(baseline, tmp_path).split())
    assert f"{baseline}, the baseline: not finite during quality: the outcome of seed 1" in told


def test_what_failed_after_it_was_timed_is_told_once(tmp_path: Path) -> None:
    table = failed_late("sm3", tmp_path)
    assert re.search(r"^  sm3 +failed +1\.0", table, re.M)
    assert " ".join(table.split()).count("the outcome of seed 1 is NaN") == 1


def test_every_line_fits(table: str) -> None:
    assert max(map(len, table.splitlines())) <= WIDTH


def test_hostile_names_fit_and_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [hostile_scene()])
    table = table_of(path)
    assert max(map(len, table.splitlines())) <= WIDTH
    assert not set(table) & {"\x1b", "\x00", "\u202e", "\r"}


def test_no_trials_make_no_table(tmp_path: Path) -> None:
    assert table_of(simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [])) == ""


def test_short_names_keep_what_tells_siblings_apart() -> None:
    declared = [simulated.declared(scene) for scene in scenes.scenes()[:3]]
    assert short_names(declared) == ["labels classes=10", "labels classes=1000", "optimizers"]


def test_legible_bounds_length_and_drops_what_cannot_be_seen() -> None:
    assert legible("a\x00b\u202ec\ud800") == "a�b�c�"
    assert legible("x" * 30_000).endswith("… (30000 characters in all)")
    assert "<script>" in legible(HOSTILE)
