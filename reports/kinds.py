"""What is said of kinds of machines, by the nodes of each that measured the same trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.kinds import FEWEST_NODES, OfKind, of_kind, told_by_nodes
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.words.metrics import STEP_ENERGY, STEP_TIME
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import Key, Machine, Placed, key

SHOWN = (STEP_TIME.name, STEP_ENERGY.name)
"""The metrics that a kind is told of; sizes are the same on all of its nodes."""

MOST_NODES = 8
"""Of a kind with more, a page tells few nodes one by one: its rows tell of all."""

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
    def counted(self) -> str:
        """How many nodes say what, the most common first: ``17 better, 3 inconclusive``."""
        words = Counter(str(node.verdict) for node in self.found.nodes)
        return ", ".join(f"{n} {word}" for word, n in words.most_common())

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
    left_out: list[str]
    """Newest trials of nodes that do not count, each with the reason."""


def told_apart(machines: Sequence[Machine]) -> list[Machine]:
    """Return the machines that a page tells one by one, in order.

    Of a kind with more than `MOST_NODES` nodes they are few: the newest that between them have all
    that was ever measured on the kind. Nothing looks at what was found on a node.
    """
    by_kind: dict[tuple[str, str], list[Machine]] = {}
    for machine in machines:
        if kind := _kind(machine.runs[-1]):
            by_kind.setdefault(kind, []).append(machine)
    many = [members for members in by_kind.values() if len(members) > MOST_NODES]
    among = {machine.name for members in many for machine in members}
    kept = {machine.name for members in many for machine in _covering(members)}
    return [m for m in machines if m.name not in among or m.name in kept]


def _covering(machines: Iterable[Machine]) -> Iterator[Machine]:
    """Yield machines, the newest first, each that has what none before it has."""
    seen: set[Key] = set()
    for machine in sorted(machines, key=lambda m: m.runs[-1].header.started, reverse=True):
        own = {key(trial.data) for run in machine.runs for trial in run.trials}
        if own - seen:
            yield machine
        seen |= own


def _kind(run: JudgedRun) -> tuple[str, str] | None:
    node = run.header.node
    return (node.kind, run.header.backend) if node else None


def kinds(runs: Iterable[JudgedRun]) -> list[KindView]:
    """Return what runs say of kinds of machines; nothing where no fleet asked for them."""
    by_kind: dict[tuple[str, str], list[JudgedRun]] = {}
    for run in runs:
        if kind := _kind(run):
            by_kind.setdefault(kind, []).append(run)
    return [_view(kind, backend, members) for (kind, backend), members in by_kind.items()]


def _view(kind: str, backend: str, runs: Sequence[JudgedRun]) -> KindView:
    nodes = {_node(run) for run in runs}
    rows = [row for same, placed in _together(runs).items() for row in _rows(same[0], placed)]
    return KindView(kind, backend, tuple(sorted(nodes)), rows, list(_left_out(runs)))


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


def _left_out(runs: Iterable[JudgedRun]) -> Iterator[str]:
    """Yield which newest trials of nodes do not count, and why."""
    newest = {(_node(run), key(trial.data)): trial for run in runs for trial in run.trials}
    for (node, of), trial in newest.items():
        if trial.data.invalid or not trial.data.end:
            yield f"{node}: {of.says}: {trial.data.invalid or 'cut off before its end'}"


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
