"""What is said of kinds of machines, by the nodes of each that measured the same trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.kinds import FEWEST_NODES, OfKind, of_kind, told_by_nodes
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.words.metrics import STEP_ENERGY, STEP_TIME
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import Key, Placed, key

SHOWN = (STEP_TIME.name, STEP_ENERGY.name)
"""The metrics that a kind is told of; sizes are the same on all of its nodes."""

Same = tuple[Key, tuple[tuple[str, str], ...]]
"""What trials on several nodes share: experiment, case, and the code of their arms."""


@dataclass(frozen=True)
class KindRow:
    """One metric of one arm on one kind of machine."""

    key: Key
    arm: str
    found: OfKind
    names: tuple[str, ...]
    """Of the nodes."""

    @property
    def finding(self) -> Finding:
        """The finding on the kind."""
        return self.found.finding

    @property
    def says(self) -> str:
        """The estimate with its interval, or why there is none."""
        if self.found.is_of_one_node:
            return f"{text.compact(self.found.nodes[0])} on {self.names[0]}, this node alone"
        return text.compact(self.finding)

    @property
    def verdict(self) -> str:
        """What it comes to, and how many nodes would say more."""
        if self.found.is_of_one_node:
            return "of the kind, nothing is known"
        if len(self.names) < FEWEST_NODES:
            return f"{text.count(len(self.names), 'node')}: too few to conclude anything of a kind"
        wanted = self.finding.blocks_to_settle
        if self.finding.verdict is Verdict.INCONCLUSIVE and math.isfinite(wanted):
            return f"inconclusive; {text.blocks(wanted, 'node')} would settle it"
        return str(self.finding.verdict)

    @property
    def spread(self) -> str:
        """How far the kind's nodes differ from each other."""
        if self.found.is_of_one_node:
            return "–"
        points = sorted(node.shown(node.estimate.point) for node in self.found.nodes)
        least, most = (text.ratio(x) for x in (points[0], points[-1]))
        return f"{text.beyond(self.found.spread, 'ratio')}; {least} to {most}"

    @property
    def each(self) -> list[tuple[str, str]]:
        """What each node says, by its name."""
        return [
            (name, f"{text.compact(node)} {node.verdict}")
            for name, node in zip(self.names, self.found.nodes, strict=True)
        ]


@dataclass(frozen=True)
class KindView:
    """All that is said of one kind."""

    name: str
    backend: str
    nodes: tuple[str, ...]
    rows: list[KindRow]


def kinds(runs: Iterable[JudgedRun]) -> list[KindView]:
    """Return what runs say of kinds of machines; nothing where no fleet asked for them."""
    by_kind: dict[tuple[str, str], list[JudgedRun]] = {}
    for run in runs:
        if run.header.node:
            by_kind.setdefault((run.header.node.kind, run.header.backend), []).append(run)
    return [_view(kind, backend, members) for (kind, backend), members in by_kind.items()]


def _view(kind: str, backend: str, runs: Sequence[JudgedRun]) -> KindView:
    nodes = dict.fromkeys(_node(run) for run in runs)
    rows = [row for same, placed in _together(runs).items() for row in _rows(same[0], placed)]
    return KindView(kind, backend, tuple(nodes), rows)


def _node(run: JudgedRun) -> str:
    return run.header.node.name if run.header.node else ""


def _together(runs: Sequence[JudgedRun]) -> dict[Same, dict[str, Placed]]:
    """Return the newest whole trial of everything by node: one that was cut off counts for none."""
    found: dict[Same, dict[str, Placed]] = {}
    for run in runs:
        for trial in run.trials:
            if trial.data.end and not trial.data.invalid:
                found.setdefault(_same(trial), {})[_node(run)] = Placed(run, trial)
    return found


def _same(trial: JudgedTrial) -> Same:
    arms = trial.data.declared.arms
    return key(trial.data), tuple((arm.name, arm.code) for arm in arms)


def _rows(k: Key, placed: dict[str, Placed]) -> Iterator[KindRow]:
    trial = next(iter(placed.values())).trial
    for arm in trial.data.treatments:
        for metric in trial.data.declared.metrics:
            if metric.name not in SHOWN or not told_by_nodes(metric):
                continue
            found = {name: p.trial.find(arm, metric.name) for name, p in placed.items()}
            there = {name: finding for name, finding in found.items() if finding}
            if there:
                judged = of_kind(list(there.values()), trial.plan)
                yield KindRow(k, arm, judged, tuple(there))
