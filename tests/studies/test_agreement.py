"""What the README says of runs that were made twice is what their files say."""

from tests.studies.agreement import NAME, table
from tests.studies.tables import README, between


def test_the_readme_has_what_the_command_makes():
    found = between(NAME).search(README.read_text(encoding="utf-8"))
    assert found
    assert found[0] == table()
