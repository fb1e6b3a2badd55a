"""`keras-ab list` and `report`, the doctor's findings, and what may import what."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_ab import command_line
from keras_ab.bench.lab.loop import doctor, facts
from keras_ab.bench.lab.loop.asking import NoAnswer
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.gpu import worst_gpu_state
from keras_ab.bench.lab.record.differences import differences
from keras_ab.bench.lab.words.bench_files import OURS
from keras_ab.bench.lab.words.errors import Refusal
from tests.bench.invocation import TINY

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"tensorflow", "keras", "jax", "torch"}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Stand in a project without bench files."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_shows_experiments_cases_claims_and_sources(elsewhere, capsys):
    assert command_line.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"experiments in {OURS}\n")
    for expected in ("labels:", "classes:1000-batch:256-width:512", "(full)", "arxiv.org/abs/1901"):
        assert expected in shown


def test_list_shows_a_projects_own_experiments_and_where_ours_are(elsewhere, monkeypatch, capsys):
    (elsewhere / "bench").mkdir()
    shutil.copy(TINY, elsewhere / "bench")
    (elsewhere / "sub").mkdir()
    monkeypatch.chdir(elsewhere / "sub")
    assert command_line.main(["list"]) == 0
    first, _, *shown = capsys.readouterr().out.splitlines()
    own = f"experiments in {elsewhere / 'bench'}; those that come with keras-ab: "
    assert first == f"{own}--folder {OURS}"
    assert [line for line in shown if line.startswith(("tiny:", "labels:"))] == shown[:1]
    assert command_line.main(["list", *first.partition("keras-ab: ")[2].split(), "labels"]) == 0
    assert "labels:" in capsys.readouterr().out


def test_list_claims_has_a_line_for_each(elsewhere, capsys):
    assert command_line.main(["list", "--claims", "recompute"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(":")[0] for line in lines] == [
        "recompute.saves-memory",
        *(f"recompute.halves-memory-at-{depth}" for depth in (9, 16, 25, 36, 64)),
        "recompute.thirty-percent",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "alchemy"], "received: alchemy"),
        (["list", "--folder", "{tmp}"], "no experiment at all"),
        (["report", "{tmp}/none.jsonl", "-o", "{tmp}/page.html"], "what to do"),
        (["report", "{tmp}", "-o", "{tmp}/page.html"], "what to do"),
    ],
)
def test_bad_input_is_refused_in_three_parts(tmp_path, capsys, arguments, message):
    assert command_line.main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("keras-ab: ")
    assert message in refusal


def test_listing_and_reporting_import_no_framework():
    code = (
        "import sys; from keras_ab.command_line import main; main(['list']); "
        "import keras_ab.reports.page; "
        f"assert not {FRAMEWORKS!r} & set(sys.modules), set(sys.modules) & {FRAMEWORKS!r}"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr


def imports_at_module_level(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", sorted((ROOT / "bench").rglob("*.py")), ids=lambda p: p.stem)
def test_bench_imports_no_framework_at_module_level(path):
    tops = {name.split(".")[0] for name in imports_at_module_level(path)}
    assert not tops & FRAMEWORKS
    if "lab" in path.parts:
        assert not tops & {"keras_ab.kernels", "reports"}


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").rglob("*.py")), ids=lambda p: p.stem)
def test_kernels_import_nothing_of_ours(path):
    tops = {name.split(".")[0] for name in imports_at_module_level(path)}
    assert not tops & {"bench", "reports"}


def test_the_doctor_says_what_to_do():
    assert doctor.load(0.1, 2).state == "good"
    assert "stop other work" in str(doctor.load(1.9, 2))
    assert doctor.governor(["performance"]).state == "good"
    assert "cpupower" in str(doctor.governor(["powersave"]))
    assert "not visible" in str(doctor.governor([]))
    assert doctor.timer_resolution().found.startswith("resolves")
    assert "unset" not in str(doctor.memory_statistics({"memory_statistics": True}))
    assert "beside the timing" in str(doctor.memory_statistics({"cpu_pool": False}))
    assert doctor.memory_statistics({}).do == ""


def test_the_doctor_comes_to_an_end(capsys):
    assert command_line.main(["doctor", "--backend", "plain"]) == 0
    shown = capsys.readouterr().out
    assert "noise floor: two identical arms (a sum): " in shown
    assert ", 5 blocks" in shown


PRESENT = SimpleNamespace(
    name="NVIDIA Test", uuid="GPU-aa", exclusive=lambda: "exclusive process", processes=lambda: [77]
)


@pytest.mark.parametrize(
    ("kind", "device", "state", "found"),
    [
        ("gpu", Device(PRESENT), "good", "NVIDIA Test (GPU-aa)"),
        ("cpu", Device(untouched=True), "note", "no NVIDIA driver answers"),
        ("cpu", Device(), "note", "hidden, as asked"),
        ("gpu", Device(untouched=True), "note", "that NVML does not know"),
    ],
)
def test_the_doctor_says_which_gpu_is_measured_on(kind, device, state, found):
    checkup = doctor.gpu({"devices": [{"kind": kind}]}, device)
    assert checkup.state == state
    assert found in checkup.found


def test_the_doctor_says_why_the_framework_does_not_open_the_gpu():
    refusal = Refusal("it does", "GPU-aa, which the framework does not see", "install the other")
    checkup = doctor.unfit(NoAnswer("not measured here", str(refusal), refusal=refusal))
    assert (checkup.state, checkup.do) == ("bad", "install the other")
    assert doctor.unfit(NoAnswer("killed", "by SIGSEGV")).found == "by SIGSEGV"


def test_the_doctor_minds_who_else_uses_the_gpu():
    mode, others = doctor.company(Device(PRESENT))
    assert (mode.state, mode.found) == ("bad", "its compute mode is exclusive process")
    assert (others.state, others.found) == ("note", "other processes compute on it: 77")
    assert list(doctor.company(Device())) == []


def test_differences_name_every_leaf():
    before = {"a": 1, "deep": {"b": [1], "c": None}}
    after = {"a": 1, "deep": {"b": [2]}, "new": True}
    assert differences(before, after) == ["deep.b: [1] → [2]", "new: None → True"]


def test_the_worst_state_of_a_gpu_is_kept():
    states = [
        {"sm_clock_hz": 2e9, "power_w": 300.0, "temperature_c": 60, "throttled": []},
        {"sm_clock_hz": 1e9, "power_w": 310.0, "temperature_c": None, "throttled": ["power cap"]},
    ]
    assert worst_gpu_state(states) == {
        "lowest_sm_clock_hz": 1e9,
        "lowest_memory_clock_hz": None,
        "highest_power_w": 310.0,
        "temperature_c": 60,
        "throttled": ["power cap"],
    }
    assert worst_gpu_state([]) is None


def test_secrets_of_other_tools_do_not_enter_a_run(monkeypatch):
    monkeypatch.setenv("TF_TOKEN_app_terraform_io", "secret")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    variables = facts.environment()["variables"]
    assert "secret" not in variables.values()
    assert variables["TF_ENABLE_ONEDNN_OPTS"] == "1"
