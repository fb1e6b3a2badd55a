"""What cannot be measured is refused where it is declared, in three parts."""

from dataclasses import replace

import pytest

from keras_ab.bench.lab.record.task import FULL_ONLY, Task, declaration
from keras_ab.bench.lab.words.declare import (
    Arm,
    Attempt,
    Case,
    Claim,
    Experiment,
    Guard,
    Prepared,
    Quality,
    Source,
    grid,
)
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import Metric
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import backends

ARM = Arm("one", lambda _case: Prepared(lambda: None), "an arm")
GOOD = Experiment(
    name="good",
    question="?",
    method=".",
    sources=(Source("A", "T", 2024, "https://example.org"),),
    arms=(ARM, replace(ARM, name="two")),
    cases=(Case({"n": 1}),),
)
TRY = Attempt("load", "load it", lambda: None, arm="two")
ACCURACY = Metric("accuracy", "accuracy", "1", "more", "difference", 0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ()}, "at least two arms"),
        ({"arms": (ARM,)}, "at least two arms"),
        ({"arms": (ARM, ARM)}, "twice: one"),
        ({"cases": ()}, "at least one case"),
        ({"cases": (Case({"n": 1}), Case({"n": 1}, quick=False))}, "twice: n:1"),
        ({"sources": ()}, "names the source"),
        ({"name": "Bad name"}, "lower_case"),
        ({"claims": (Claim("c", "s", "three", "step_time_s", at_most=1),)}, "'three'"),
        ({"claims": (Claim("c", "s", "two", "speed", at_most=1),)}, "'speed'"),
        ({"claims": (Claim("c", "s", "two", "step_time_s", at_most=1),) * 2}, "twice: c"),
        ({"attempts": (replace(TRY, arm="three"),)}, "'three'"),
        ({"attempts": (TRY, TRY)}, r"twice: two\.load"),
        ({"claims": (Claim("c", "s", "two", attempt="load"),)}, r"'two\.load'"),
        (
            {"claims": (Claim("c", "s", "two", "step_time_s", at_most=1, where={"m": 1}),)},
            r"'c' where \{'m': 1\}, which none of them has\n.*use parameters of one of n:1",
        ),
        (
            {"claims": (Claim("c", "s", "two", "step_time_s", at_most=1, where={"n": 2}),)},
            "speaks of at least one case",
        ),
        ({"guards": (Guard("loss", 1e-6, "same loss", arms=("three",)),)}, "'three'"),
    ],
)
def test_an_impossible_experiment_is_refused(change, message):
    with pytest.raises(DeclarationError, match=message) as refused:
        replace(GOOD, **change)
    assert "received:" in str(refused.value)
    assert "what to do:" in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"precision": 0},
        {"precision": 2},
        {"precision": float("nan")},
        {"margin": -0.01},
        {"confidence": 1.0},
        {"min_blocks": 1},
        {"min_blocks": 50, "max_blocks": 40},
        {"rounds": 1},
        {"budget_s": 0},
        {"budget_s": float("inf")},
        {"sample_time_s": -1},
    ],
)
def test_an_impossible_plan_is_refused(change):
    with pytest.raises(DeclarationError, match="plan: "):
        Plan(**change)


def test_a_plan_that_only_asks_for_more_blocks_can_be_carried_out():
    assert (Plan().max_blocks, Plan(min_blocks=200).max_blocks) == (100, 200)


@pytest.mark.parametrize("name", ["control", "Has Space", ""])
def test_an_arm_needs_a_usable_name(name):
    with pytest.raises(DeclarationError):
        replace(ARM, name=name)


def test_an_arm_needs_a_time_limit():
    with pytest.raises(DeclarationError, match="time limit"):
        replace(ARM, time_limit_s=0)


def test_a_claim_needs_a_bound():
    with pytest.raises(DeclarationError, match="neither at_most nor at_least"):
        Claim("c", "s", "two", "step_time_s")


@pytest.mark.parametrize("about", [{}, {"metric": "step_time_s", "attempt": "load"}])
def test_a_claim_is_about_one_thing(about):
    with pytest.raises(DeclarationError, match="one metric or one attempt"):
        Claim("c", "s", "two", at_most=1, **about)


