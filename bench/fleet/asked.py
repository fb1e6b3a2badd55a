"""What `keras-ab fleet` does: nodes, run, status, resume."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from keras_ab.bench.fleet import orders, software
from keras_ab.bench.fleet.choosing import Chosen, choose
from keras_ab.bench.fleet.cluster import RayCluster, connect
from keras_ab.bench.fleet.orders import Order
from keras_ab.bench.fleet.running import Running
from keras_ab.bench.fleet.state import UnitState, states, told
from keras_ab.bench.fleet.there import There, check_alike, chosen, said_of_clock
from keras_ab.bench.lab.clock import now_utc
from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.loop.session import new_run_id
from keras_ab.bench.lab.record.store import Store, store
from keras_ab.bench.lab.words.errors import DeclarationError, LabError, RecordError
from keras_ab.reports.closing import close_many

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a fleet is asked for; see the help of `keras-ab fleet run`.

    Args:
        runs: URL or folder of the store.
        address: of the cluster's head; None for this machine alone.
        arguments: of pytest.
        on: labels that nodes must have.
        repeat: how many nodes of a kind measure the same trials; None for all.
        shard: whether nodes of a kind share the trials.
        allow: what may differ between nodes: ``versions``.
        doctor: whether the doctor looks at each node before anything is measured.
        uv: requirements with which uv makes an environment on each node.
    """

    runs: str
    address: str | None = None
    arguments: Sequence[str] = ()
    on: Sequence[str] = ()
    repeat: int | None = 1
    shard: bool = False
    allow: Sequence[str] = ()
    doctor: bool = True
    uv: Path | None = None
    fleet: str = field(default_factory=new_run_id)


def nodes(asked: Asked, backend: str, say: Say) -> bool:
    """Say what there is, and what the doctor says of each; tell whether any is fit."""
    cluster = connect(asked.address, asked.uv)
    try:
        found = chosen(_there(cluster, say), asked.on)
        fit = _fit(cluster, found, backend, say) if asked.doctor else found
        _tell(found, say)
    finally:
        cluster.close()
    return bool(fit)


def _tell(found: Sequence[There], say: Say) -> None:
    for node in found:
        labels = " ".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
        say(f"{node}\n  {labels}".rstrip())


def _there(cluster: RayCluster, say: Say) -> list[There]:
    """Return the nodes that answer; say which do not, and whose clocks are wrong."""
    found = cluster.nodes()
    for why in cluster.silent:
        say(f"left out, {why}")
    for said in filter(None, map(said_of_clock, found)):
        say(said)
    return found


def _fit(cluster: RayCluster, found: Sequence[There], backend: str, say: Say) -> list[There]:
    """Have the doctor look at nodes; return those that it says nothing bad of."""
    say(f"the doctor looks at {count(len(found), 'node')} …")
    waiting, bad = {node.name for node in found}, set()
    for node in found:
        cluster.examine(node, backend)
    while waiting:
        for event in cluster.events(1.0):
            if event.ends:
                waiting.discard(event.unit)
                verdict = "fit" if event.what == "measured" else "left out"
                bad |= {event.unit} if event.what != "measured" else set()
                say(f"{event.unit}: {verdict}\n  " + event.said.replace("\n", "\n  "))
    return [node for node in found if node.name not in bad]


def run(asked: Asked, say: Say) -> bool:
    """Measure what is asked for; tell whether all of it came to its end."""
    place = store(_absolute(asked.runs))
    arguments = orders.checked([_relative(argument) for argument in asked.arguments])
    selected = choose(arguments)
    code = _code(selected)
    cluster = connect(asked.address, asked.uv)
    try:
        used = _usable(cluster, asked, selected.backend, say)
        arguments.append(f"--ab-backend={selected.backend}")
        trials = _trials(cluster, used, arguments, code)
        order = ordered(asked, arguments, selected.backend, trials, used, code)
        orders.keep(place, order)
        say(f"fleet {order.fleet}: {count(len(order.units), 'run')}, to {place.url}")
        return _run(cluster, place, order, used, code, say)
    finally:
        cluster.close()


def _absolute(runs: str) -> str:
    """Return a store's place as it is called wherever one stands."""
    return runs if "://" in runs else str(Path(runs).resolve())


def _relative(argument: str) -> str:
    """Return a path as seen from here, where it is of something below."""
    path, colons, rest = argument.partition("::")
    if Path(path).is_absolute() and Path(path).is_relative_to(Path.cwd()):
        return os.path.relpath(path) + colons + rest
    return argument


def _code(selected: Chosen) -> bytes:
    """Return the files that nodes are to have: none where all experiments come with us.

    Raises:
        DeclarationError: they lie elsewhere than below this folder.
    """
    if not selected.files:
        return b""
    here = Path.cwd().resolve()
    if elsewhere := [f for f in selected.files if here not in Path(f).resolve().parents]:
        raise DeclarationError(
            "the bench files that a fleet is sent lie below this folder",
            ", ".join(elsewhere),
            "stand in a folder that holds them",
        )
    return software.packed(here)


