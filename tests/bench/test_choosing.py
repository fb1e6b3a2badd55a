"""Cases by device: quick ones on two cores, those that keep a GPU busy where there is room."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab.bench.choosing import Choice, backend_for, said_of_backend
from keras_ab.bench.lab.loop.device import Device, choose
from keras_ab.bench.lab.words.declare import Arm, Case, Experiment, Prepared, Source, grid
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.progress import PROCESS_S, altogether, expected
from tests.bench.declared import DECLARED
from tests.bench.invocation import TINY, benchmark
from tests.bench.nvml import FakeNvml, eight

ROOT = Path(__file__).parents[2]
NO_GPU = Device(untouched=True)
CASES = (
    *grid(n=(1, 2)),
    *grid(quick=False, gpu=False, n=(3,)),
    *grid(quick=False, n=(4,)),
    *grid(quick=False, gpu_bytes=15 * 2**30, n=(5,)),
    *grid(quick=False, gpu_bytes=40 * 2**30, n=(6,)),
    Case({"n": 7}, quick=False, swept=True),
)


def experiment(cases=CASES, arms="abcd", **arm):
    return Experiment(
        name="some",
        question="?",
        method=".",
        sources=(Source("A", "T", 2024, "https://example.org"),),
        arms=tuple(Arm(name, lambda _case: Prepared(lambda: None), name, **arm) for name in arms),
        cases=cases,
    )


@pytest.fixture
def gpu(monkeypatch):
    """One of 80 GiB: 15 GiB to each of five processes."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(eight()[:1]))
    return choose("0")


def chosen(selection, device, cases=CASES):
    choice = Choice.of(selection, device)
    return [case.params["n"] for case in choice.cases(experiment(cases))], choice


@pytest.mark.parametrize(
    ("selection", "on_a_cpu", "on_a_gpu"),
    [
        ("auto", [1, 2], [4, 5]),
        ("quick", [1, 2], [1, 2]),
        ("gpu", [4], [4, 5]),
        ("full", [1, 2, 3, 4], [1, 2, 3, 4, 5]),
        ("sweep", [7], [7]),
    ],
)
def test_cases_are_chosen_by_what_is_asked_and_what_is_there(selection, on_a_cpu, on_a_gpu, gpu):
    assert chosen(selection, NO_GPU)[0] == on_a_cpu
    assert chosen(selection, Device())[0] == on_a_cpu  # a CPU beside a GPU that is hidden
    assert chosen(selection, gpu)[0] == on_a_gpu


def test_what_the_memory_does_not_hold_is_named(gpu):
    (line,) = chosen("auto", gpu)[1].says()
    assert line.endswith("1 case, some[n:6] first")
    assert chosen("auto", NO_GPU)[1].says() == []


def test_where_all_is_quick_a_gpu_gets_that_unless_it_would_idle(gpu):
    assert chosen("gpu", gpu, grid(n=(1, 2)))[0] == [1, 2]
    assert chosen("gpu", gpu, grid(gpu=False, n=(1, 2)))[0] == []


def test_every_arm_and_the_control_need_the_room(gpu):
    case = CASES[4]
    assert gpu.holds(case.gpu_bytes, 5)
    assert not gpu.holds(case.gpu_bytes, 6)


def test_all_that_a_gpu_needs_is_reckoned_to_45_minutes(gpu):
    """As long as all takes what it takes on a CPU, and beside the GPU there are eight cores."""
    choice, plan = Choice.of("auto", gpu), Plan.looking("quick", {})
    trials = [
        expected(experiment, case, plan, "tensorflow", cores=8)
        for _, experiment in DECLARED.values()
        for case in choice.cases(experiment)
    ]
    assert len(trials) > 50
    assert altogether(trials).most_s <= 45 * 60
    assert choice.left_out == []


def test_the_optimizers_update_variables_beside_which_a_launch_is_nothing(gpu):
    for name in ("adam", "sm3", "adafactor", "agc"):
        declared = DECLARED[f"kernel_{name}"][1]
        sizes = [dict(case.params) for case in Choice.of("gpu", gpu).cases(declared)]
        assert {"variables": 100, "rows": 2000, "columns": 2000} in sizes
        assert not any(case.gpu_bytes for case in Choice.of("full", NO_GPU).cases(declared))


