"""Exponents and crossings: by hand, by simulation, and of arms of known cost on a fake clock."""

import math
from pathlib import Path

import numpy as np
import pytest

from keras_ab.bench.lab.judge.sweeps import change, crossing, fit, power_law, sweeps
from keras_ab.bench.lab.loop.measure import Gauges, measure_trial
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.declare import SELECTIONS, sweep
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.fake_lab import FakeLab, FakeWorker, NoLoad

GROWTH = str(Path(__file__).parent / "experiments" / "bench_growth.py")
CROSS_AT = 9000
COST_S = {
    "quadratic": lambda n: 1e-9 * n**2 / CROSS_AT,
    "linear": lambda n: 1e-9 * n,
    "linearithmic": lambda n: 1e-9 * n * math.log2(n),
}


class GrowingWorker(FakeWorker):
    def build(self, asked):
        self.lab.size = int(asked.arm.case.partition("n:")[2].partition("-")[0])
        return super().build(asked)


class GrowingLab(FakeLab):
    def start(self):
        return GrowingWorker(self)

    def step_time_s(self, arm):
        name = {"control": "quadratic"}.get(arm, arm)
        return COST_S[name](self.size) * float(np.exp(self._rng.normal(0, self._noise)))

    def measure(self, case, plan):
        task = Task(GROWTH, "growth", case.id, "plain", plan)
        gauges = Gauges(self.clock.now, NoLoad(), self.gpu_state, self.energy_j)
        return list(measure_trial(task, self, (), gauges))


@pytest.fixture(scope="module")
def grown():
    """Measure the whole sweep, 5 % noise on every sample; return its trials."""
    lab = GrowingLab(noise=0.05)
    plan = Plan(min_blocks=5, max_blocks=5, rounds=4)
    cases = load_experiment(GROWTH, "growth").cases
    return group(line for case in cases for line in lab.measure(case, plan)).values()


@pytest.mark.parametrize(
    ("arm", "exponent"),
    [
        ("linear", 1.0),
        ("quadratic", 2.0),
        # n log n from 2¹⁰ to 2¹⁶ grows by a factor 64 · 16/10
        ("linearithmic", math.log(64 * 1.6) / math.log(64)),
    ],
)
def test_exponents_of_known_costs_are_recovered(grown, arm, exponent):
    (found,) = sweeps(grown)
    line = power_law(found, "step_time_s", arm, 0.95)
    assert line.exponent.point == pytest.approx(exponent, rel=0.05)
    assert line.exponent.half_width < 0.05
    assert line.at(4096) == pytest.approx(COST_S[arm](4096), rel=0.05)


def test_the_better_arm_changes_where_the_costs_are_equal(grown):
    (found,) = sweeps(grown)
    at = change(found, "linear", 0.95)
    assert at.low < CROSS_AT < at.high
    assert at.point == pytest.approx(CROSS_AT, rel=0.05)
    assert change(found, "quadratic", 0.95) is None


def test_a_sweep_is_of_trials_that_differ_in_one_number(grown):
    (found,) = sweeps(grown)
    assert (found.experiment, found.parameter, found.fixed) == ("growth", "n", {"kind": "a"})
    assert found.sizes == [2.0**k for k in range(10, 17)]
    assert sweeps(found.trials[:3]) == []


def test_a_power_law_without_noise_by_hand():
    line = fit([1, 2, 4, 8], [3, 12, 48, 192], 0.95)
    assert line.exponent.point == pytest.approx(2)
    assert line.exponent.half_width == pytest.approx(0, abs=1e-6)
    assert line.at(16) == pytest.approx(768)


def test_an_exponents_interval_by_hand():
    # residuals of 1, -1, -1, 1 tenths about slope 1; Sxx = 5 ln²2; t_2(0.975) = 4.302653
    x = [1.0, 2.0, 4.0, 8.0]
    y = [a * math.exp(r / 10) for a, r in zip(x, (1, -1, -1, 1), strict=True)]
    line = fit(x, y, 0.95)
    error = math.sqrt(0.04 / 2) / (math.sqrt(5) * math.log(2))
    assert line.exponent.point == pytest.approx(1)
    assert line.exponent.half_width == pytest.approx(4.302653 * error)


def test_too_few_points_have_no_exponent():
    assert fit([1, 2, 4], [1, 2, 4], 0.95) is None
    assert fit([1, 1, 2, 4], [1, 1, 2, 4], 0.95) is None
    assert fit([1, 2, 4, 8], [1, 2, math.nan, 8], 0.95) is None


def test_intervals_of_exponent_and_crossing_keep_their_level():
    rng = np.random.default_rng(3)
    x = 2.0 ** np.arange(6)
    held = {"exponent": 0, "crossing": 0}
    for _ in range(400):
        a = x**1.5 * np.exp(rng.normal(0, 0.1, 6))
        b = 4 * x**0.5 * np.exp(rng.normal(0, 0.1, 6))
        exponent, at = fit(x, a, 0.95).exponent, crossing(x, a, b, 0.95)
        held["exponent"] += exponent.low <= 1.5 <= exponent.high
        held["crossing"] += at.low <= 4 <= at.high
    assert min(held.values()) >= 370  # 380 expected, 4.4 the standard deviation


def test_lines_that_meet_beyond_the_sizes_or_nowhere_do_not_cross():
    x = [1.0, 2.0, 4.0, 8.0]
    assert crossing(x, [100 * a for a in x], [a**2 for a in x], 0.95) is None
    assert crossing(x, x, [2 * a for a in x], 0.95) is None


def test_a_sweep_is_declared_of_four_positive_values():
    cases = sweep("n", (1, 2, 4, 8), batch=3)
    assert [case.id for case in cases] == [f"n:{n}-batch:3" for n in (1, 2, 4, 8)]
    assert SELECTIONS["sweep"](cases) == list(cases)
    assert not any(SELECTIONS[other](cases) for other in ("quick", "gpu", "full"))
    for values in ((1, 2, 4), (1, 2, 4, 0)):
        with pytest.raises(DeclarationError, match="at least four positive values"):
            sweep("n", values)
