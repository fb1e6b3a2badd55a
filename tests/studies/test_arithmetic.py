"""Outcomes agree with independent arithmetic, and the page that says so is made anew."""

from tests.studies.arithmetic import TABLE, apart, outcomes, table


def test_what_was_measured_is_what_was_reckoned():
    for wanted, reckoned, value in outcomes():
        assert apart(reckoned, value) <= wanted.within, wanted


def test_the_committed_page_is_the_one_that_the_command_makes():
    assert TABLE.read_text(encoding="utf-8") == table()
