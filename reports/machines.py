"""Which runs come from one machine, how people call it, and what changed on it between runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.differences import differences
from keras_ab.bench.lab.record.records import Round
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.backend_names import FRAMEWORKS
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import legible

OF_BACKEND = {name: framework.packages for name, framework in FRAMEWORKS.items()}
"""The packages whose version a reader asks for, by backend; keras is always among them."""
SHOWN_VERSIONS = {
    **{name: framework.title for framework in FRAMEWORKS.values() for name in framework.packages},
    "keras": "Keras",
}


@dataclass(frozen=True)
class Placed:
    """A trial and the run that it belongs to."""

    run: JudgedRun
    trial: JudgedTrial


@dataclass(frozen=True)
class Key:
    """What two trials must share to be trials of the same thing."""

    experiment: str
    case: tuple[tuple[str, str], ...]
    backend: str = ""
    """Name of the backend, where trials on several lie side by side."""

    @property
    def says(self) -> str:
        """The key for people, ``labels, classes=10, batch=256``."""
        told = [self.experiment, *(f"{name}={value}" for name, value in self.case)]
        return ", ".join([*told, f"on {self.backend}"] if self.backend else told)


def key(data: TrialData) -> Key:
    """Return what a trial is a trial of."""
    case = sorted((name, str(value)) for name, value in data.declared.case.items())
    return Key(data.declared.experiment, tuple(case))


@dataclass(frozen=True)
class Machine:
    """All runs of one machine with one backend, oldest first."""

    name: str
    runs: list[JudgedRun]

    @property
    def simulated(self) -> bool:
        """Whether its numbers were drawn and not measured."""
        return is_simulated(self.runs[-1])

    @property
    def newest(self) -> list[Placed]:
        """The newest trial of everything that was ever measured here, in the order declared."""
        found: dict[Key, Placed] = {}
        for run in self.runs:
            for trial in run.trials:
                found[key(trial.data)] = Placed(run, trial)
        order = {k: n for n, k in enumerate(key(t.data) for t in self.runs[-1].trials)}
        return [found[k] for k in sorted(found, key=lambda k: order.get(k, len(order)))]


def is_simulated(run: JudgedRun) -> bool:
    """Tell whether a run's header says that it was simulated."""
    return bool(run.header.machine.get("simulated"))


def gpu_names(machine: dict[str, Any]) -> list[str]:
    """Return the names of a machine's GPUs."""
    return [str(gpu.get("name")) for gpu in _gpu_facts(machine)]


def _gpu_facts(machine: dict[str, Any]) -> list[dict[str, Any]]:
    gpus = machine.get("gpus")
    return [gpu for gpu in (gpus if isinstance(gpus, list) else []) if isinstance(gpu, dict)]


def throttled(line: Round) -> str:
    """Return why the GPU was slowed down in a round; empty where it was not."""
    reasons = (line.gpu or {}).get("throttled")
    return ", ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""


def machine_name(run: JudgedRun) -> str:
    """Return a machine's name for people: its GPUs, or else its processor and cores; its node."""
    return ", ".join(filter(None, (_gpus(run) or _processor(run), _node(run))))


def _node(run: JudgedRun) -> str:
    """Return what tells a machine from others of its kind, where a fleet asked for the run."""
    node = run.header.node
    return f"node {node.name}" if node else ""


def _gpus(run: JudgedRun) -> str:
    return _name(", ".join(dict.fromkeys(gpu_names(run.header.machine))))


def _processor(run: JudgedRun) -> str:
    facts = run.header.machine
    cores = facts.get("cores_usable")
    counted = f", {cores} core{'' if cores == 1 else 's'}" if isinstance(cores, int) else ""
    return _name(f"{facts.get('cpu', 'unknown processor')}{counted}")


def _name(words: str) -> str:
    return " ".join(legible(words, 120).split())


def short(names: Sequence[str]) -> dict[str, str]:
    """Return names of machines without what all of them share, ``, 2 cores``, and trademarks."""
    parts = [_plain(name).split(", ") for name in names]
    shared = set.intersection(*map(set, parts)) if len(parts) > 1 else set()
    return {
        name: ", ".join(part for part in own if part not in shared) or ", ".join(own) or name
        for name, own in zip(names, parts, strict=True)
    }


def _plain(name: str) -> str:
    """Return a machine's name as people say it, ``Intel Xeon``."""
    return " ".join(_TRADE.sub(" ", name).split()).replace(" ,", ",")


_TRADE = re.compile(r"\((?:R|TM)\)|\b(?:Processor|CPU)\b")


def versions(run: JudgedRun) -> str:
    """Return the versions that a reader asks for first, ``TensorFlow 2.21.0, Keras 3.15.1``."""
    packages = run.header.environment.get("packages")
    installed = packages if isinstance(packages, dict) else {}
    wanted = (*OF_BACKEND.get(run.header.backend, ()), "keras")
    found = {SHOWN_VERSIONS[name]: installed[name] for name in wanted if name in installed}
    python = run.header.environment.get("python")
    return ", ".join(f"{name} {version}" for name, version in (found | {"Python": python}).items())


def machines(runs: Iterable[JudgedRun]) -> list[Machine]:
    """Group runs by machine and backend, in the order in which they first appear."""
    groups: dict[tuple[str, ...], list[JudgedRun]] = {}
    for run in runs:
        identity = (_gpus(run), _processor(run), _name(run.header.backend), _node(run))
        groups.setdefault(identity, []).append(run)
    short = [machine_name(group[-1]) for group in groups.values()]
    return [
        Machine(name if short.count(name) == 1 else ", ".join(filter(None, identity)), group)
        for name, (identity, group) in zip(short, groups.items(), strict=True)
    ]


def changes(before: JudgedRun, after: JudgedRun) -> list[str]:
    """Return a line for each difference in machine, software, settings or drivers of two runs.

    Machines of one name can be two: the GPU's uuid tells, or what else is recorded of them.
    """
    old, new = (
        run.header.environment
        | {"backend": run.header.backend, "machine": _machine(run)}
        | _drivers(run)
        for run in (before, after)
    )
    return [legible(line, 300) for line in differences(old, new)]


def _machine(run: JudgedRun) -> dict[str, Any]:
    """Return what is recorded of a machine; of its GPUs, all but the driver, by their number."""
    facts = run.header.machine
    gpus = {f"{n}": _sized(gpu, {"driver"}) for n, gpu in enumerate(_gpu_facts(facts), 1)}
    return _sized(facts, {"gpus"}) | {"gpu": gpus}


def _sized(facts: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    """Return facts with sizes in three digits: what a kernel keeps for itself is no change."""
    kept = {name: value for name, value in facts.items() if name not in left_out}
    return {
        name: text.fact(name, value) if name.endswith("_bytes") else value
        for name, value in kept.items()
    }


def _drivers(run: JudgedRun) -> dict[str, Any]:
    gpus = _gpu_facts(run.header.machine)
    return {"driver": sorted({str(gpu["driver"]) for gpu in gpus if "driver" in gpu})}
