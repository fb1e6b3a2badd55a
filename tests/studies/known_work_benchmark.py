"""Work of a known amount under pytest-benchmark; the environment says which arm's."""

import os

from tests.studies.known_work import PASSES, stepping


def test_step(benchmark):
    benchmark(stepping(PASSES[os.environ["KNOWN_WORK"]]))
