"""Numbers as they are read: enough digits to tell them from nothing, no more than are known."""

import math

import pytest

from bench.lab import text


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
