"""The one place that knows Ray: where nodes are, and how they are asked for something.

Ray finds nodes, starts a process on one and tells when that is gone. It retries nothing, reuses
nothing, and measures nothing: see `clean`. A task brings back text, which is checked like a file's.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from keras_ab.bench.fleet import node as on_node
from keras_ab.bench.fleet import there as on_there
from keras_ab.bench.fleet.node import Errand, Event
from keras_ab.bench.fleet.there import There, by_clock
from keras_ab.bench.lab import clock
from keras_ab.bench.lab.words.errors import DeclarationError, LabError

if TYPE_CHECKING:
    from keras_ab.bench.fleet.choosing import Chosen

SLOT = "keras-ab"
"""The custom resource of which a node has one: whoever holds it is alone."""

ANSWER_S = 90.0
"""How long a node may take to tell what it is: Ray starts a process there, which imports us."""

SELECT_S = 300.0
"""How long it may take to tell what arguments select there: pytest collects it."""

CONNECT_S = 5.0

QUIET = {
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
"""What we set where we start Ray: nothing is killed for want of memory but by the system itself."""


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise DeclarationError(
            "Ray is installed where a fleet is asked for something",
            str(error),
            "pip install 'keras-ab[fleet]'",
        ) from error
    return ray


def connect(address: str | None, uv: Path | None = None) -> RayCluster:
    """Return a cluster: the one at an address, or this machine alone, with a Ray of its own.

    Args:
        address: host and port of its head; None for this machine alone.
        uv: requirements with which uv makes an environment on each node; None for the node's own.

    Raises:
        DeclarationError: nothing answers there, or it does not take our token.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    if address:
        _check_token()
        _check_answers(address)
    elif not _token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ray = _ray()
    options: dict[str, Any] = {"address": address} if address else _alone()
    try:
        ray.init(log_to_driver=False, logging_level="error", configure_logging=False, **options)
    except Exception as error:
        raise DeclarationError(
            "a Ray cluster answers, and takes the token that this process has",
            f"{address or 'this machine'}: {' '.join(str(error).split())[:400]}",
            "see that the address and the token are those of its head: ray get-auth-token",
        ) from error
    return RayCluster(ray, _packages(uv))


def _alone() -> dict[str, Any]:
    return {"address": "local", "resources": {SLOT: 1}, "include_dashboard": False}


