"""Sees to it that what was asked for is measured: hands units to nodes, and hears what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keras_ab.bench.fleet.node import Errand, Event
from keras_ab.bench.fleet.orders import Order, Unit
from keras_ab.bench.fleet.state import UnitState, state, states
from keras_ab.bench.fleet.there import There
from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.store import Store
from keras_ab.bench.lab.words.errors import RecordError

MOST_TRIES = 3
"""How often a unit is begun or continued in one invocation."""

SILENCE_S = 600.0
"""A node that says nothing for so long, not even that it is alive, is given up."""

LOOK_S = 1.0

PATIENCE_S = 1200.0
"""How long a store that is away is waited for, when nothing else is under way."""


class Cluster(Protocol):
    """Where nodes are, and how they are asked for something."""

    def nodes(self) -> list[There]:
        """Return the nodes that answer, each with a slot."""

    def begin(self, node: There, errand: Errand, code: bytes) -> None:
        """Have a node carry something out, alone."""

    def events(self, timeout_s: float) -> Iterable[Event]:
        """Return what has happened since; a node that is lost has failed."""

    def give_up(self, unit: str) -> None:
        """Hear no more of a unit, and end it where that is possible."""


@dataclass
class UnderWay:
    """A unit that a node is measuring."""

    node: There
    heard_at: float
    began: bool = False


@dataclass
class Running:
    """What was asked for, under way.

    Args:
        cluster: whose nodes measure.
        store: where runs go.
        order: what was asked for.
        nodes: those that may be used.
        say: tells a line.
        code: files that the nodes are to have, packed.
        now: monotonic seconds.
    """

    cluster: Cluster
    store: Store
    order: Order
    nodes: Sequence[There]
    say: Callable[[str], None]
    code: bytes = b""
    now: Callable[[], float] = clock.now
    tries: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, UnderWay] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Ids of nodes that were lost."""
    away_since: float | None = None
    """Since when the store is away; None where it is there."""

    def run(self) -> list[UnitState]:
        """Measure what is left; return what has become of all.

        Nothing is begun while the store is away, for nobody knows then what is left.

        Raises:
            RecordError: the store is away for too long, and nothing is left to be measured.
        """
        found = {state.unit.name: state for state in states(self.store, self.order)}
        ended: set[str] = set()
        while True:
            if not ended:
                self._begin(list(found.values()))
                if not self.under_way:
                    return list(found.values())
            ended |= self._hear()
            seen = {unit: told for unit in ended if (told := self._looked(unit))}
            found, ended = found | seen, ended - seen.keys()

    def _looked(self, unit: str) -> UnitState | None:
        """Return what has become of a unit; None while the store is away."""
        try:
            found = state(self.store, self.order, unit)
        except RecordError as error:
            self.away_since = self.away_since or self.now()
            if not self.under_way and self.now() - self.away_since > PATIENCE_S:
                raise
            self.say(f"the store is away: {error.received}")
            time.sleep(LOOK_S)
            return None
        self.away_since = None
        return found

    def _begin(self, found: Sequence[UnitState]) -> None:
        """Hand to nodes what can be handed to them now."""
        for unit in found:
            name = unit.unit.name
            if unit.complete or name in self.under_way or self.tries.get(name, 0) >= MOST_TRIES:
                continue
            if node := self._node_for(unit, found):
                self._hand(unit, node)

    def _free(self) -> list[There]:
        busy = {under_way.node.id for under_way in self.under_way.values()}
        return [node for node in self.nodes if node.id not in busy | self.lost]

    def _node_for(self, unit: UnitState, found: Sequence[UnitState]) -> There | None:
        """Return the node that began a unit, or else one that has no other repeat of it."""
        free = [node for node in self._free() if node.kind == unit.unit.kind]
        if (last := unit.left_open) and (same := _called(free, last.claim.node)):
            return same
        taken = self._others(unit.unit, found)
        return next((node for node in free if node.name not in taken), None)

    def _others(self, unit: Unit, found: Sequence[UnitState]) -> set[str]:
        """Return the nodes that have measured, or are measuring, the same trials."""
        others = [
            other
            for other in found
            if other.unit.kind == unit.kind and other.unit.repeat != unit.repeat
        ]
        told = {attempt.claim.node for other in others for attempt in other.attempts}
        names = {other.unit.name for other in others} & self.under_way.keys()
        return told | {self.under_way[name].node.name for name in names}

    def _hand(self, left: UnitState, node: There) -> None:
        unit, last = left.unit, left.left_open
        continued = last is not None and last.claim.node == node.name
        attempt = max((a.claim.attempt for a in left.attempts), default=0) + (not continued)
        told = Node(
            name=node.name,
            kind=node.kind,
            fleet=self.order.fleet,
            unit=unit.name,
            attempt=attempt,
            clock_ahead_s=node.clock_ahead_s,
        )
        errand = Errand(
            store=self.store.url,
            node=told,
            arguments=self.order.arguments,
            trials=left.rest,
            continued=continued,
        )
        self.tries[unit.name] = self.tries.get(unit.name, 0) + 1
        self.under_way[unit.name] = UnderWay(node, self.now())
        how = "goes on with" if continued else "begins"
        self.say(
            f"{unit.name}: node {node.name} {how} {told.run}, {count(len(left.rest), 'trial')}"
        )
        self.cluster.begin(node, errand, self.code)

    def _hear(self) -> set[str]:
        """Hear what has happened; return the units that have ended."""
        events = list(self.cluster.events(LOOK_S))
        for unit in self._silent():
            self.cluster.give_up(unit)
            events.append(Event(unit=unit, what="failed", said="nothing was heard of it"))
        heard = (event for event in events if event.unit in self.under_way)
        return {event.unit for event in heard if self._heard(event)}

    def _heard(self, event: Event) -> bool:
        under_way = self.under_way[event.unit]
        under_way.heard_at, under_way.began = self.now(), True
        if event.said:
            self.say(f"{event.unit}: {event.said}")
        if not event.ends:
            return False
        del self.under_way[event.unit]
        if event.what == "failed":
            self.lost.add(under_way.node.id)
            self.nodes = [*self.nodes, *self._come_back(under_way.node)]
        return True

    def _come_back(self, gone: There) -> list[There]:
        """Return a node that was lost and is there again, by another id and with its versions."""
        known = {node.id for node in self.nodes}
        found = [n for n in self.cluster.nodes() if n.name == gone.name and n.id not in known]
        alike = [n for n in found if self._any_versions or n.software == gone.software]
        if len(alike) < len(found):
            self.say(f"{gone.name}: is back with other versions, and is left out")
        return alike

    @property
    def _any_versions(self) -> bool:
        return "versions" in self.order.allow

    def _silent(self) -> list[str]:
        """Return the units whose nodes began and have said nothing for too long."""
        now = self.now()
        silent = (u for u, told in self.under_way.items() if told.began)
        return [u for u in silent if now - self.under_way[u].heard_at > SILENCE_S]


def _called(nodes: Iterable[There], name: str) -> There | None:
    return next((node for node in nodes if node.name == name), None)
