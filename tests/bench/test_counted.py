"""No claim is lost: what is declared is a row of the quick suite, decided there or not."""

from itertools import pairwise

import pytest

from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.declared import DECLARED


@pytest.mark.parametrize("name", DECLARED)
def test_every_claim_is_named_in_a_quick_case(name):
    _, experiment = DECLARED[name]
    quick = [case for case in experiment.cases if case.quick]
    if not quick:
        pytest.skip("measured in full cases only, all of it")
    named = {
        claim.id
        for case in quick
        for claim in declaration(
            Task("", name, case.id, "tensorflow", Plan()), experiment, case
        ).claims
    }
    assert named == {f"{name}.{claim.id}" for claim in experiment.claims}


TUNED = [name for name, (_, e) in DECLARED.items() if e.quality and e.quality.tuning_seeds]


@pytest.mark.parametrize("name", TUNED)
def test_learning_rates_are_tried_on_three_seeds_and_lie_close(name):
    quality = DECLARED[name][1].quality
    rates = sorted(quality.learning_rates)
    assert len(quality.tuning_seeds) >= 3
    assert all(high / low < 4 for low, high in pairwise(rates))
