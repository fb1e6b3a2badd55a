"""What is asked of a GPU, and which of several is chosen, on a fake NVML."""

import sys

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.loop.device import Device, choose
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.gpu import gpus, worst_gpu_state
from keras_ab.bench.lab.words.backend_names import KERAS
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.lab.worker.backends import plain
from tests.bench.nvml import TOLD, FakeGpu, FakeNvml, NVMLError, eight


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml(eight())
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


@pytest.fixture
def parted(nvml):
    """The first GPU parted in two by MIG, of whom NVML tells little."""
    part = {"MemoryInfo": TOLD["MemoryInfo"]}
    halves = [FakeGpu(f"MIG-{n}bb-0000", "NVIDIA Fake MIG", part) for n in range(2)]
    nvml.gpus = [FakeGpu("GPU-whole", told=dict(TOLD), parts=halves), *nvml.gpus[1:]]
    return halves


def test_units_are_si(nvml):
    gpu = gpus()[1]
    assert gpu.state() == {
        "sm_clock_hz": 1.5e9,
        "memory_clock_hz": 2.6e9,
        "power_w": 312.5,
        "temperature_c": 61,
        "throttled": ["power cap", "thermal (hardware)"],
        "slowed_s": {"power cap": 2.5},
    }
    assert gpu.settings() == {"power_limit_w": 700.0, "persistence": 1, "mig": [0, 0]}
    assert gpu.facts()["max_memory_clock_hz"] == 2.619e9


def test_energy_is_counted_in_joules_where_it_is_counted(nvml):
    new, old, *_ = gpus()
    before = new.energy_j()
    nvml.gpus[0].told["TotalEnergyConsumption"] += 2_500
    del nvml.gpus[1].told["TotalEnergyConsumption"]
    assert new.energy_j() - before == 2.5
    assert old.energy_j() is None


@pytest.mark.parametrize(
    ("asked", "visible", "seen"),
    [
        ("auto", None, "GPU-00aa-0000"),
        ("auto", "2,0", "GPU-22aa-0000"),
        ("auto", "GPU-66", "GPU-66aa-0000"),  # as short as it is told from the others
        ("auto", " GPU-55aa-0000, 0", "GPU-55aa-0000"),
        ("auto", "-1", ""),
        ("auto", "", ""),
        ("cpu", "2", ""),
        ("3", "2", "GPU-33aa-0000"),
        ("GPU-44", None, "GPU-44aa-0000"),
    ],
)
def test_one_gpu_is_chosen_and_named_by_its_whole_uuid(nvml, asked, visible, seen):
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    device = choose(asked, environment=variables)
    assert device.environment == {"CUDA_VISIBLE_DEVICES": seen}
    assert [gpu["uuid"] for gpu in facts.machine(device)["gpus"]] == [seen] * bool(seen)


@pytest.mark.parametrize("asked", ["8", "GPU-99", "GPU-", "none"])
def test_a_gpu_that_is_not_there_or_not_clear_is_refused(nvml, asked):
    with pytest.raises(DeclarationError, match="0: NVIDIA Fake, GPU-00aa-0000"):
        choose(asked)


def test_a_number_is_refused_where_cuda_may_count_otherwise(nvml):
    nvml.gpus[1] = FakeGpu("GPU-slow", "NVIDIA Slow")
    variables = {"CUDA_VISIBLE_DEVICES": "1"}
    with pytest.raises(DeclarationError, match="PCI_BUS_ID"):
        choose(environment=variables)
    ordered = variables | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert choose(environment=ordered).gpu.uuid == "GPU-slow"
    assert choose("1", environment=variables).gpu.uuid == "GPU-slow"


def test_without_a_driver_workers_see_what_this_process_sees(nvml, monkeypatch):
    def fails():
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setattr(nvml, "nvmlInit", fails, raising=False)
    assert gpus() == []
    assert choose().environment == choose("cpu").environment == {}
    with pytest.raises(DeclarationError, match="which has none"):
        choose("0")


