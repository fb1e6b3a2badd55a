"""Which device a run is measured on: one GPU, named by its UUID, or the CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.loop.gpu import Gpu, gpus
from keras_ab.bench.lab.record.records import Header
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.steps import MemoryShare

AUTO, CPU = "auto", "cpu"
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"

CONTEXT_BYTES = 2**30
"""Kept free for each process beside its pool: CUDA's context, loaded code, libraries' workspaces.

An estimate: TensorFlow's GPU build takes about half of it.
"""


@dataclass(frozen=True)
class Device:
    """What all workers of a run compute on, and its gauges look at.

    Args:
        gpu: the GPU; None for the CPU.
        untouched: whether workers see what this process sees: there is no GPU to choose or hide.
    """

    gpu: Gpu | None = None
    untouched: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables by which workers see this device and no other."""
        if self.untouched:
            return {}
        return {VISIBLE: self.gpu.uuid if self.gpu else ""}

    def share(self, processes: int) -> MemoryShare | None:
        """Return the device memory of each of so many processes; None where that is not known."""
        total = self.gpu.memory_bytes if self.gpu else None
        if total is None:
            return None
        equal = total // processes
        return MemoryShare(max(equal - CONTEXT_BYTES, equal // 4), total)

    def holds(self, gpu_bytes: int, processes: int) -> bool:
        """Tell whether each of so many processes can have so much of a GPU's memory."""
        share = self.share(processes)
        return not gpu_bytes or (share is not None and share.bytes >= gpu_bytes)


def choose(
    asked: str = AUTO,
    present: Sequence[Gpu] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Device:
    """Return the device of a run.

    Args:
        asked: ``auto``: the first GPU that CUDA would show, or else the CPU; ``cpu``; or a GPU by
            its UUID or the beginning of it, or by its number as nvidia-smi counts.
        present: the GPUs of this machine.
        environment: what this process sees of them is in its variables.

    Raises:
        DeclarationError: there is no such GPU, or it is not clear which is meant.
    """
    present = gpus() if present is None else present
    if asked == CPU or not present:
        if asked not in (AUTO, CPU):
            raise _not_there(asked, present)
        return Device(untouched=not present)
    if asked != AUTO:
        return Device(_named(asked, present))
    visible = environment.get(VISIBLE)
    if visible is None:
        return Device(present[0])
    first = visible.split(",")[0].strip()
    if not first or first.startswith("-"):
        return Device()
    _check_order(first, present, environment)
    return Device(_named(first, present))


def _named(name: str, present: Sequence[Gpu]) -> Gpu:
    if name.isdigit() and int(name) < len(present):
        return present[int(name)]
    found = [gpu for gpu in present if gpu.uuid.startswith(name)] if not name.isdigit() else []
    if len(found) != 1:
        raise _not_there(name, present)
    return found[0]


def _not_there(name: str, present: Sequence[Gpu]) -> DeclarationError:
    there = "; ".join(f"{n}: {gpu.name}, {gpu.uuid}" for n, gpu in enumerate(present))
    return DeclarationError(
        f"a run is measured on one GPU of this machine ({there or 'which has none'})",
        repr(name),
        "give --ab-device one of these, or cpu, and see that CUDA_VISIBLE_DEVICES does not hide it",
    )


def _check_order(first: str, present: Sequence[Gpu], environment: Mapping[str, str]) -> None:
    """Refuse a number where CUDA may count otherwise than NVML: the fastest first."""
    alike = len({gpu.name for gpu in present}) == 1
    if first.isdigit() and not alike and environment.get(ORDER) != "PCI_BUS_ID":
        raise DeclarationError(
            f"{VISIBLE} says by a number which GPU is meant only where {ORDER} is PCI_BUS_ID",
            f"{VISIBLE}={environment[VISIBLE]} among {', '.join(gpu.name for gpu in present)}",
            f"export {ORDER}=PCI_BUS_ID, or name the GPU by its UUID in --ab-device",
        )


def device_of(header: Header) -> str:
    """Return what a run was measured on; `AUTO` where an older one did not tell."""
    gpus = header.machine.get("gpus") or [{"uuid": CPU}]
    return gpus[0].get("uuid", AUTO)
