"""The study of trust: its rows from trials whose times are known; the README has what it found."""

import re

import pytest

from keras_ab.bench.lab.words.plan import Plan
from tests.studies.bias import step_times
from tests.studies.tables import README, between, kept
from tests.studies.test_bias import measured
from tests.studies.trust import HEADINGS, NAME, spread, table


def test_the_readme_has_the_table_that_was_kept():
    found = between(NAME).search(README.read_text(encoding="utf-8"))
    assert found
    assert found[0] == kept(NAME).read_text(encoding="utf-8")


def test_trials_are_told_by_their_ends():
    found = step_times(measured(0.1), Plan(min_blocks=5))[::2]
    told = re.fullmatch(r"(\S+)× to (\S+)×, in 5 to 5 blocks, 5 at the median", spread(found))
    assert told
    assert [float(ratio) for ratio in told.groups()] == pytest.approx([1.105] * 2, abs=0.01)


def test_the_table_is_markdown_and_names_the_machine():
    rows = table([("a", "b", "c")]).splitlines()
    assert rows[0] == f"| {' | '.join(HEADINGS)} |"
    assert rows[2] == "| a | b | c |"
    assert re.search(r"On .+, \d+ cores, 20\d\d-\d\d-\d\d\.$", rows[-1])
