"""Numbers as they are read: enough digits to tell them from nothing, no more than are known."""

import math
from dataclasses import replace

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.effort import effort
from keras_ab.bench.lab.judge.estimate import Estimate
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict
from keras_ab.bench.lab.words.metrics import Metric


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (0.0, "0"),
        (0.254, "+0.254"),
        (-0.012, "−0.012"),
        (0.0005, "+0.001"),
        (1e-5, "+0.00001"),
        (-2e-7, "−0.0000002"),
        (1e-13, "+1e−13"),
        (math.inf, "∞"),
        (math.nan, "–"),
    ],
)
def test_differences(x, words):
    assert text.signed(x) == words


@pytest.mark.parametrize(
    ("x", "words"),
    [(1.0, "1.00×"), (1.004, "1.004×"), (1.1, "1.10×"), (0.0029, "0.00290×"), (12, "12.0×")],
)
def test_ratios(x, words):
    assert text.ratio(x) == words


def test_an_interval_has_as_many_decimals_as_its_middle():
    assert text.ratios(1.012, 0.9, 1.13) == "1.012× [0.900, 1.130]"
    assert text.ratios(2.0, 0.05, 70.0) == "2.00× [0.0500, 70.0]"


def bytes_of(baseline, arm):
    """Return what five equal blocks say of two sizes."""
    names = {"name": "peak_device_memory_bytes", "title": "peak device memory", "unit": "B"}
    return Finding(
        trial="t",
        arm="a",
        metric=Metric(**names, better="less", scale="ratio", margin=None),
        estimate=Estimate(math.log(max(arm, 1) / max(baseline, 1)), 0.0, 0.0, 4, 5),
        thresholds=Thresholds(0.0, 0.02, 5),
        verdict=Verdict.BETTER,
        baseline_value=baseline,
        arm_value=arm,
        smallest_effect=0.0,
        blocks_to_settle=5,
        p_value=0.0,
    )


@pytest.mark.parametrize(
    ("baseline", "arm", "words"),
    [
        (2.0**22, 2.0**21, "0.50× exactly"),
        (2.0**22, 2.0**19, "0.125× exactly"),
        (2.0**22, 0.0, "0 B, not 4.00 MiB"),
        (0.0, 2.0**22, "4.00 MiB, not 0 B"),
        (0.0, 0.0, "the same"),
    ],
)
def test_nothing_has_no_ratio(baseline, arm, words):
    assert text.compact(bytes_of(baseline, arm)) == words


def test_what_could_have_been_seen_may_be_beyond_all_numbers():
    found = replace(bytes_of(2.0**22, 2.0**21), smallest_effect=800.0, verdict=Verdict.INCONCLUSIVE)
    assert "would have been found 4 times in 5" in text.power(found)


@pytest.mark.parametrize(
    ("needed", "block_s", "says"),
    [
        (33, None, "about 33 blocks in all"),
        (33, 10.0, "about 33 blocks in all, about 4 minutes more,"),
        (11, 20.0, "about 11 blocks in all, about 20 seconds more,"),
        (3835, 9.0, "about 3835 blocks in all, about 10 hours more,"),
        (9000, 60.0, "about 9000 blocks in all, about 6 days more,"),
        (20_000, 1.0, ""),
        (math.inf, 1.0, ""),
        (math.nan, 1.0, ""),
    ],
)
def test_what_it_takes_is_said_in_time_where_that_is_known(needed, block_s, says):
    assert effort(needed, 10, block_s) == says


def test_seeds_are_counted_as_such():
    assert effort(12, 5, None, "seed") == "about 12 seeds in all"
    loss = Metric("loss", "loss", "1", per="seed")
    few = replace(bytes_of(1.0, 2.0), metric=loss, estimate=Estimate(0.1, 0.1, 0.05, 2, 3))
    assert text.left_open(few) == "3 seeds: too few to conclude anything"
    blocks = replace(few, metric=replace(loss, scale="difference", per="block"))
    assert text.left_open(blocks) == "3 blocks: too few to conclude anything"
