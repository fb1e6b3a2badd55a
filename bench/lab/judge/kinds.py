"""What nodes of one kind say together of the kind: the node is a random effect over its blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from keras_ab.bench.lab.judge import verdicts
from keras_ab.bench.lab.judge.estimate import Estimate, interval, variance
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Thresholds
from keras_ab.bench.lab.words.metrics import PEAK_DEVICE_MEMORY, Metric
from keras_ab.bench.lab.words.plan import Plan

FEWEST_NODES = 3
"""For a verdict on a kind: of two, the distance has one degree of freedom, and says little."""


@dataclass(frozen=True)
class OfKind:
    """One metric of one arm on the nodes of a kind.

    Args:
        finding: on the kind. What counts as blocks in it are nodes.
        nodes: the finding on each node.
        spread: standard deviation of what is true of the kind's nodes, on the estimate's scale;
            NaN where it is not known: of one node, or with one of whose error nothing is known.
    """

    finding: Finding
    nodes: tuple[Finding, ...]
    spread: float

    @property
    def is_of_one_node(self) -> bool:
        """Whether it speaks of one node alone, and of no kind."""
        return len(self.nodes) == 1


def told_by_nodes(metric: Metric) -> bool:
    """Tell whether nodes vary in a metric; seeds are the same on all, and peaks are ranges."""
    return metric.per != "seed" and metric.name != PEAK_DEVICE_MEMORY.name


def counts(node: Finding) -> bool:
    """Tell whether what a node says is evidence: a verdict on the node takes as many blocks."""
    return node.estimate.blocks >= node.thresholds.min_blocks


def of_kind(nodes: Sequence[Finding], plan: Plan) -> OfKind:
    """Judge a kind by the findings on some of its nodes.

        y_i = mu + a_i + e_i,   mu: mean(y) ± t_{n-1} sd(y) / sqrt(n)

    y_i is what node i says, a_i by how much it differs from its kind, e_i the error of its blocks.
    The nodes' own variation holds both, so the interval is of the kind, however many blocks a node
    has: more blocks make it narrower only as far as blocks are what varies. Each node counts the
    same, whatever its own interval: weights would have to be estimated as well, from as few nodes.

    Args:
        nodes: findings on one metric of one arm, one a node, of the same trial; those that
            `counts` takes.
        plan: of their runs, with the one margin and confidence of all.

    Source: H. Scheffé, The Analysis of Variance, 1959, chapter 7: the one-way layout with a random
    factor; of benchmarks, T. Kalibera and R. Jones, Rigorous benchmarking in reasonable time, 2013,
    https://doi.org/10.1145/2464157.2464160.
    """
    first, *_ = nodes
    estimate = interval([node.estimate.point for node in nodes], plan.confidence)
    thresholds = Thresholds(
        fmean(node.thresholds.floor for node in nodes), first.thresholds.margin, FEWEST_NODES
    )
    return OfKind(_judged(nodes, estimate, thresholds, plan), tuple(nodes), _spread(nodes))


def _judged(
    nodes: Sequence[Finding], estimate: Estimate, thresholds: Thresholds, plan: Plan
) -> Finding:
    first, *_ = nodes
    baseline = fmean(node.baseline_value for node in nodes)
    return replace(
        first,
        estimate=estimate,
        thresholds=thresholds,
        verdict=verdicts.judge(estimate, thresholds, first.metric.better),
        baseline_value=baseline,
        arm_value=fmean(node.arm_value for node in nodes),
        smallest_effect=verdicts.smallest_effect(estimate, thresholds, plan.confidence),
        blocks_to_settle=verdicts.blocks_to_settle(estimate, thresholds, plan.confidence),
        p_value=verdicts.p_value(estimate, thresholds.floor),
        block_s=None,
    )


def _spread(nodes: Sequence[Finding]) -> float:
    """Return ``sqrt(max(0, var(y) - mean of the nodes' squared standard errors))``."""
    if len(nodes) < 2:
        return math.nan
    points = [node.estimate.point for node in nodes]
    errors = fmean(node.estimate.standard_error**2 for node in nodes)
    if not math.isfinite(errors):
        return math.nan
    return math.sqrt(max(0.0, variance(points).value - errors))
