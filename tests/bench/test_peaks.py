"""Peaks of device memory are exact where they repeat, and ranges where they do not."""

import math
import random

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import answers
from keras_ab.bench.lab.judge.findings import claim_findings, findings
from keras_ab.bench.lab.judge.peaks import JUDGED, TOO_SMALL, Peaks, Ranges, ranged
from keras_ab.bench.lab.record.records import Block, MemoryCurve
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.plan import LOOKS, Plan
from tests.reports import simulated

MIB = 2.0**20
PLAN = Plan(min_blocks=5)
NAME = "peak_device_memory_bytes"


def trial(baseline: list[float], control: list[float], arm: list[float], **bounds) -> TrialData:
    """Return a trial with these peaks, a block each."""
    claims = [simulated.claim("x.claim", "other", NAME, **bounds)] if bounds else []
    scene = simulated.Scene("x", "?", {"n": 1}, {"base": 1.0, "other": 1.0}, claims=claims)
    scene.blocks = len(arm)
    (data,) = group(simulated.records(scene, 0)).values()
    told = zip(baseline, control, arm, strict=True)
    for number, peaks in enumerate(told):
        old = data.blocks[number]
        arms = dict(zip(("base", "control", "other"), peaks, strict=True))
        values = {name: old.values[name] | {NAME: peak} for name, peak in arms.items()}
        data.add(Block(trial=old.trial, block=number, values=values))
    return data


def found(data: TrialData, plan: Plan = PLAN):
    return next((f for f in findings(data, plan) if f.metric.name == NAME), None)


def test_what_repeats_is_exact():
    finding = found(trial([4 * MIB] * 5, [4 * MIB] * 5, [3 * MIB] * 5))
    assert finding.verdict == "better"
    assert text.compact(finding) == "0.75× exactly"


def test_peaks_that_the_blocks_do_not_tell_are_those_that_were_counted_beside_them():
    """The allocator that is timed may not count: one step of each of five processes is."""
    assert found(beside([], [])) is None
    data = beside([4] * 5, [2] * 5, baseline_elsewhere=[4, 4, 4, 4, 5], elsewhere=[2, 2, 2, 2, 3])
    finding = found(data)
    assert finding.verdict == "better"
    assert finding.p_value == 2 / math.comb(10, 5)
    assert finding.estimate.baseline == Peaks(4 * MIB, 5 * MIB, 5)
    exact = beside([4] * 5, [3] * 5, baseline_elsewhere=[4] * 5, elsewhere=[3] * 5)
    assert text.compact(found(exact)) == "0.75× exactly"
    for look in LOOKS.values():  # two of the three ask for ten blocks
        assert found(data, Plan(**look)).verdict == "better"


def beside(
    baseline: list[float],
    arm: list[float],
    baseline_elsewhere: list[float] | None = None,
    elsewhere: list[float] | None = None,
) -> TrialData:
    """Return a trial with these peaks, in MiB, of steps of a process of each arm, and of others."""
    data = trial([4 * MIB] * 5, [4 * MIB] * 5, [4 * MIB] * 5)
    for number, block in list(data.blocks.items()):
        values = {arm: {k: v for k, v in x.items() if k != NAME} for arm, x in block.values.items()}
        data.add(Block(trial=block.trial, block=number, values=values))
    told = {"base": (baseline, baseline_elsewhere or []), "other": (arm, elsewhere or [])}
    for name, (peaks, more) in told.items():
        here, there = ([int(peak * 2**20) for peak in part] for part in (peaks, more))
        update = {"peak_device_bytes": here, "peak_device_bytes_elsewhere": there}
        data.add(curve(data.declared.trial, name).model_copy(update=update))
    return data


# Least peaks of the same arm in MiB, in two processes each of runs that were made.
IDENTICAL = [(43.18, 22.29), (1.75, 1.39), (84.3, 58.9), (5.27, 4.33), (4.32, 5.09)]


@pytest.mark.parametrize(("one", "other"), IDENTICAL)
def test_one_process_of_the_same_arm_is_not_told_from_another(one, other):
    for baseline, arm in ((one, other), (other, one)):
        finding = found(beside([baseline] * 5, [arm] * 5))
        assert (finding.verdict, finding.p_value) == ("inconclusive", 1)


@pytest.mark.parametrize(("arm", "verdict"), [(1.9, "better"), (2.1, "inconclusive")])
def test_one_process_needs_half_the_memory_to_be_told_from_another(arm, verdict):
    finding = found(beside([4] * 5, [arm] * 5))
    assert finding.verdict == verdict
    assert "exactly" not in text.compact(finding)


