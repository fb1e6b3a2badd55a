"""Variances moderated by a run's trials: by hand, in simulated runs, and on degenerate files."""

import math
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from keras_ab.bench.lab.judge.contrasts import block_contrasts
from keras_ab.bench.lab.judge.estimate import (
    Variance,
    blocks_needed,
    interval,
    moderated,
    t_quantile,
    variance,
)
from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.judge.moderation import (
    MOST_BORROWED,
    BlockSpread,
    Prior,
    _trigamma_inverse,
    fit,
    run_prior,
    spread_of,
)
from keras_ab.bench.lab.record.records import ArmRecord, Block, Round, Trial
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.machine import Machine

PLAN = Plan(min_blocks=5)
ARMS = ("baseline", "control", "a", "b")
POSITIVE = st.floats(1e-12, 1e6)
NUMBERS = count()
CLASSES = {
    "quiet": (Machine(luck=0.01, noise=0.03), 0.50),
    "noisy": (Machine(luck=0.01, noise=0.10), 0.25),
    "heavy-tailed": (Machine(luck=0.01, noise=0.03, tail=0.15), 0.15),
    "lucky": (Machine(luck=0.03, noise=0.03), 0.10),
}
"""Kinds of trials with their share of a run. Nothing within the lucky one's blocks tells of it."""


def trial(table, arms=ARMS):
    """Return a trial with these log times ``(blocks, rounds, arms)``; NaN where none is."""
    name = f"simulated[{next(NUMBERS)}]"
    declared = Trial.model_construct(
        trial=name,
        arms=[ArmRecord(name=arm, says="", code="") for arm in ("baseline", "a", "b")],
        metrics=[STEP_TIME],
        guards=[],
        quality=None,
        timed=True,
        also=[],
        claims=[],
        attempts=[],
    )
    data = TrialData(declared)
    for number, block in enumerate(np.exp(table)):
        data.rounds[number] = [
            Round.model_construct(
                step_time_s={a: t for a, t in zip(arms, row, strict=True) if math.isfinite(t)}
            )
            for row in block.tolist()
        ]
        data.blocks[number] = Block.model_construct(values={arm: {} for arm in arms})
    return data


@cache
def of_class(name, rounds=12, many=1000):
    """Return trials of one kind with identical arms."""
    machine, _ = CLASSES[name]
    rng = np.random.default_rng(sorted(CLASSES).index(name))
    tables = machine.blocks(rng, many * 5, rounds, len(ARMS)).reshape(many, 5, rounds, len(ARMS))
    return [trial(table) for table in tables]


def runs(many, size, rng, classes=CLASSES):
    """Yield runs of trials of all kinds, each a list of class and trial."""
    shares = np.array([CLASSES[name][1] for name in classes])
    for _ in range(many):
        drawn = rng.choice(list(classes), size, p=shares / shares.sum())
        yield [(name, of_class(name)[rng.integers(1000)]) for name in drawn.tolist()]


def quiet(many, blocks=5, rounds=12, seed=17):
    rng = np.random.default_rng(seed)
    return CLASSES["quiet"][0].blocks(rng, many * blocks, rounds, 4).reshape(-1, blocks, rounds, 4)


@dataclass(frozen=True)
class Outcome:
    """How wide the intervals of one arm are, and how far it lies from the truth."""

    of: str
    off: float
    plain: float
    moderated: float
    as_smyth: float


def outcome(name, data, arm, prior):
    values = block_contrasts(data, STEP_TIME, arm)
    smyths = replace(prior.expects(data, arm), degrees=prior.degrees)
    all_borrow = moderated(variance(values), smyths)
    found = assess(data, STEP_TIME, arm, PLAN, prior=prior).estimate
    return Outcome(
        name,
        abs(found.point),
        interval(values, 0.95).half_width,
        found.half_width,
        t_quantile(0.975, all_borrow.degrees) * math.sqrt(all_borrow.value / len(values)),
    )


