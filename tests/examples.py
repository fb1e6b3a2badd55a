"""On how many examples a property is tried: few in the tests, thousands in a study."""

import os

VARIABLE = "KERAS_AB_EXAMPLES"
SEARCHING = VARIABLE in os.environ
"""Whether examples are drawn at random, as `tests.studies.search` does; else always the same."""


def examples(few: int) -> int:
    """Return how many examples to try."""
    return int(os.environ.get(VARIABLE, few))
