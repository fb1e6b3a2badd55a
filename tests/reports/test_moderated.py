"""A run of many trials is judged as a whole: page, terminal, cite and verify say the same of it."""

from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import assess
from keras_ab.reports.citing import cite
from keras_ab.reports.page import page
from keras_ab.reports.terminal import verdict_table
from keras_ab.reports.verify import verify
from tests.reports.simulated import Scene, header, machine, write

ARM, METRIC = "variant", "step_time_s"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Write a run of twelve trials."""
    scenes = [
        Scene(f"technique_{n:02d}", f"Is {n} faster?", {"batch": 256}, {"plain": 1.0, ARM: 0.97})
        for n in range(12)
    ]
    path = tmp_path_factory.mktemp("runs") / "run.jsonl"
    write(path, header("twelve", machine(0)), scenes)
    return path


def test_everybody_uses_what_the_run_s_trials_say_together(path, tmp_path):
    (judged,) = reports.load(path).runs
    both = [
        (found, assess(trial.data, found.metric, ARM, judged.header.plan))
        for trial in judged.trials
        if (found := trial.find(ARM, METRIC))
    ]
    found, plain = next(pair for pair in both if text.compared(pair[0]) != text.compared(pair[1]))
    says = text.compared(found)
    assert found.estimate.degrees > plain.estimate.degrees
    assert says in verdict_table(judged)
    cited = cite([judged], f"twelve/{found.trial}/{ARM}/{METRIC}").sentence("plain")
    written = page(reports.load(path))
    for name, content in (("page.html", written), ("cited.txt", cited)):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert {checked.state for checked in verify(tmp_path / name, path)} == {"holds"}


def test_the_control_of_each_trial_is_judged_by_the_run_too(path):
    (judged,) = reports.load(path).runs
    own = judged.header.plan.min_blocks - 1
    assert all(own + 1 < trial.control.estimate.degrees for trial in judged.trials)


def test_a_part_of_the_run_has_plain_intervals(path, tmp_path):
    """Nothing derived is stored: what is left of a file is judged by what is left."""
    left_out = ("technique_09", "technique_10", "technique_11", '"kind":"seal"')
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not any(name in line for name in left_out)]
    (tmp_path / "part.jsonl").write_text("\n".join(kept) + "\n")
    (judged,) = reports.load(tmp_path / "part.jsonl").runs
    assert len(judged.trials) == 9
    own = judged.header.plan.min_blocks - 1
    assert all(trial.find(ARM, METRIC).estimate.degrees == own for trial in judged.trials)