@pytest.fixture(scope="module")
def simulated():
    """Return what becomes of the arms of 100 runs of 40 trials."""
    found = []
    for run in runs(100, 40, np.random.default_rng(11)):
        prior = run_prior([data for _, data in run], PLAN)
        found += [outcome(name, data, arm, prior) for name, data in run for arm in ("a", "b")]
    return found


def coverage(outcomes, name=None, how="moderated"):
    kept = [o for o in outcomes if name in (None, o.of)]
    return np.mean([o.off <= getattr(o, how) for o in kept])


def test_the_level_holds_over_a_run(simulated):
    assert 0.94 <= coverage(simulated) <= 0.975


@pytest.mark.parametrize("name", CLASSES)
def test_the_level_holds_for_each_kind_of_trial(simulated, name):
    """Of the lucky ones too, that vary more than anything tells: they must not borrow."""
    assert coverage(simulated, name) >= 0.93


def test_borrowing_alike_would_fail_the_odd_ones(simulated):
    assert coverage(simulated, "lucky", "as_smyth") < 0.90


def test_intervals_become_narrower(simulated):
    plain = np.median([o.plain for o in simulated])
    assert np.median([o.moderated for o in simulated]) < 0.94 * plain


def test_identical_trials_gain_most():
    (run,) = runs(1, 400, np.random.default_rng(12), ["quiet"])
    prior = run_prior([data for _, data in run], PLAN)
    assert prior.degrees == pytest.approx(MOST_BORROWED * 4)
    found = [outcome("quiet", data, arm, prior) for _, data in run for arm in ("a", "b")]
    narrower = np.median([o.moderated for o in found]) / np.median([o.plain for o in found])
    assert narrower < 0.86
    assert 0.93 <= coverage(found) <= 0.98


def test_controls_are_covered_too():
    """An arm is held against two copies, the control against one: its contrast varies more."""
    covered = []
    for run in runs(40, 40, np.random.default_rng(13), ["quiet", "noisy"]):
        prior = run_prior([data for _, data in run], PLAN)
        for _, data in run:
            found = assess(data, STEP_TIME, "control", PLAN, prior=prior).estimate
            covered.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.98


def test_the_level_holds_where_the_variance_has_fixed_the_number_of_blocks():
    """Stein's rule asks for blocks by a trial's own variance; the interval has a moderated one."""
    rng, covered, numbers = np.random.default_rng(14), [], []
    for _ in range(60):
        true = np.exp(rng.normal(-8, 1, 40)) * 12 / rng.chisquare(12, 40)
        first = rng.normal(0, np.sqrt(true)[:, None], (40, 5))
        spreads = [BlockSpread(variance(x), w) for x, w in zip(first.tolist(), true, strict=True)]
        prior = fit(spreads, 40)
        for x, sigma, w in zip(first.tolist(), np.sqrt(true), true, strict=True):
            many = min(60, blocks_needed(x, 1.2 * math.exp(-4), 0.95))
            x += rng.normal(0, sigma, many - 5).tolist()
            line = math.exp(prior.level + prior.slope * (math.log(w) - prior.centre))
            found = interval(x, 0.95, 5, Variance(line, prior.degrees))
            covered.append(found.low <= 0 <= found.high)
            numbers.append(many)
    assert 0.94 <= np.mean(covered) <= 0.975
    late = np.array(numbers) > 5
    assert 0.2 < late.mean() < 0.8
    assert np.mean(np.array(covered)[late]) >= 0.94


def test_a_moderated_variance_by_hand():
    # equal to what is expected: P(F_{4,4} > 1) = 1/2, all is borrowed: (4 * 2 + 4 * 2) / 8
    assert moderated(Variance(2.0, 4), Variance(2.0, 4)) == Variance(2.0, 8.0)
    # half of it: (4 * 2 + 4 * 1) / 8
    assert moderated(Variance(1.0, 4), Variance(2.0, 4)) == Variance(1.5, 8.0)


