"""The study of CUDA kernels tells forms apart, here on the CPU; the page has what it found."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.studies.gpu_kernels import README, table
from tests.studies.tables import between, ratio

FOUND = Path(__file__).parents[2] / "examples" / "gpu" / "kernels-h200.jsonl"
PROGRAM = """
import json, sys
import tests.studies.gpu_kernels as study
from keras_ab.kernels.native import standardize, switch

study.ROUNDS, study.SAMPLE_S = 2, 1e-4
spoilt = standardize.standardize
if sys.argv[1] == "spoilt":
    def standardize_a_little_more(w, gain):
        return spoilt(w, gain * (1.001 if switch.native() else 1.0))
    standardize.standardize = standardize_a_little_more
    study.PROBLEMS = {"standardize": study.PROBLEMS["standardize"]}
for kernel, (_, shapes, build) in study.PROBLEMS.items():
    small = [shape[:-2] + (6, 8) for shape in shapes[:3]]
    print(json.dumps(study.measured(kernel, small, build, cache=0)))
"""


def measured(how: str) -> dict:
    if find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["kernel"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_both_forms_do_the_same_work():
    found = measured("whole")
    assert len(found) >= 9
    for line in found.values():
        assert line["error"] < 1e-5, line
        assert 0 < line["handed_over"] <= 1
        assert [set(each) for each in line["log_s"]] == [{"native", "xla", "copy"}] * 2
    # Three matrices of 6 by 8, float32: weights, two moments and gradients read, three written.
    assert found["adam"]["bytes"] == 3 * 48 * 28
    # Factors read weights and gradients; SGD beside them reads both and writes one.
    assert found["adaptive_clip"]["bytes"] == 3 * 48 * (8 + 12)


def test_a_kernel_that_is_wrong_by_a_thousandth_is_seen():
    assert measured("spoilt")["standardize"]["error"] == pytest.approx(1e-3, rel=0.1)


def test_the_page_has_the_table_of_what_was_measured():
    found = [json.loads(line) for line in FOUND.read_text().splitlines()]
    (said,) = between("gpu_kernels").findall(README.read_text())
    assert said == table(found)


@pytest.mark.parametrize(
    ("name", "kernel", "says"),
    [
        ("kernels-h200-second.jsonl", "sm3", "at {copy:.2f} of a copy before (`{name}`)"),
        (
            "kernels-h200-first.jsonl",
            "batch_statistics",
            "{copy:.2f} of a copy, XLA {xla:.2f} of the kernel's time (`{name}`)",
        ),
    ],
)
def test_the_page_says_of_earlier_runs_what_they_found(name, kernel, says):
    lines = map(json.loads, FOUND.with_name(name).read_text().splitlines())
    (found,) = (line for line in lines if line["kernel"] == kernel)
    copy, xla = (
        float(ratio([turn[form] - turn["native"] for turn in found["log_s"]]).split()[0])
        for form in ("copy", "xla")
    )
    page = " ".join(README.read_text(encoding="utf-8").split())
    assert says.format(copy=copy, xla=xla, name=name) in page
