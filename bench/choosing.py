"""What is measured: the cases that are asked for and have room, on a backend that runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.loop.device import AUTO, Device
from keras_ab.bench.lab.words.backend_names import DEFAULT
from keras_ab.bench.lab.words.declare import SELECTIONS, Case, Experiment


@dataclass(frozen=True)
class Choice:
    """Chooses cases, and keeps which it left out.

    Args:
        selection: one of `SELECTIONS`.
        device: that they are measured on.
        left_out: cases for which the device has no room, with their experiments' names.
    """

    selection: str
    device: Device
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, asked: str, device: Device) -> Choice:
        """Return the choice that is asked for, or else that of the device."""
        fitting = "gpu" if device.gpu else "quick"
        return cls(fitting if asked == AUTO else asked, device)

    def cases(self, experiment: Experiment) -> list[Case]:
        """Return the cases of an experiment that are measured."""
        asked = SELECTIONS[self.selection](experiment.cases)
        processes = len(experiment.arms) + 1  # the baseline is there twice
        found = [case for case in asked if self.device.holds(case.gpu_bytes, processes)]
        self.left_out.extend(f"{experiment.name}[{x.id}]" for x in asked if x not in found)
        return found

    def says(self) -> list[str]:
        """Return a line on what was left out, if anything was."""
        if not self.left_out:
            return []
        number = count(len(self.left_out), "case")
        return [f"left out, for want of a GPU with the memory: {number}, {self.left_out[0]} first"]


def backend_for(experiments: Iterable[Experiment]) -> str:
    """Return the backend to run on where none is asked for: the only one of all, if it is one."""
    backends = {name for experiment in experiments for name in experiment.backends}
    return backends.pop() if len(backends) == 1 else DEFAULT


def said_of_backend(trials: Mapping[str, Experiment], backend: str, asked: str | None) -> list[str]:
    """Return why a run is on a backend that nobody asked for, and which trials that does not run.

    Args:
        trials: the experiments of the selected ones, by id.
        backend: of the run.
        asked: the one that was asked for, if any was.
    """
    alone = f"--ab-backend {backend}: all that is selected runs on it alone"
    chosen = [] if asked or backend == DEFAULT else [alone]
    left = [trial for trial, experiment in trials.items() if backend not in experiment.backends]
    if not left:
        return chosen
    elsewhere = " or ".join(trials[left[0]].backends)
    number = count(len(left), "trial")
    return [f"not run by {backend}: {number}, {left[0]} first; add --ab-backend {elsewhere}"]
