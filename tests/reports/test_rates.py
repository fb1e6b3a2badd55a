"""A learning rate at an end of its grid is said to be one."""

from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.reports import cautions
from tests.reports import simulated

QUALITY = {"plain": 0.9, "other": 0.95}


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        ({"plain": 0.01, "other": 0.01}, ""),
        ({"plain": 0.01, "other": 0.001}, "of other (0.001)"),
        ({"plain": 0.1, "other": 0.001}, "of plain (0.1), other (0.001)"),
    ],
)
def test_an_end_of_the_grid_is_named(tmp_path: Path, rates: dict[str, float], told: str) -> None:
    scene = simulated.Scene("x", "?", {"n": 1}, {"plain": 1.0, "other": 1.0}, quality=QUALITY)
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    (run,) = reports.load(tmp_path).runs
    (trial,) = run.trials
    for line in trial.data.learned:
        if line.purpose == "judged":
            line.learning_rate.update(rates)
    on_the_terminal = [c for c in cautions.of_all(run) if "best learning rate" in c.says]
    assert len(on_the_terminal) == bool(told)
    found = [c.says for c in cautions.of_trial(trial) if "learning rate" in c.says]
    assert [says.rpartition("beyond, ")[2] for says in found] == [told] * bool(told)


def test_a_single_rate_has_no_ends(tmp_path: Path) -> None:
    scene = simulated.Scene("x", "?", {"n": 1}, {"plain": 1.0, "other": 1.0}, quality=QUALITY)
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    (trial,) = reports.load(tmp_path).runs[0].trials
    trial.data.learned[:] = [x for x in trial.data.learned if x.purpose == "judged"]
    assert not [c for c in cautions.of_trial(trial) if "learning rate" in c.says]
