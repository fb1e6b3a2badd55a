"""Kinds of machines: by hand, by simulation of their nodes' intervals, and with one node."""

import math
from dataclasses import replace

import numpy as np
import pytest

from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.kinds import FEWEST_NODES, counts, of_kind
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from tests.examples import examples

PLAN = Plan(min_blocks=5)
KINDS = examples(4000)
TRUTH = math.log(0.9)


def finding(blocks, floor=0.0, baseline=1.0):
    """Return what one node says, by the contrasts of its blocks."""
    estimate = interval(list(blocks), PLAN.confidence)
    thresholds = Thresholds(floor, math.log1p(PLAN.margin))
    values = (baseline, baseline * math.exp(estimate.point))
    return Finding(
        "tiny[]", "twice", STEP_TIME, estimate, thresholds, Verdict.BETTER, *values, 0.1, 9, 0.5
    )


def test_by_hand():
    """Means 0.1, 0.2 and 0.6: mean 0.3, variance 0.07, standard error sqrt(0.07 / 3)."""
    nodes = [finding([y - 0.01, y + 0.01], baseline=b) for y, b in ((0.1, 1), (0.2, 2), (0.6, 3))]
    found = of_kind(nodes, PLAN)
    estimate = found.finding.estimate
    assert estimate.point == pytest.approx(0.3)
    assert estimate.standard_error == pytest.approx(math.sqrt(0.07 / 3))
    assert estimate.half_width == pytest.approx(4.302653 * math.sqrt(0.07 / 3), rel=1e-6)
    assert estimate.blocks == 3
    assert found.spread == pytest.approx(math.sqrt(0.07 - 0.01**2))
    assert found.finding.baseline_value == pytest.approx(2.0)


def test_nodes_that_differ_by_less_than_their_blocks_tell_have_no_spread():
    assert of_kind([finding([-0.1, 0.3]), finding([0.3, -0.1])], PLAN).spread == 0.0


def test_of_a_node_of_one_block_no_spread_is_told_and_it_does_not_count():
    """Nothing is known of its error, and none between nodes would be as if they were the same."""
    one, *others = nodes = [
        finding([0.1]),
        finding([-0.5, -0.4, -0.5, -0.4, -0.5]),
        finding([0.3] * 5),
    ]
    assert math.isnan(of_kind(nodes, PLAN).spread)
    assert [counts(node) for node in nodes] == [False, True, True]
    assert of_kind(others, PLAN).spread > 0.4
    assert not counts(replace(one, thresholds=replace(one.thresholds, min_blocks=2)))


def test_one_node_says_nothing_of_its_kind():
    found = of_kind([finding([-0.5, -0.51, -0.5, -0.49, -0.5])], PLAN)
    assert found.is_of_one_node
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert math.isinf(found.finding.estimate.half_width)
    assert math.isnan(found.spread)


def test_a_verdict_takes_three_nodes():
    clear = [finding([y - 0.001, y + 0.001]) for y in (-0.5, -0.501, -0.502)]
    assert of_kind(clear[:2], PLAN).finding.verdict is Verdict.INCONCLUSIVE
    assert of_kind(clear, PLAN).finding.verdict is Verdict.BETTER
    assert FEWEST_NODES == 3


def test_what_lies_within_the_nodes_noise_floors_is_no_verdict():
    clear = [finding([y - 0.001, y + 0.001], floor=0.6) for y in (-0.5, -0.501, -0.502)]
    assert of_kind(clear, PLAN).finding.verdict is Verdict.INCONCLUSIVE


def test_without_a_difference_nodes_of_a_kind_are_told_apart_from_it_at_the_level():
    """Where every node alone says "better" or "worse" of nothing but its own luck."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(500):
        own = rng.normal(0, 0.1, 4)
        found = of_kind([finding(rng.normal(a, 0.002, 5)) for a in own], PLAN)
        wrong += found.finding.verdict in (Verdict.BETTER, Verdict.WORSE)
    assert wrong / 500 < 0.08


FLEETS = {
    "as many blocks on all": {"nodes": 5, "spread": 0.03, "blocks": (5,)},
    "two nodes": {"nodes": 2, "spread": 0.03, "blocks": (5,)},
    "three nodes": {"nodes": 3, "spread": 0.03, "blocks": (5,)},
    "nodes that are the same": {"nodes": 4, "spread": 0.0, "blocks": (5,)},
    "five to forty blocks": {"nodes": 6, "spread": 0.03, "blocks": (5, 10, 40)},
    "one noisy node": {"nodes": 5, "spread": 0.03, "blocks": (5,), "noisy": 3.0},
    "ten nodes, skewed blocks": {"nodes": 10, "spread": 0.02, "blocks": (5,), "tail": 0.05},
}


def drawn(rng, nodes, spread, blocks, noisy=1.0, tail=0.0):
    """Yield the contrasts of each node's blocks; the mean of all nodes of the kind is `TRUTH`."""
    for number in range(nodes):
        own = rng.normal(0, spread)
        shape = blocks[number % len(blocks)]
        noise = 0.02 * (noisy if number == 0 else 1.0)
        skew = rng.exponential(tail, shape) - tail if tail else 0.0
        yield TRUTH + own + rng.normal(0, noise, shape) + skew


@pytest.mark.parametrize("fleet", list(FLEETS))
def test_95_percent_of_intervals_hold_what_is_true_of_the_kind(fleet):
    rng = np.random.default_rng(examples(0) + 7)
    held = 0
    for _ in range(KINDS):
        nodes = [finding(blocks) for blocks in drawn(rng, **FLEETS[fleet])]
        estimate = of_kind(nodes, PLAN).finding.estimate
        held += estimate.low <= TRUTH <= estimate.high
    assert 0.93 <= held / KINDS <= 0.97


def test_all_blocks_thrown_together_hold_it_far_too_seldom():
    """That is what the random effect is for: here 20 blocks, as if of one machine."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(500):
        blocks = np.concatenate(list(drawn(rng, 4, 0.03, (5,))))
        estimate = interval(blocks.tolist(), PLAN.confidence)
        held += estimate.low <= TRUTH <= estimate.high
    assert held / 500 < 0.8


def test_the_spread_between_nodes_is_found_again():
    rng, found = np.random.default_rng(4), []
    for _ in range(500):
        nodes = [finding(blocks) for blocks in drawn(rng, 10, 0.03, (5,))]
        found.append(of_kind(nodes, PLAN).spread ** 2)
    assert math.sqrt(np.mean(found)) == pytest.approx(0.03, rel=0.05)


def test_swapping_the_arms_turns_the_sign():
    rng = np.random.default_rng(5)
    nodes = [finding(blocks) for blocks in drawn(rng, 4, 0.03, (5,))]
    turned = [replace(n, estimate=replace(n.estimate, point=-n.estimate.point)) for n in nodes]
    there, back = (of_kind(side, PLAN).finding.estimate for side in (nodes, turned))
    assert there.point == pytest.approx(-back.point)
    assert there.half_width == pytest.approx(back.half_width)
