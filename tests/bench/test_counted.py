"""No claim is lost: what is declared is a row of the quick suite, decided there or not."""

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