def curve(trial: str, arm: str) -> MemoryCurve:
    """Return what was in use during some steps, where nobody counts the device's peak."""
    return MemoryCurve(trial=trial, arm=arm, steps=2, at_s=[0.0], host_bytes=[1], device_bytes=None)


def test_the_same_range_is_equivalent_and_no_interval_is_made_up():
    orders = [1.5 * MIB, 2 * MIB, 2 * MIB, 2 * MIB, 1.5 * MIB]
    finding = found(trial(orders, orders, [*reversed(orders)]))
    assert finding.verdict == "equivalent"
    assert text.compact(finding) == "the same range, 1.50 to 2.00 MiB"


def test_ranges_that_overlap_decide_nothing():
    arm = [1.6 * MIB, 1.8 * MIB, 1.8 * MIB, 1.8 * MIB, 1.9 * MIB]
    finding = found(trial([1.5 * MIB] * 5, [2 * MIB] * 5, arm))
    assert finding.verdict == "inconclusive"
    assert finding.p_value == 1
    assert "1.60 to 1.90 MiB" in text.left_open(finding)
    assert "[" not in text.compact(finding)


def test_ranges_that_lie_apart_are_better_or_worse_by_an_exact_test():
    high, low = [2 * MIB, 2.1 * MIB, 2.2 * MIB, 2 * MIB, 2.1 * MIB], [1.8 * MIB] * 4 + [1.9 * MIB]
    assert found(trial(high, high, low)).verdict == "better"
    worse = found(trial(low, low, high))
    assert worse.verdict == "worse"
    assert worse.p_value == pytest.approx(2 / math.comb(15, 5))
    assert (worse.arm_value, worse.baseline_value) == (2 * MIB, 1.8 * MIB)


SMALL = {
    "neither is counted": ([0.0] * 5, [100.0, 0, 0, 0, 0], [0.0] * 5),
    # Mixed precision on a CPU that has units for it: activations of 16 bits have 196 KiB.
    "one halved, and counted no more": ([3.1 * MIB] * 5, [3.4 * MIB] * 5, [0.38 * MIB] * 5),
    "the baseline's": ([0.0] * 5, [0.0] * 5, [4 * MIB] * 5),
    "one copy's of the baseline": ([4 * MIB] * 5, [0.0] * 5, [2 * MIB] * 5),
    "in one block": ([4 * MIB] * 5, [4 * MIB] * 5, [2 * MIB, 0.0, *[2 * MIB] * 3]),
}


@pytest.mark.parametrize("peaks", SMALL.values(), ids=SMALL)
def test_a_small_peak_is_not_measured_never_better_equivalent_or_refuted(peaks):
    data = trial(*peaks, at_most=0.5)
    assert found(data) is None
    (claim,) = claim_findings(data, PLAN)
    assert (claim.outcome, claim.reason) == ("not measured here", TOO_SMALL)
    (answer,) = answers(data, findings(data, PLAN))
    assert answer.part("memory").word == "not measured"
    assert answer.part("memory").reason == TOO_SMALL


def test_the_least_that_is_judged_is():
    assert found(trial([JUDGED] * 5, [JUDGED] * 5, [2 * MIB] * 5)).verdict == "worse"


def test_identical_arms_are_never_told_apart_whatever_their_orders():
    """Two to four values of any likelihood: 4000 trials of 5 blocks, held against 10."""
    rng, apart = random.Random(1), 0
    for _ in range(4000):
        values = [MIB * rng.uniform(1, 2) for _ in range(rng.randint(2, 4))]
        weights = [rng.random() for _ in values]
        a, b = (rng.choices(values, weights, k=k) for k in (5, 10))
        estimate = ranged(Peaks(min(a), max(a), 5), Peaks(min(b), max(b), 10), 0.95)
        if isinstance(estimate, Ranges) and not estimate.low <= 0 <= estimate.high:
            apart += 1
    assert apart <= 4000 * 2 / math.comb(15, 5) + 3


def test_a_smooth_range_moved_by_the_margin_is_never_called_the_same():
    rng = random.Random(2)
    for _ in range(2000):
        a, b = ([MIB * math.exp(rng.gauss(shift, 0.03)) for _ in range(k)]
                for k, shift in ((5, 0.02), (10, 0.0)))  # fmt: skip
        estimate = ranged(Peaks(min(a), max(a), 5), Peaks(min(b), max(b), 10), 0.95)
        assert not (isinstance(estimate, Ranges) and estimate.same)


def test_one_block_has_no_width_that_was_not_measured():
    one = Peaks(4 * MIB, 4 * MIB, 1)
    two = Peaks(4 * MIB, 5 * MIB, 2)
    assert ranged(one, one, 0.95).half_width == math.inf
    assert ranged(one, two, 0.95).half_width == math.inf
