"""The published comparison of two machines is the one that its command makes."""

from tests.studies.two_machines import PAGE, both, written


def test_the_page_is_what_the_command_makes():
    assert PAGE.read_text(encoding="utf-8") == written(both())
