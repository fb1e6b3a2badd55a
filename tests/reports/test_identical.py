"""All A/A controls of a run together: counted, drawn, and warned of where chance allows fewer."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.reports import cautions
from keras_ab.reports.identical import Identical, figure, of_run
from keras_ab.reports.page import page
from tests.reports import simulated


def run_of(folder: Path, count: int):
    scenes = [simulated.Scene("x", "?", {"n": n}, {"a": 1.0, "b": 1.1}) for n in range(count)]
    simulated.write(folder / "r.jsonl", simulated.header("r"), scenes)
    (run,) = reports.load(folder).runs
    return run


def spoilt(run, count: int) -> Identical:
    """Return a run's controls, so many of them moved away from no difference."""
    found = of_run(run)
    moved = [
        replace(f, estimate=replace(f.estimate, point=n + 2 * f.estimate.half_width))
        for n, f in enumerate(found.pairs[:count])
    ]
    still = [replace(f, estimate=replace(f.estimate, point=0.0)) for f in found.pairs[count:]]
    return Identical(moved + still, 0.95)


def test_pairs_are_counted_and_held_against_chance_by_hand(tmp_path: Path) -> None:
    run = run_of(tmp_path, 8)
    assert (len(of_run(run).pairs), of_run(run).confidence) == (8, 0.95)
    none, one, three = (spoilt(run, n) for n in (0, 1, 3))
    assert [len(found.apart) for found in (none, one, three)] == [0, 1, 3]
    assert none.chance == 1
    assert one.chance == pytest.approx(1 - 0.95**8)
    assert three.chance == pytest.approx(1 - 0.95**8 - 8 * 0.05 * 0.95**7 - 28 * 0.05**2 * 0.95**6)
    assert [found.is_more_than_chance for found in (none, one, three)] == [False, False, True]
    assert "3 of 8 identical pairs told apart at 5 %, where 0.40 would be by chance" in three.says


def test_one_pair_is_told_with_its_interval_and_not_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, 1)
    told = of_run(run).says
    e = of_run(run).pairs[0].estimate
    within = float(re.search(r"they lie within ±(\S+) %", told)[1])
    assert within == pytest.approx(100 * math.expm1(max(abs(e.low), abs(e.high))), rel=0.01)
    assert "told apart" not in told
    assert ", told apart: they lie within" in spoilt(run, 1).says
    assert "by chance" not in told


def test_a_page_draws_them_and_a_run_that_cannot_be_trusted_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, 8)
    assert "identical pairs told apart at 5 %" in page(reports.Runs([run]))
    assert cautions.of_run(run, {}) == []
    monkeypatch.setattr("keras_ab.reports.identical.of_run", lambda run: spoilt(run, 3))
    (caution,) = cautions.of_run(run, {})
    assert "told its own identical arms apart too often" in caution.says


def test_a_wild_control_leaves_the_picture_readable(tmp_path: Path) -> None:
    found = spoilt(run_of(tmp_path, 8), 8)
    assert "nan" not in figure(found)


def test_trials_without_blocks_enough_are_not_counted(tmp_path: Path) -> None:
    scene = simulated.Scene("x", "?", {"n": 1}, {"a": 1.0, "b": 1.1}, blocks=3)
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    assert of_run(reports.load(tmp_path).runs[0]) is None