def test_an_attempt_needs_a_usable_name():
    with pytest.raises(DeclarationError, match="the name of an attempt"):
        replace(TRY, name="Load it")


def test_the_same_may_be_tried_on_each_arm():
    tried = (TRY, replace(TRY, arm="one"), replace(TRY, arm=""))
    experiment = replace(GOOD, attempts=tried)
    assert [experiment.attempt(a.id) for a in tried] == list(tried)


def test_quality_needs_five_seeds_of_its_own():
    with pytest.raises(DeclarationError, match="at least 5 seeds"):
        Quality(ACCURACY, None, (1, 2), (0.1, 0.2), (9,), tune=max)
    with pytest.raises(DeclarationError, match=r"in both: \[3\]"):
        Quality(ACCURACY, None, (1, 2, 3, 4, 5), (0.1, 0.2), (3,))


def test_a_learning_rate_is_chosen_by_examples_that_do_not_judge_it():
    with pytest.raises(DeclarationError, match=r"(?s)no tune.*Workload\.choosing has them"):
        Quality(ACCURACY, None, (1, 2, 3, 4, 5), (0.1, 0.2), (9,))


def test_unknown_names_say_what_there_is():
    with pytest.raises(DeclarationError, match="use one of one, two"):
        GOOD.arm("three")
    with pytest.raises(DeclarationError, match="use one of n:1"):
        GOOD.case("n:2")
    with pytest.raises(DeclarationError, match="use one of tensorflow"):
        backends.load("theano")


def test_what_is_learnt_has_a_value_a_seed():
    quality = Quality(ACCURACY, None, (1, 2, 3, 4, 5), (0.1,), ())
    metrics = {m.name: m.per for m in replace(GOOD, quality=quality).all_metrics}
    assert (metrics["accuracy"], metrics["step_time_s"]) == ("seed", "round")
    assert set(metrics.values()) == {"seed", "round", "block"}


def test_a_grid_has_every_combination():
    cases = grid(batch=(1, 2), width=(8,))
    assert [case.id for case in cases] == ["batch:1-width:8", "batch:2-width:8"]


def test_the_control_is_the_baseline_once_more():
    assert GOOD.arm("control") is GOOD.baseline


def test_a_claim_may_speak_of_some_cases_only():
    claim = Claim("c", "s", "two", "step_time_s", at_most=1, where={"classes": 1000})
    assert claim.concerns({"classes": 1000, "batch": 1})
    assert not claim.concerns({"classes": 10})


def test_a_claim_that_no_case_decides_is_refused():
    claim = Claim("c", "s", "two", "step_time_s", at_most=1, where={"n": 2})
    with pytest.raises(DeclarationError, match="at least one case"):
        replace(GOOD, claims=(claim,))


def test_a_quick_case_names_the_claims_that_only_full_cases_decide():
    small, large = Case({"n": 1}), Case({"n": 2}, quick=False)
    claims = (
        Claim("all", "s", "two", "step_time_s", at_most=1),
        Claim("large", "s", "two", "step_time_s", at_most=1, where={"n": 2}),
    )
    experiment = replace(GOOD, cases=(small, large), claims=claims)
    named = [
        (claim.id, claim.not_here)
        for claim in declaration(Task("", "good", "n:1", "plain", Plan()), experiment, small).claims
    ]
    assert named == [("good.all", ""), ("good.large", FULL_ONLY)]


def test_an_arm_shows_the_process_that_it_runs_in():
    arm = replace(ARM, environment={"SWITCH": "1"}, backend="plain")
    assert arm.code.splitlines()[:2] == ["backend: plain", "SWITCH=1"]


@pytest.mark.parametrize(
    ("fields", "received"),
    [({"backend": "theano"}, "theano"), ({"environment": {"SWITCH": 1}}, "SWITCH=1")],
)
def test_an_arm_in_a_process_that_cannot_be(fields, received):
    with pytest.raises(DeclarationError, match=received):
        replace(ARM, **fields)