def test_a_gpu_that_is_parted_gives_an_instance_its_clocks_but_no_energy(nvml, parted):
    device = choose()
    assert device.environment == {"CUDA_VISIBLE_DEVICES": "MIG-0bb-0000"}
    assert device.gpu.state()["sm_clock_hz"] == 1.5e9
    assert device.gpu.state()["power_w"] is None
    assert device.gpu.energy_j() is None
    assert device.gpu.facts()["memory_bytes"] == 80 * 2**30
    assert choose("MIG-1").gpu.uuid == "MIG-1bb-0000"


def test_the_gauges_are_those_of_the_gpu_that_is_measured_on(nvml):
    nvml.gpus[0].told["TotalEnergyConsumption"] = 1_000
    gauges = Gauges.of(choose("5"))
    assert gauges.energy_j() == 5.0
    assert gauges.gpu_state()["power_w"] == 312.5
    for none in (Gauges.of(choose("cpu")), Gauges()):
        assert none.energy_j() is none.gpu_state() is None


def test_processes_share_the_memory_and_leave_room_for_contexts(nvml):
    share = choose().share(4)
    assert share.of_bytes == 80 * 2**30
    assert 4 * share.bytes == 76 * 2**30
    assert choose("cpu").share(4) is None
    assert choose().share(1000).bytes > 0


def test_a_round_keeps_the_worst_of_its_states(nvml):
    nvml.gpus[1].told["ClockInfo"] = {1: 1400, 2: 2500}
    worst = worst_gpu_state([gpu.state() for gpu in gpus()])
    assert worst["lowest_sm_clock_hz"] == 1.4e9
    assert worst["lowest_memory_clock_hz"] == 2.5e9
    assert worst["highest_power_w"] == 312.5


def idle(**slowed_s):
    return {"sm_clock_hz": 1e9, "throttled": [], "slowed_s": slowed_s}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (idle(thermal=1.0), idle(thermal=1.5), ["thermal"]),
        (idle(thermal=1.5), idle(thermal=1.5), []),
        (idle(thermal=1.5), idle(thermal=0.5), []),  # reset, with the driver
        (idle(), idle(thermal=3.0), []),
        (None, idle(thermal=3.0), []),
    ],
)
def test_what_a_counter_gained_slowed_the_round_down(before, after, reasons):
    assert worst_gpu_state([idle(thermal=1.0), after], before)["throttled"] == reasons


def test_exclusive_use_and_other_processes_are_told(nvml):
    gpu = gpus()[0]
    assert (gpu.exclusive(), gpu.processes()) == ("", [])
    nvml.gpus[0].told["ComputeMode"] = 3
    assert gpu.exclusive() == "exclusive process"


class Fallen:
    """A framework's CPU build, or one whose libraries cannot be opened."""

    INSTALL_GPU = "install the GPU build"

    def device_kind(self):
        return "cpu"


@pytest.mark.parametrize("name", KERAS)
def test_every_framework_says_what_to_install_where_it_does_not_see_the_gpu(name):
    """An empty text would let it fall back in silence."""
    assert backends.load(name).INSTALL_GPU


def test_a_framework_that_falls_back_to_the_cpu_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-00aa-0000")
    with pytest.raises(NotMeasuredHere, match="install the GPU build; or measure"):
        backends.refuse_fallback(Fallen())
    backends.refuse_fallback(plain)  # it has no device to fall back from
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-00aa-0000")
    with pytest.raises(NotMeasuredHere, match="MIG-00aa-0000"):
        backends.refuse_fallback(Fallen())
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        backends.refuse_fallback(Fallen())


def test_joules_are_written_with_their_prefix():
    assert text.quantity(1.25e-3, "J") == "1.25 mJ"
    assert text.quantity(12.0, "J") == "12.0 J"


def test_a_device_of_which_nothing_is_known_is_left_as_it_is():
    assert Device(untouched=True).environment == {}
