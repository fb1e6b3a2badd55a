"""Where an experiment counts the bytes that its work must move, the answer says how fast."""

from pathlib import Path

from keras_ab import reports
from keras_ab.reports import views
from tests.reports import simulated


def test_the_answer_states_both_bandwidths(tmp_path: Path) -> None:
    scene = simulated.Scene(
        "kernel",
        "Is the kernel as fast as a copy?",
        {"n": 1},
        {"native": 1.0, "copy": 0.8},
        noise=0.0,
        sizes={arm: {"work_bytes": 7e8} for arm in ("native", "copy")},
    )
    path = simulated.write(
        tmp_path / "run.jsonl", simulated.header("2026-01-02T0304-kernel"), [scene]
    )
    trial = reports.load(path).runs[0].trials[0]
    step = trial.find("copy", "step_time_s")
    assert step is not None
    copied, native = (7e8 / s / 1e9 for s in (step.arm_value, step.baseline_value))
    said = " ".join(views.says(trial, trial.answer("copy")))
    assert said.endswith(f"That is {copied:.3g} GB/s; native’s, {native:.3g} GB/s.")
