"""The study of the time to a verdict: its arithmetic by hand, and that it runs to its end."""

import math

import numpy as np
import pytest

from tests.bench.test_moderation import trial
from tests.studies.tables import README, between, kept
from tests.studies.time_to_verdict import InTurn, Scores, cell, lab_says

ALL = np.arange(10)


def scores(threshold=None):
    same = np.array([np.linspace(-0.1, 0.1, 10), np.linspace(-0.02, 0.02, 10)])
    three = np.full((2, 10), 0.03)
    ten = np.array([[0.11] * 9 + [0.0], [0.11] * 8 + [0.0] * 2])
    return Scores(np.array([4.0, 8.0]), {"same": same, "three": three, "ten": ten}, threshold)


def test_the_threshold_is_the_least_that_keeps_the_level():
    assert scores().thresholds(ALL) == pytest.approx([0.1, 0.02])
    assert scores().false_alarms() == 0
    assert scores(0.05).false_alarms() == pytest.approx(0.3)  # 6 of 20 lie beyond


def test_the_time_is_of_the_least_effort_that_finds_nine_of_ten():
    assert scores().time_to_verdict("three", ALL) == 8.0
    assert scores().time_to_verdict("ten", ALL) == 4.0  # 9 of 10; at more effort 8 of 10
    assert scores(0.5).time_to_verdict("ten", ALL) == math.inf


def test_what_is_never_found_is_said_so():
    rng = np.random.default_rng(0)
    assert cell(scores(0.5), "ten", rng) == "over 8 s [over 8 s, over 8 s]"
    assert cell(scores(), "three", rng).startswith("8 s [8 s, 8 s")


def test_arms_in_turn_are_compared_by_their_first_measurements():
    times = np.ones((3, 4, 20))
    times[:, 3, 1:] = 1.21  # ten: its first measurement is as short as the others'
    found = InTurn(times, start_s=1.0, each_s=0.5).scores(np.median)
    assert found.seconds[[0, -1]] == pytest.approx([3.0, 22.0])
    assert found.found["same"].max() == 0
    assert found.found["ten"][0] == pytest.approx(0)
    assert found.found["ten"][-1] == pytest.approx(math.log(1.21))


def test_the_lab_says_what_it_says_of_any_trial():
    rng = np.random.default_rng(0)
    table = rng.normal(0, 0.01, (6, 10, 4)) + np.array([0, 0, 0.1, 0])
    data = trial(table, ("plain", "control", "ten", "same"))
    assert lab_says(data, "ten", 5, 10) == 1
    assert lab_says(data, "same", 6, 10) == 0


def test_the_readme_has_the_table_that_was_kept():
    found = between("time-to-verdict").search(README.read_text(encoding="utf-8"))
    assert found
    assert found[0] == kept("time-to-verdict").read_text(encoding="utf-8")
