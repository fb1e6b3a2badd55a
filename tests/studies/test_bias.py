"""The study of identical arms: what it reports, from arms whose times are known."""

import re
from pathlib import Path

import numpy as np
import pytest

from keras_ab.bench.lab.words.plan import Plan
from tests.bench.test_moderation import trial
from tests.studies.bias import report, step_times

PLAN = Plan(min_blocks=5)
ROOT = Path(__file__).parents[2]


def measured(off):
    """Return trials in which one arm takes so much more, as a log ratio, than its baseline."""
    rng = np.random.default_rng(0)
    tables = [rng.normal(0, 0.001, (5, 20, 4)) + np.array([0, 0, off, 0]) for _ in range(6)]
    return [trial(table) for table in tables]


@pytest.mark.parametrize(("off", "apart", "mean"), [(0.0, 0, 0.0), (0.1, 6, 5.0)])
def test_it_counts_arms_that_are_told_apart(off, apart, mean):
    told = report(step_times(measured(off), PLAN), 6)
    assert told.startswith("12 comparisons of identical arms in 6 trials")
    assert ("'worse': 6" in told) == bool(apart)
    found = re.search(r"mean log ratio (\S+) % \[(\S+) %, (\S+) %\]", told)
    assert found
    point, low, high = map(float, found.groups())
    assert point == pytest.approx(mean, abs=0.1)
    assert low <= point <= high
    without = re.search(r"without no difference: (\d+)", told)
    assert without
    assert int(without[1]) in range(apart, apart + 3)


def test_the_readme_says_what_the_kept_output_says():
    kept = (ROOT / "examples" / "studies" / "identical-arms.txt").read_text(encoding="utf-8")
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = readme.replace("−", "-")
    for mean in re.findall(r"mean log ratio (.*)", kept):
        assert mean in said
    apart = [
        sum(map(int, re.findall(r"'(?:better|worse)': (\d+)", line)))
        for line in re.findall(r"60 comparisons of identical arms.*", kept)
    ]
    without = re.findall(r"without no difference: (\d+)", kept)
    assert f"{apart[0]} and {apart[1]} of 60 told apart, {without[0]} and {without[1]}" in said