def test_a_trial_like_the_others_borrows_in_full_and_an_odd_one_hardly():
    rng = np.random.default_rng(18)
    like, odd = (trial(Machine(luck=luck).blocks(rng, 5, 12, 4)) for luck in (0.01, 0.1))
    found = spread_of(like, 5)["a"]
    prior = Prior(20, 8.0, math.log(3 * found.within), 0.0, 0.0, 5)
    assert prior.expects(like, "a").degrees == pytest.approx(8)
    assert prior.expects(odd, "a").degrees < 0.1


def test_an_odd_arm_among_quiet_siblings_hardly_borrows():
    """Its variance is four times theirs; by the average of all eight 87 % would be covered."""
    rng, covered = np.random.default_rng(19), []
    data, prior = trial(quiet(1)[0]), Prior(20, 12.0, 0.0, 0.0, 0.0, 5)
    for _ in range(2000):
        x = rng.normal(0, math.sqrt(1.5), (8, 5)) * np.array([[2.0], *[[1.0]] * 7])
        own = [Variance(variance(values).value / 1.5, 4) for values in x.tolist()]
        data.judged["spread", 5] = {
            arm: BlockSpread(found, 1.0) for arm, found in zip("abcdefgh", own, strict=True)
        }
        found = interval(x[0].tolist(), 0.95, prior=prior.expects(data, "a"))
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) >= 0.905


def test_what_a_trial_borrows_by_hand():
    # P(F_{2,2} > 3) = 1 / (1 + 3): of 2 degrees, (2 / 4)² are borrowed
    prior = Prior(20, 2.0, 0.0, 0.0, 0.0, 3)
    data = trial(quiet(1)[0])
    data.judged["spread", 3] = {"a": BlockSpread(Variance(3.0, 2), 1.0)}
    expected = prior.expects(data, "a")
    assert expected == Variance(1.5, pytest.approx(0.5))  # a contrast varies as 1.5 processes
    assert prior.expects(data, "b") is None


@given(POSITIVE | st.just(0.0), st.integers(1, 200), POSITIVE, st.floats(0, 600))
def test_a_moderated_variance_lies_between_the_two(own, degrees, expected, worth):
    found = moderated(Variance(own, degrees), Variance(expected, worth))
    assert min(own, expected) * (1 - 1e-9) <= found.value <= max(own, expected) * (1 + 1e-9)
    assert found.degrees == degrees + worth


def test_an_interval_has_the_moderated_variance():
    # 1..5: s² = 2.5; expected 2.5 of 4 degrees: t_8(0.975) = 2.306004
    found = interval([1, 2, 3, 4, 5], 0.95, prior=Variance(2.5, 4))
    assert found.degrees == pytest.approx(8)
    assert found.half_width == pytest.approx(2.306004 * math.sqrt(2.5 / 5), abs=1e-6)


@given(st.floats(1e-6, 1e6))
def test_the_inverse_of_trigamma(x):
    assert float(polygamma(1, _trigamma_inverse(x))) == pytest.approx(x, rel=1e-5)


def test_what_is_fitted_is_what_was_drawn():
    rng, d0, d = np.random.default_rng(15), 6, 4
    within = np.exp(rng.normal(-8, 1.5, 20_000))
    expected = 3e-4 * within**0.6
    between = expected * d0 / rng.chisquare(d0, 20_000) * rng.chisquare(d, 20_000) / d
    spreads = [BlockSpread(Variance(s, d), w) for s, w in zip(between, within, strict=True)]
    prior = fit(spreads, 20_000)
    assert prior.slope == pytest.approx(0.6, abs=0.02)
    assert prior.degrees == pytest.approx(d0, rel=0.1)
    at_centre = 3e-4 * math.exp(prior.centre * 0.6)
    assert math.exp(prior.level) == pytest.approx(at_centre, rel=0.05)


def test_swapping_trials_changes_nothing():
    (run,) = runs(1, 12, np.random.default_rng(16))
    trials = [data for _, data in run]
    one, other = run_prior(trials, PLAN), run_prior(trials[::-1], PLAN)
    assert asdict(one) == pytest.approx(asdict(other))


# -- files that say too little, or nonsense -------------------------------------------------------
