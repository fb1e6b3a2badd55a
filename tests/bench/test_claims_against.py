"""A claim may be relative to another arm than the baseline."""

from dataclasses import replace

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import claim_findings
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Claim
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.test_declare import GOOD
from tests.reports import simulated

STEP = {"base": 1.0, "each": 2.0, "tenth": 1.5}


def trial(arm, against, **bounds):
    claim = simulated.claim("x.claim", arm, "step_time_s", **bounds)
    claim = claim.model_copy(update={"against": against})
    scene = simulated.Scene("x", "?", {"n": 1}, STEP, claims=[claim])
    (data,) = group(simulated.records(scene, 0)).values()
    return data


@pytest.mark.parametrize(
    ("arm", "against", "ratio", "outcome"),
    [
        ("tenth", "", 1.5, "refuted"),
        ("tenth", "each", 0.75, "confirmed"),
        ("each", "tenth", 4 / 3, "refuted"),
        ("base", "each", 0.5, "confirmed"),
    ],
)
def test_the_bound_is_relative_to_the_arm_that_the_claim_names(arm, against, ratio, outcome):
    (judged,) = claim_findings(trial(arm, against, at_most=1.0), Plan(min_blocks=5))
    assert str(judged.outcome) == outcome
    assert judged.finding.shown(judged.finding.estimate.point) == pytest.approx(ratio, rel=0.02)


def test_another_arm_has_one_copy_and_the_control_is_none_of_it():
    seen = trial("tenth", "each", at_most=1.0).seen_from("each")
    assert seen.baseline == "each"
    assert set(seen.treatments) == {"base", "tenth"}
    times = [line.step_time_s for lines in seen.rounds.values() for line in lines]
    assert {arm for found in times for arm in found} == set(STEP)
    assert {arm for block in seen.blocks.values() for arm in block.values} == set(STEP)


def test_what_is_claimed_says_against_what():
    data = trial("tenth", "each", at_most=1.0)
    assert text.wanted(data.declared.claims[0], data) == "step time at most 1.00× against each"


@pytest.mark.parametrize(
    ("arm", "against", "message"),
    [("two", "two", "two arms"), ("one", "", "two arms"), ("two", "three", "'three'")],
)
def test_a_claim_compares_two_arms_that_there_are(arm, against, message):
    claim = Claim("c", "s", arm, "step_time_s", at_most=1, against=against)
    with pytest.raises(DeclarationError, match=message):
        replace(GOOD, claims=(claim,))
