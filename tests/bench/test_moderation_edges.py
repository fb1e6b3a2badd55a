"""Moderated variances where data are few, odd, alike or missing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from keras_ab.bench.lab.judge import contrasts
from keras_ab.bench.lab.judge.contrasts import block_contrasts, sampling_variance
from keras_ab.bench.lab.judge.estimate import (
    hodges_lehmann,
)
from keras_ab.bench.lab.judge.findings import findings
from keras_ab.bench.lab.judge.moderation import (
    FEWEST_TRIALS,
    Prior,
    run_prior,
)
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.metrics import STEP_TIME
from tests.bench.test_moderation import PLAN, quiet, trial


def estimates(trials):
    """Return all estimates of a run, judged as a report does."""
    prior = run_prior(trials, PLAN)
    found = [f.estimate for data in trials for f in findings(data, PLAN, prior)]
    assert not any(math.isnan(x) for e in found for x in (e.point, e.half_width, e.standard_error))
    return prior, found


@pytest.mark.parametrize("many", [1, FEWEST_TRIALS - 1])
def test_a_run_of_few_trials_has_plain_intervals(many):
    trials = [trial(table) for table in quiet(many)]
    prior, found = estimates(trials)
    assert prior == Prior(many)
    assert found == [f.estimate for data in trials for f in findings(data, PLAN)]


def test_a_run_of_enough_trials_has_not():
    trials = [trial(table) for table in quiet(FEWEST_TRIALS)]
    prior, found = estimates(trials)
    assert prior.degrees > 0
    assert all(e.degrees > 4 for e in found)


@pytest.mark.parametrize("blocks", [1, 2])
def test_trials_of_one_or_two_blocks_say_nothing_of_the_others(blocks):
    few = [trial(table) for table in quiet(20, blocks)]
    prior, found = estimates(few)
    assert prior == Prior(0)
    assert all((e.half_width == math.inf) == (blocks == 1) for e in found)
    mixed, found = estimates([*few, *(trial(table) for table in quiet(12))])
    assert mixed.trials == 12
    assert all(math.isinf(e.half_width) for e in found[:40] if blocks == 1)


def test_blocks_of_one_round_tell_nothing_of_their_sampling():
    trials = [trial(table) for table in quiet(12, rounds=1)]
    prior, found = estimates(trials)
    assert prior == Prior(0)
    assert math.isnan(sampling_variance(trials[0], "a"))
    assert all(e.degrees == 4 for e in found)


def test_blocks_of_two_rounds_do():
    prior, _ = estimates([trial(table) for table in quiet(12, rounds=2)])
    assert prior.trials == 12


def test_no_variance_at_all_is_no_prior():
    prior, found = estimates([trial(np.zeros((5, 12, 4))) for _ in range(12)])
    assert prior == Prior(0)
    assert all(e.half_width == 0 for e in found)  # as it was measured


def test_a_trial_without_variance_among_others_borrows_theirs():
    """Its rounds differ, so that its blocks come out alike is chance, or a hand."""
    same = trial(np.repeat(quiet(1, blocks=1)[0], 5, axis=0))
    prior, found = estimates([same, *(trial(table) for table in quiet(12))])
    assert prior.trials == 12
    assert all(e.half_width > 0 for e in found)


def test_trials_that_are_all_one_and_the_same():
    (table,) = quiet(1)
    prior, found = estimates([trial(table) for _ in range(12)])
    assert prior.trials == 12
    assert all(0 < e.half_width < math.inf for e in found)


@pytest.mark.parametrize("shrink", [1e-200, 1e-150, 1e-12])
def test_variances_beyond_all_measure(shrink):
    trials = [trial(table * shrink) for table in quiet(12)]
    _, found = estimates(trials)
    assert all(math.isfinite(e.half_width) for e in found)


def test_rounds_of_one_arm_only():
    lonely = [trial(table[..., :1], ["baseline"]) for table in quiet(12)]
    prior, found = estimates([*lonely, *(trial(table) for table in quiet(12))])
    assert prior.trials == 12
    assert len(found) == 24


def test_rounds_that_lack_an_arm_are_left_out():
    (table,) = quiet(1)
    full = estimates([trial(table[:, 4:])])[1]
    table[:, :4, 2:] = math.nan
    assert estimates([trial(table)])[1] == full


def test_a_missing_control_leaves_one_copy():
    tables = [table[..., [0, 2, 3]] for table in quiet(40)]
    trials = [trial(table, ["baseline", "a", "b"]) for table in tables]
    prior, found = estimates(trials)
    assert prior.trials == 40
    covered = [e.low <= 0 <= e.high for e in found]
    assert np.mean(covered) >= 0.9
    (own,) = block_contrasts(trials[0], STEP_TIME, "a")[:1]
    assert own == pytest.approx(hodges_lehmann(tables[0][0, :, 1] - tables[0][0, :, 0]))


def test_more_rounds_than_anybody_measures_are_refused(monkeypatch):
    monkeypatch.setattr(contrasts, "MOST_ROUNDS", 11)
    with pytest.raises(RecordError, match="at most 11 rounds") as refused:
        estimates([trial(table) for table in quiet(1)])
    assert "12 in block 0 of simulated" in refused.value.received
    assert "split them" in refused.value.do


def test_a_verdict_does_not_depend_on_the_order_of_records():
    (table,) = quiet(1)
    whole = trial(table)
    data = replace(whole, rounds=dict(reversed(whole.rounds.items())), judged={})
    assert findings(data, PLAN)[0].estimate == findings(whole, PLAN)[0].estimate
