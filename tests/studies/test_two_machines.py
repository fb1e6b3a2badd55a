"""The published comparison of two machines is the one that its command makes."""

from tests.studies.two_machines import PAGE, both, written


def test_the_committed_page_is_the_one_that_the_command_makes():
    assert PAGE.read_text(encoding="utf-8") == written(both())