def _trials(
    cluster: RayCluster, used: Sequence[There], arguments: Sequence[str], code: bytes
) -> dict[str, dict[str, float]]:
    """Return the trials of each kind, as a node of it selects them: a GPU has cases of its own."""
    first = {node.kind: node for node in reversed(used)}
    return {kind: cluster.select(node, arguments, code).trials for kind, node in first.items()}


def _usable(
    cluster: RayCluster, asked: Asked, backend: str, say: Say, begun: Order | None = None
) -> list[There]:
    """Return the nodes that measure, all of which are fit and alike.

    Args:
        cluster: whose nodes they are.
        asked: what was asked for, now.
        backend: that they measure on.
        say: tells a line.
        begun: what is left of which they measure; None for what begins now.
    """
    found = chosen(_there(cluster, say), asked.on)
    if "versions" not in asked.allow:
        _check_versions(found, asked.uv is not None, begun, say)
    fit = _fit(cluster, found, backend, say) if asked.doctor else found
    if not fit:
        raise LabError(
            "the doctor finds at least one node fit to measure on",
            ", ".join(node.name for node in found),
            "mend what it says above, or leave it out with --no-doctor",
        )
    return fit


def _check_versions(found: Sequence[There], uv: bool, begun: Order | None, say: Say) -> None:
    """Refuse nodes that are not alike, or not as those that the rest was measured on."""
    if uv:
        check_alike(found, found[0].software, f"of node {found[0].name}")
    else:
        check_alike(found, software.software(), "that are here")
    if begun and begun.software:
        check_alike(found, begun.software, f"that {begun.fleet} was begun with")
    elif begun:
        say(
            f"{begun.fleet} tells of no versions, as an older order: whether they are the same "
            "as it was begun with is not known"
        )


def ordered(
    asked: Asked,
    arguments: list[str],
    backend: str,
    trials: Mapping[str, Mapping[str, float]],
    used: Sequence[There],
    code: bytes,
) -> Order:
    """Return what nodes are asked for.

    Args:
        asked: what was asked for.
        arguments: of pytest, for all nodes.
        backend: the same on all, whoever chose it.
        trials: of each kind; see `orders.divided`.
        used: the nodes.
        code: files that they are to have, packed.
    """
    kinds = Counter(node.kind for node in used)
    return Order(
        fleet=asked.fleet,
        asked=now_utc().isoformat(timespec="milliseconds"),
        arguments=arguments,
        backend=backend,
        code=sha256(code).hexdigest() if code else "",
        allow=list(asked.allow),
        software={} if "versions" in asked.allow else used[0].software,
        units=orders.divided(trials, kinds, asked.repeat, shard=asked.shard),
    )


def _run(
    cluster: RayCluster,
    place: Store,
    order: Order,
    used: Sequence[There],
    code: bytes,
    say: Say,
) -> bool:
    found = Running(cluster, place, order, used, say, code).run()
    say(told(found))
    whole = all(state.complete for state in found)
    say(close_many(place, order.fleet, Path(f"fleet-{order.fleet}.html")))
    if not whole:
        say(f"go on with: keras-ab fleet resume {order.fleet} --runs {place.url}")
    return whole


def status(asked: Asked, fleet: str | None, say: Say) -> bool:
    """Say what has become of a fleet, or of the newest, as the store tells it."""
    place = store(asked.runs)
    order = orders.kept(place, fleet or newest(place))
    found: list[UnitState] = states(place, order)
    say(f"fleet {order.fleet}, asked {order.asked}: {' '.join(order.arguments)}")
    say(told(found))
    return True


def newest(place: Store) -> str:
    """Return the fleet that was asked for last; names tell the minute, and orders tell the rest.

    Raises:
        RecordError: the store knows of none.
    """
    if not (found := orders.fleets(place)):
        raise RecordError(
            "a store knows of what a fleet was asked for",
            f"{place.url}: of nothing",
            "name another store with --runs, or ask: keras-ab fleet run",
        )
    minute = found[-1].rpartition("-")[0]
    latest = [fleet for fleet in found if fleet.rpartition("-")[0] == minute]
    return max(latest, key=lambda fleet: orders.kept(place, fleet).asked)


def resume(asked: Asked, fleet: str | None, say: Say) -> bool:
    """Measure what is left of a fleet; tell whether all of it came to its end."""
    place = store(_absolute(asked.runs))
    order = orders.kept(place, fleet or newest(place))
    allow = sorted({*order.allow, *asked.allow})
    asked, order = replace(asked, allow=allow), order.model_copy(update={"allow": allow})
    code = _same_code(order)
    cluster = connect(asked.address, asked.uv)
    try:
        used = _usable(cluster, asked, order.backend, say, order)
        return _run(cluster, place, order, used, code, say)
    finally:
        cluster.close()


def _same_code(order: Order) -> bytes:
    """Return the files that were sent along; what stands in a store chooses none.

    Raises:
        RecordError: those below this folder are others.
    """
    if not order.code:
        return b""
    code = software.packed(Path.cwd().resolve())
    if sha256(code).hexdigest() != order.code:
        raise RecordError(
            "what is left is measured with the code that the rest was measured with",
            f"the files below {Path.cwd()} are others than {order.fleet} was begun with",
            "stand where it was begun, with the same files, or ask anew: keras-ab fleet run",
        )
    return code
