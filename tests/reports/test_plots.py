"""The notebook's figures show the numbers of the tables."""

import math

import pytest

from keras_ab import reports
from keras_ab.bench.lab.words.errors import RecordError
from tests.reports.test_compare import written
from tests.reports.test_summary import scene


@pytest.fixture
def runs(tmp_path):
    paths = [written(tmp_path, name, [scene()], seed=n) for n, name in enumerate("ab")]
    return reports.load(paths)


def lines(figure):
    return [line for axes in figure.axes for line in axes.get_lines()]


def test_the_forest_has_every_interval(runs):
    figure = reports.plot(runs, experiment="trick")
    newest = runs.runs[-1].trials[0]
    found = [f for f in newest.findings if f.metric.name == "step_time_s"]
    drawn = [tuple(map(float, line.get_xdata())) for line in lines(figure)]
    for f in found:
        expected = tuple(math.exp(x) for x in (f.estimate.low, f.estimate.high))
        assert any(ends == pytest.approx(expected) for ends in drawn if len(ends) == 2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        f"trick: {f.arm}" for f in found
    ]


def test_the_rounds_are_all_there(runs):
    figure = reports.plot(runs, "rounds", experiment="trick")
    found = figure.axes[0].get_lines()
    dots = sum(len(line.get_xdata()) for line in found if line.get_marker() == ".")
    assert dots == 80  # 8 blocks of 10 rounds


def test_the_history_has_both_runs(runs):
    figure = reports.plot(runs, "history")
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == [1, 2]


@pytest.mark.parametrize("what", ["forest", "rounds", "history"])
def test_a_notebook_can_show_it(what, runs):
    assert reports.plot(runs, what)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "which"),
    [
        ("pie", {}),
        ("forest", {"experiment": "alchemy"}),
        ("forest", {"metric": "gold"}),
        ("history", {"experiment": "alchemy"}),
    ],
)
def test_what_cannot_be_drawn_is_refused(what, which, runs):
    with pytest.raises(RecordError, match="what to do"):
        reports.plot(runs, what, **which)