def _packages(uv: Path | None) -> list[str]:
    if uv is None:
        return []
    try:
        lines = [line.strip() for line in uv.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DeclarationError(
            "the requirements for uv can be read", f"{uv}: {error.strerror}", "check the path"
        ) from error
    return [line for line in lines if line and not line.startswith("#")]


def _token() -> bool:
    """Tell whether Ray will find a token."""
    told = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(told) or (Path.home() / ".ray" / "auth_token").exists()


def _check_token() -> None:
    if os.environ["RAY_AUTH_MODE"] == "token" and not _token():
        raise DeclarationError(
            "a fleet asks with its cluster's token: whoever has it can carry out anything there",
            "no RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
            "ray get-auth-token --generate on the head, and copy it; or, where nobody else can "
            "reach the cluster, RAY_AUTH_MODE=disabled",
        )


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise DeclarationError(
            "a Ray cluster answers at the address HOST:PORT of its head",
            f"{address}: {error}",
            "ray start --head there, or leave --address out for this machine alone",
        ) from error


class RayCluster:
    """The nodes of a Ray cluster that have a slot for us.

    Args:
        ray: the module, connected.
        packages: with which uv makes an environment for what is carried out; none for the node's.
    """

    def __init__(self, ray: ModuleType, packages: list[str]) -> None:
        self._ray = ray
        self._environment = {"runtime_env": {"uv": packages}} if packages else {}
        self._streams: dict[Any, tuple[str, str]] = {}
        """What is under way, each with its unit and its node."""
        self.silent: list[str] = []
        """What did not answer when it was asked what it is, and why."""

    def close(self) -> None:
        """Leave the cluster; what was begun here ends."""
        self._ray.shutdown()

    def _with_slot(self) -> dict[str, Mapping[str, Any]]:
        """Return Ray's own facts of nodes that are alive and have a slot, by their ids."""
        alive = (told for told in self._ray.nodes() if told["Alive"])
        return {told["NodeID"]: told for told in alive if told["Resources"].get(SLOT, 0) >= 1}

    def nodes(self) -> list[There]:
        """Return what the nodes with a slot tell of themselves."""
        asked, before = {}, clock.now_utc()
        for node, facts in self._with_slot().items():
            labels = {name: str(value) for name, value in (facts.get("Labels") or {}).items()}
            asked[self._on(node, _told, num_cpus=0).remote(node, labels)] = node
        self.silent = []
        found = (self._answered(ref, node, before) for ref, node in asked.items())
        return sorted((there for there in found if there), key=lambda there: there.name)

    def _answered(self, ref: Any, node: str, before: Any) -> There | None:
        try:
            there = There.model_validate_json(self._ray.get(ref, timeout=ANSWER_S))
        except Exception as error:  # noqa: BLE001 - Ray raises what the node did, of any type
            self.silent.append(f"{node[:8]}: {_refused(error) or _first_line(error)}")
            return None
        return by_clock(there, before, clock.now_utc())

    def _on(self, node: str, function: Any, **resources: Any) -> Any:
        """Return a task that runs on one node or fails: never retried, in a process of its own."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return self._ray.remote(max_calls=1)(function).options(
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            **self._environment,
            **resources,
        )

    def _alone_on(self, node: str, function: Any) -> Any:
        """Return a task that has all of a node."""
        there = self._with_slot().get(node, {"Resources": {}})["Resources"]
        whole = {"num_cpus": there.get("CPU", 0), "num_gpus": there.get("GPU", 0)}
        return self._on(node, function, resources={SLOT: 1}, num_returns="streaming", **whole)

    def select(self, node: There, arguments: Sequence[str], code: bytes) -> Chosen:
        """Return what arguments of pytest select on a node.

        Raises:
            DeclarationError: they select nothing there.
        """
        from keras_ab.bench.fleet.choosing import Chosen

        task = self._on(node.id, _selected, num_cpus=0).remote(list(arguments), code)
        try:
            return Chosen.model_validate_json(self._ray.get(task, timeout=SELECT_S))
        except Exception as error:
            refused = _refused(error)
            raise DeclarationError(
                "the arguments after -- select at least one trial on a node of each kind",
                f"on {node.name}: {refused.received if refused else _first_line(error)}",
                "try them there with: pytest --benchmark --collect-only; or choose others by --on",
            ) from error

    def begin(self, node: There, errand: Errand, code: bytes) -> None:
        """Have a node carry something out, alone."""
        stream = self._alone_on(node.id, _carried_out).remote(errand.model_dump_json(), code)
        self._streams[stream] = (errand.node.unit, node.id)

    def examine(self, node: There, backend: str) -> None:
        """Have the doctor look at a node, alone."""
        stream = self._alone_on(node.id, _examined).remote(backend, node.name)
        self._streams[stream] = (node.name, node.id)

    def events(self, timeout_s: float) -> Iterable[Event]:
        """Yield what has happened, waiting for the first of it."""
        streams = list(self._streams)
        if not streams:
            return
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=timeout_s)
        for stream in ready:
            yield from self._next(stream)

    def _next(self, stream: Any) -> Iterator[Event]:
        unit, node = self._streams[stream]
        try:
            event = Event.model_validate_json(self._ray.get(next(stream)))
        except StopIteration:
            event = Event(unit=unit, what="cut off", said="it ended without a word")
        except ValidationError:
            event = Event(unit=unit, what="failed", said="the node says what no node of ours says")
        except Exception as error:  # noqa: BLE001 - Ray raises what the node did, of any type
            event = self._lost(unit, node, error)
        if event.ends:
            del self._streams[stream]
        yield event

    def _lost(self, unit: str, node: str, error: Exception) -> Event:
        """Return that a task is gone: with its node, or alone, and can be begun there again."""
        if node in self._with_slot():
            return Event(unit=unit, what="cut off", said=_first_line(error))
        return Event(unit=unit, what="failed", said=_first_line(error))

    def give_up(self, unit: str) -> None:
        """Hear no more of a unit, and end it where that is possible."""
        for stream in [s for s, (name, _) in self._streams.items() if name == unit]:
            del self._streams[stream]
            self._ray.cancel(stream, force=True)


def _refused(error: Exception) -> LabError | None:
    """Return what a node refused, of which Ray raises an error of its own; None for another."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, LabError) else None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]


def _told(node: str, labels: Mapping[str, str]) -> str:
    return on_there.told(node, labels).model_dump_json()


def _selected(arguments: Sequence[str], code: bytes) -> str:
    from keras_ab.bench.fleet.choosing import choose_on_node

    return choose_on_node(arguments, code).model_dump_json()


def _carried_out(errand: str, code: bytes) -> Iterator[str]:
    for event in on_node.carry_out(Errand.model_validate_json(errand), code):
        yield event.model_dump_json()


def _examined(backend: str, node: str) -> Iterator[str]:
    for event in on_node.examine(backend, node):
        yield event.model_dump_json()