def test_arms_of_frameworks_that_are_not_installed_take_no_time(monkeypatch):
    plan = Plan.looking("quick", {})
    all_three = expected(experiment(arms="ab"), CASES[0], plan, "tensorflow").least_s
    monkeypatch.setattr("keras_ab.bench.progress.is_installed", lambda name: name != "jax")
    of_jax = experiment(arms="ab", backend="jax")
    without = expected(of_jax, CASES[0], plan, "tensorflow").least_s
    assert without == pytest.approx(all_three / 3)
    assert without >= PROCESS_S


def running_on(*backends):
    return replace(experiment(), backends=backends)


@pytest.mark.parametrize(
    ("declared", "chosen"),
    [
        ([("plain",)], "plain"),
        ([("jax",), ("jax",)], "jax"),
        ([("plain",), ("jax",)], "tensorflow"),
        ([("torch", "jax")], "tensorflow"),
        ([("tensorflow", "jax"), ("tensorflow",)], "tensorflow"),
        ([], "tensorflow"),
    ],
)
def test_the_one_backend_of_all_is_taken_where_none_is_asked_for(declared, chosen):
    assert backend_for(running_on(*backends) for backends in declared) == chosen


def test_what_a_backend_does_not_run_is_said_with_what_to_add():
    trials = {"a[1]": running_on("tensorflow"), "b[1]": running_on("plain")}
    line = "not run by tensorflow: 1 trial, b[1] first; add --ab-backend plain"
    assert said_of_backend(trials, "tensorflow", None) == [line]
    assert said_of_backend(trials, "tensorflow", "tensorflow") == [line]
    plain = {"b[1]": trials["b[1]"]}
    assert said_of_backend(plain, "plain", None) == [
        "--ab-backend plain: all that is selected runs on it alone"
    ]
    assert said_of_backend(plain, "plain", "plain") == []


def test_it_is_said_before_anything_starts(tmp_path):
    shown = benchmark(tmp_path, "--collect-only", "--ab-backend", "tensorflow", TINY).stdout
    assert "not run by tensorflow: 2 trials, tiny[scale:1] first; add --ab-backend plain" in shown
    assert "starting" not in shown


FAKE = """
import sys

from tests.bench.nvml import FakeNvml, eight

sys.modules["pynvml"] = FakeNvml(eight())
"""


def test_on_a_gpu_its_cases_are_announced_before_anything_is_measured(tmp_path, monkeypatch):
    (tmp_path / "pynvml.py").write_text(FAKE)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path), *sys.path]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shown = benchmark(tmp_path, "--collect-only", TINY).stdout
    assert "tiny[scale:50-once]" in shown
    assert "tiny[scale:1-once]" not in shown
    assert "--ab-look quick: 1 trial, about 10 s" in shown
    hidden = benchmark(tmp_path, "--collect-only", "--ab-device", "cpu", TINY).stdout
    assert "tiny[scale:1-once]" in hidden
    assert "--ab-look quick: 2 trials" in hidden


def words_of(path):
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def test_documents_count_the_cases_of_kernels_and_the_sweeps():
    kernels = [e for name, (_, e) in DECLARED.items() if name.startswith("kernel_")]
    full, quick = (
        sum(len(Choice.of(selection, NO_GPU).cases(e)) for e in kernels)
        for selection in ("full", "quick")
    )
    said = re.search(r"(\d+) cases \(the (\w+) quick ones", words_of("kernels/native/README.md"))
    assert said
    assert said.groups() == (str(full), {7: "seven"}.get(quick))
    sweeps = [found for _, e in DECLARED.values() if (found := Choice.of("sweep", NO_GPU).cases(e))]
    readme = words_of("README.md")
    assert f"{len(sweeps)} experiments have such sweeps" in readme
    grown = {
        name
        for cases in sweeps
        for name in cases[0].params
        if len({case.params[name] for case in cases}) > 1
    }
    said = re.search(r"grow with a case's parameter \(([a-z, ]+)\)", readme)
    assert said
    assert set(said[1].split(", ")) == grown
