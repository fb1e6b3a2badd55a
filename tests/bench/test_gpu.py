"""What is asked of a GPU, on a fake NVML that answers as NVIDIA's does."""

import sys
from types import SimpleNamespace

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.loop.gpu import gpus, visible, worst_gpu_state


class NVMLError(Exception):
    pass


class FakeNvml:
    """Three GPUs; the last is too old to count energy."""

    NVMLError = NVMLError

    def __init__(self):
        self.millijoules = 5_000

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return {"GPU-aa": 0, "GPU-bb": 1}[uuid]

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"NVIDIA Fake {handle}"

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "600.1"

    def nvmlDeviceGetMemoryInfo(self, _handle):  # noqa: N802
        return SimpleNamespace(total=80 * 2**30)

    def nvmlDeviceGetMaxClockInfo(self, _handle, which):  # noqa: N802
        return {1: 1980, 2: 2619}[which]

    def nvmlDeviceGetClockInfo(self, handle, which):  # noqa: N802
        return {1: 1500, 2: 2600}[which] - handle

    def nvmlDeviceGetPowerUsage(self, _handle):  # noqa: N802
        return 312_500

    def nvmlDeviceGetTemperature(self, _handle, sensor):  # noqa: N802
        return {0: 61}[sensor]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle):  # noqa: N802
        return 0x1 | 0x4 | 0x40  # idle, which is no reason to worry, power cap, heat

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if handle == 2:
            raise NVMLError("Not Supported")
        return self.millijoules

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle):  # noqa: N802
        return 700_000

    def nvmlDeviceGetPersistenceMode(self, _handle):  # noqa: N802
        return 1

    def nvmlDeviceGetMigMode(self, _handle):  # noqa: N802
        raise NVMLError("Not Supported")


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def test_units_are_si(nvml):
    gpu = gpus()[1]
    assert gpu.state() == {
        "sm_clock_hz": 1.499e9,
        "memory_clock_hz": 2.599e9,
        "power_w": 312.5,
        "temperature_c": 61,
        "throttled": ["power cap", "thermal (hardware)"],
    }
    assert gpu.settings() == {"power_limit_w": 700.0, "persistence": 1, "mig": None}
    assert gpu.facts()["max_memory_clock_hz"] == 2.619e9


def test_energy_is_counted_in_joules_where_it_is_counted(nvml):
    new, _, old = gpus()
    before = new.energy_j()
    nvml.millijoules += 2_500
    assert new.energy_j() - before == 2.5
    assert old.energy_j() is None


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("GPU-bb, 0", [1, 0]),
        ("1,7,0", [1]),
        ("-1", []),
        ("", []),
    ],
)
def test_only_the_gpus_that_cuda_shows_are_looked_at(nvml, monkeypatch, variable, seen):
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    names = [gpu.facts()["name"] for gpu in gpus(visible)]
    assert names == [f"NVIDIA Fake {index}" for index in seen]


def test_a_machine_without_a_driver_has_no_gpus(nvml, monkeypatch):
    def fails():
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setattr(nvml, "nvmlInit", fails)
    assert gpus() == []


def test_a_round_keeps_the_worst_of_its_states(nvml):
    worst = worst_gpu_state([gpu.state() for gpu in gpus()])
    assert worst["lowest_sm_clock_hz"] == 1.498e9
    assert worst["lowest_memory_clock_hz"] == 2.598e9
    assert worst["highest_power_w"] == 312.5


def test_joules_are_written_with_their_prefix():
    assert text.quantity(1.25e-3, "J") == "1.25 mJ"
    assert text.quantity(12.0, "J") == "12.0 J"
