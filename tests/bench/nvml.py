"""A fake NVML that answers as NVIDIA's does."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


@dataclass(eq=False)
class FakeGpu:
    """One GPU; what it does not tell raises, as in a driver that is too old.

    Args:
        uuid: of it.
        name: of it.
        told: what NVML's functions return, by the end of their names.
        parts: the instances that MIG has parted it into.
        whole: what it is an instance of.
    """

    uuid: str
    name: str = "NVIDIA Fake"
    told: dict[str, Any] = field(default_factory=dict)
    parts: list["FakeGpu"] = field(default_factory=list)
    whole: "FakeGpu | None" = None

    def __post_init__(self):
        for part in self.parts:
            part.whole = self


TOLD = {
    "MemoryInfo": SimpleNamespace(total=80 * 2**30),
    "MaxClockInfo": {1: 1980, 2: 2619},
    "ClockInfo": {1: 1500, 2: 2600},
    "PowerUsage": 312_500,
    "Temperature": {0: 61},
    "CurrentClocksThrottleReasons": 0x1 | 0x4 | 0x40,  # idle is no reason to worry
    "ViolationStatus": {0: SimpleNamespace(violationTime=2_500_000_000)},
    "TotalEnergyConsumption": 5_000,
    "EnforcedPowerLimit": 700_000,
    "PersistenceMode": 1,
    "ComputeMode": 0,
    "CudaComputeCapability": (9, 0),
    "ComputeRunningProcesses": [],
}


def eight(name="NVIDIA Fake"):
    """Return eight GPUs that are alike, and tell all there is."""
    return [FakeGpu(f"GPU-{n}{n}aa-0000", name, dict(TOLD)) for n in range(8)]


class FakeNvml:
    """NVML on a machine with some GPUs."""

    NVMLError = NVMLError

    def __init__(self, gpus):
        self.gpus = gpus

    def __getattr__(self, name):
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        what = name.removeprefix("nvmlDeviceGet")

        def ask(gpu, *which):
            if what not in gpu.told:
                raise NVMLError("Not Supported")
            told = gpu.told[what]
            if isinstance(told, dict):
                if which[0] not in told:
                    raise NVMLError("Not Supported")
                return told[which[0]]
            return told

        return ask

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "600.1"

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu):  # noqa: N802
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu):  # noqa: N802
        return gpu.name

    def nvmlDeviceGetMigMode(self, gpu):  # noqa: N802
        return [int(bool(gpu.parts)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, _gpu):  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu, index):  # noqa: N802
        if index >= len(gpu.parts):
            raise NVMLError("Not Found")
        return gpu.parts[index]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, gpu):  # noqa: N802
        if gpu.whole is None:
            raise NVMLError("Invalid Argument")
        return gpu.whole
