"""Which cases are measured: those that are asked for, where the device has room for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_ab.bench.lab.judge.text import count
from keras_ab.bench.lab.loop.device import AUTO, Device
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
