"""Memory that the timed processes do not count is counted in others beside them."""

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.metrics import PEAK_DEVICE_MEMORY
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.fake_lab import FakeLab

PLAN = Plan(min_blocks=2, max_blocks=2, rounds=3)


def counting() -> FakeLab:
    lab = FakeLab()
    lab.counts = True
    return lab


def test_each_arm_has_a_peak_of_each_of_five_processes():
    (data,) = group(counting().run(PLAN)).values()
    for arm in ("once", "twice"):
        peaks = data.values(PEAK_DEVICE_MEMORY.name, arm)
        assert len(peaks) == len({peak // 10**6 for peak in peaks}) == 5
        assert {peak % 10**6 for peak in peaks} == {5}  # the last of five steps


def test_a_run_that_goes_on_counts_what_was_not_counted():
    lines = counting().run(PLAN)
    assert [line.kind for line in counting().run(PLAN, lines[:-1])] == ["end"]
    left = counting().run(PLAN, lines[:-2])
    assert [(line.kind, getattr(line, "arm", None)) for line in left] == [
        ("memory", "twice"),
        ("end", None),
    ]


@pytest.mark.parametrize("number", [9, 12])
def test_an_arm_that_cannot_be_counted_stays_in_the_trial(number):
    """The ninth process that is opened is the first that counts."""
    lab = counting()
    lab.lost = number
    lines = lab.run(PLAN)
    (data,) = group(lines).values()
    assert not data.failures
    assert lines[-1].kind == "end"
    curves = [data.curves[arm].peak_device_bytes_elsewhere for arm in ("once", "twice")]
    assert sorted(map(len, curves)) == [0, 5]
    told = [data.values(PEAK_DEVICE_MEMORY.name, arm) for arm in ("once", "twice")]
    assert [len(peaks) for peaks in told] == [len(curve) for curve in curves]


def test_what_is_timed_is_never_opened_so():
    lab = counting()
    lab.run(PLAN)
    assert [asked.counted for asked in lab.opened] == [True] * 2 + [False] * 6 + [True] * 10


@pytest.mark.parametrize(
    ("told", "counted"), [("process", "5 processes"), ("step", "5 steps"), ("block", "2 blocks")]
)
def test_a_finding_says_what_its_peaks_are_those_of(told, counted):
    (data,) = group(counting().run(PLAN)).values()
    if told == "step":
        for curve in data.curves.values():
            curve.peak_device_bytes_elsewhere.clear()
            curve.peak_device_bytes.extend([10**7] * 5)
    if told == "block":
        for block in data.blocks.values():
            for values in block.values.values():
                values[PEAK_DEVICE_MEMORY.name] = 1e7
    finding = assess(data, data.metric(PEAK_DEVICE_MEMORY.name), "twice", PLAN)
    assert text.count(finding.estimate.blocks, finding.counts) == counted
