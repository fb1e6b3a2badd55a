"""What is said of kinds of machines, by the nodes of each that measured the same trials."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Word
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.kinds import (
    FEWEST_NODES,
    OfKind,
    counts,
    of_kind,
    told_by_nodes,
)
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.words.metrics import STEP_ENERGY, STEP_TIME, Metric
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import Key, Machine, Placed, key, versions

SHOWN = (STEP_TIME.name, STEP_ENERGY.name)
"""The metrics that a kind is told of; sizes are the same on all of its nodes."""

MOST_NODES = 8
"""Of a kind with more, a page tells few nodes one by one: its rows tell of all."""

NAMED = 3
"""Differences that a row names; of more it tells the number."""

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True, eq=False)
class Same:
    """What trials on several nodes share; where they do not, they are not judged together."""

    key: Key
    facts: dict[str, str]
    """Versions, what the plan judges by, and the code of the arms."""
    imported: Mapping[str, Mapping[str, str]]
    """Digests of what each arm imported, of those that did not fail: these may tell a part."""

    def agrees(self, other: Same) -> bool:
        """Tell whether nothing is known that differs."""
        both = self.imported.keys() & other.imported.keys()
        return (self.key, self.facts) == (other.key, other.facts) and all(
            self.imported[arm] == other.imported[arm] for arm in both
        )

    def _told(self) -> dict[str, str]:
        return self.facts | dict(sorted(_imported(self.imported).items()))

    def beside(self, others: Iterable[Same]) -> str:
        """Return those of its facts that are not the same in others, digests by their beginning."""
        own, *facts = (same._told() for same in (self, *others))
        names = dict.fromkeys(name for these in (own, *facts) for name in these)
        told = [n for n in names if any(these.get(n) != own.get(n) for these in facts)]
        lines = [f"{name}: {own.get(name, 'none')}" for name in told[:NAMED]]
        more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
        return _DIGEST.sub(lambda found: found[0][:12], "; ".join([*lines, *more]))


@dataclass(frozen=True)
class KindRow:
    """One metric of one arm on one kind of machine."""

    key: Key
    arm: str
    found: OfKind
    names: tuple[str, ...]
    """Of the nodes."""
    beside: str = ""
    """What is not the same on other nodes, whose row is another; "" where there are none."""

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
        if math.isnan(self.found.spread):
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
    """Newest trials of nodes, and arms of these, that do not count, each with the reason."""


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
    together = _together(runs)
    rows = [row for same in together for row in _rows(same, together)]
    arms = (line for same, placed in together.items() for line in _arms_left_out(same, placed))
    left_out = list(dict.fromkeys([*_left_out(runs), *arms]))
    return KindView(kind, backend, tuple(sorted(nodes)), rows, left_out)


def _node(run: JudgedRun) -> str:
    return run.header.node.name if run.header.node else ""


def _together(runs: Sequence[JudgedRun]) -> dict[Same, dict[str, Placed]]:
    """Return the newest whole trial of everything by node: one that was cut off counts for none."""
    found: dict[Same, dict[str, Placed]] = {}
    for run in runs:
        for trial in run.trials:
            if trial.data.end and not trial.data.invalid:
                own = _same(run, trial)
                same = next((known for known in found if known.agrees(own)), own)
                found.setdefault(same, {})[_node(run)] = Placed(run, trial)
    return found


def _left_out(runs: Iterable[JudgedRun]) -> Iterator[str]:
    """Yield which newest trials of nodes do not count, and why."""
    newest = {(_node(run), key(trial.data)): trial for run in runs for trial in run.trials}
    for (node, of), trial in newest.items():
        if trial.data.invalid or not trial.data.end:
            yield f"{node}: {of.says}: {trial.data.invalid or 'cut off before its end'}"


def _same(run: JudgedRun, trial: JudgedTrial) -> Same:
    plan, data = trial.plan, trial.data
    facts = {
        "versions": versions(run),
        "margin": text.percent(plan.margin),
        "level": text.level(plan.confidence),
        "imports": "recorded" if data.imported else "not recorded",
    }
    facts |= {f"code of {arm.name}": _digest(arm.code) for arm in data.declared.arms}
    lost = {line.arm for line in data.failures} | {line.arm for line in data.absences}
    return Same(key(data), facts, {a: code for a, code in data.imported.items() if a not in lost})


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()


def _imported(by_arm: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the digest of each file, or by arm where it is not the same for all."""
    found: dict[str, dict[str, str]] = {}
    for arm, files in sorted(by_arm.items()):
        for path, digest in files.items():
            found.setdefault(path, {})[arm] = digest
    return {path: _alike(own, len(by_arm)) for path, own in found.items()}


def _alike(digests: Mapping[str, str], arms: int) -> str:
    if len(digests) == arms and len(set(digests.values())) == 1:
        return next(iter(digests.values()))
    return ", ".join(f"{digest} for {arm}" for arm, digest in digests.items())


def _rows(same: Same, together: Mapping[Same, Mapping[str, Placed]]) -> Iterator[KindRow]:
    placed = together[same]
    beside = same.beside(other for other in together if other.key == same.key)
    for arm, metric in _told(placed):
        found = {name: _evidence(p.trial, arm, metric) for name, p in placed.items()}
        there = {name: f for name, f in found.items() if isinstance(f, Finding)}
        if there:
            judged = of_kind(list(there.values()), next(iter(placed.values())).trial.plan)
            yield KindRow(same.key, arm, judged, tuple(there), beside)


def _told(placed: Mapping[str, Placed]) -> Iterator[tuple[str, Metric]]:
    """Yield the arms, each with the metrics that a kind is told of."""
    data = next(iter(placed.values())).trial.data
    shown = [m for m in data.declared.metrics if m.name in SHOWN and told_by_nodes(m)]
    yield from product(data.treatments, shown)


def _evidence(trial: JudgedTrial, arm: str, metric: Metric) -> Finding | str:
    """Return what a node says of an arm, or why that counts for no kind."""
    answer, finding = trial.answer(arm), trial.find(arm, metric.name)
    if answer.word is Word.FAILED or (not finding and answer.reason):
        return f"{answer.word}: {answer.reason}"
    if not finding:
        return f"{metric.title}: not measured here"
    if not counts(finding):
        there, wanted = finding.estimate.blocks, finding.thresholds.min_blocks
        return f"{metric.title}: {text.count(there, 'block')} of the {wanted} that it takes"
    return finding


def _arms_left_out(same: Same, placed: Mapping[str, Placed]) -> Iterator[str]:
    """Yield which arms do not count on which nodes, and why; not what no node of them tells."""
    for arm, metric in _told(placed):
        is_told = any(p.trial.find(arm, metric.name) for p in placed.values())
        for name, p in placed.items():
            why = _evidence(p.trial, arm, metric)
            failed = p.trial.answer(arm).word is Word.FAILED
            if isinstance(why, str) and (is_told or failed):
                yield f"{name}: {same.key.says}: {arm}: {why}"
