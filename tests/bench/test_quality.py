"""What is learnt: several outcomes of the same trainings, of which the first chooses the rate."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from keras_ab.bench.lab.judge.findings import claim_findings, findings
from keras_ab.bench.lab.loop.arm_process import ArmFailed
from keras_ab.bench.lab.loop.quality import learn
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.records import Failure
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Quality
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.experiments.bench_lessons import LESSONS, SCORE

FILE = str(Path(__file__).parent / "experiments" / "bench_lessons.py")
TRIALS = [
    ("lessons", "only"),
    ("forgetful", "only"),
    ("diverging", "only"),
    ("other_way", "only"),
    ("one_rate", "only"),
    ("full_only", "only"),
    ("full_only", "size:large"),
]
PLAN = Plan(precision=1e-6, min_blocks=2, max_blocks=2, rounds=2, sample_time_s=1e-4)
"""Asks for more than two blocks of a real clock can give: trials end by their number."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    session = Session.begin(tmp_path_factory.mktemp("runs"), "plain", PLAN)
    for name, case in TRIALS:
        task = Task(FILE, name, case, "plain", session.plan)
        session.measure(task, lambda _line, _data: None)
    session.close(seal=True)
    return read_run(session.path)


@pytest.fixture(scope="module")
def trials(run):
    return group(run.records)


def test_every_outcome_is_compared_seed_by_seed(run, trials):
    found = {f.metric.name: f for f in findings(trials["lessons[only]"], run.header.plan)}
    assert found["score"].estimate.point == pytest.approx(0.05)
    assert found["cost"].estimate.point == pytest.approx(0.1)
    assert [str(found[name].verdict) for name in ("score", "cost")] == ["better", "worse"]
    assert found["cost"].estimate.blocks == 5


def test_the_first_outcome_alone_chooses_the_learning_rate(trials):
    judged = [line for line in trials["lessons[only]"].learned if line.purpose == "judged"]
    assert {rate for line in judged for rate in line.learning_rate.values()} == {0.1}


def test_a_rate_is_chosen_by_what_judges_nothing(trials):
    lines = trials["other_way[only]"].learned
    tuning = [line for line in lines if line.purpose == "tuning"]
    assert [line.values["base"] for line in tuning] == [0.1, 0.3]
    assert not any(line.also for line in tuning)
    judged = [line for line in lines if line.purpose == "judged"]
    assert {rate for line in judged for rate in line.learning_rate.values()} == {0.3}
    assert all(line.also["cost"] for line in judged)


def test_a_claim_may_speak_of_any_outcome(run, trials):
    outcomes = {
        c.claim.id: str(c.outcome) for c in claim_findings(trials["lessons[only]"], run.header.plan)
    }
    assert outcomes == {"lessons.scores": "confirmed", "lessons.costs": "refuted"}


def test_a_training_that_keeps_an_outcome_back_is_a_failure(trials):
    failures = trials["forgetful[only]"].failures
    assert {f.arm for f in failures} == {"base", "more"}
    assert "return score, cost" in failures[0].message


def test_an_arm_that_diverges_at_every_learning_rate_is_a_failure(trials):
    (failure,) = trials["diverging[only]"].failures
    assert (failure.arm, failure.stage, failure.what) == ("more", "quality", "not finite")
    assert "NaN at every learning rate" in failure.message


@pytest.mark.parametrize("kept", [2, 5])
def test_what_a_resumed_run_has_learnt_already_counts_once(run, tmp_path, kept):
    """Half of it is learnt anew, all of it is not."""
    lines = run.path.read_bytes().splitlines(keepends=True)
    judged = [n for n, line in enumerate(lines) if b'"judged"' in line][:5]
    path = tmp_path / run.path.name
    path.write_bytes(b"".join(lines[: judged[kept - 1] + 1]))
    session = Session.resume(path, "plain")
    session.measure(Task(FILE, *TRIALS[0], "plain", session.plan), lambda _line, _data: None)
    session.close(seal=True)
    data = group(read_run(path).records)["lessons[only]"]
    assert sum(line.purpose == "judged" for line in data.learned) == (7 if kept == 2 else 5)
    score, cost = (f for f in findings(data, PLAN) if f.metric.per == "seed")
    assert score.estimate.blocks == cost.estimate.blocks == 5


def test_a_single_learning_rate_is_taken_without_tuning(trials):
    learned = trials["one_rate[only]"].learned
    assert {line.purpose for line in learned} == {"judged"}
    assert {rate for line in learned for rate in line.learning_rate.values()} == {0.3}


def test_what_is_learnt_in_full_cases_only_is_named_in_quick_ones_and_not_measured(run, trials):
    quick, full = trials["full_only[only]"], trials["full_only[size:large]"]
    assert (quick.end.reason, full.end.reason) == ("max_blocks", "max_blocks")
    assert not quick.learned
    assert len([line for line in full.learned if line.purpose == "judged"]) == 5
    assert (quick.declared.quality, full.declared.quality) == (None, "score")
    left = claim_findings(quick, run.header.plan)
    assert [(c.claim.id, str(c.outcome), c.reason) for c in left] == [
        ("full_only.scores", "not measured here", "full cases only"),
        ("full_only.costs", "not measured here", "full cases only"),
    ]
    assert {str(c.outcome) for c in claim_findings(full, run.header.plan)} == {
        "confirmed",
        "refuted",
    }


@pytest.mark.parametrize(("rates", "seeds"), [((0.1, 0.3), ()), ((0.1,), (100,))])
def test_tuning_seeds_come_with_a_grid_and_only_with_one(rates, seeds):
    with pytest.raises(DeclarationError, match="tuning"):
        Quality(SCORE, lambda *_: 1.0, (0, 1, 2, 3, 4), rates, seeds)


@dataclass
class Pupils:
    """Stands for the processes of some arms; one fails when it is judged from `failing`'s seed.

    One is NaN from `diverging`'s, whatever it is trained for.
    """

    failing: tuple[str, int] | None = None
    diverging: tuple[str, int] | None = None
    together: list[set[str]] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)

    def training(self, arm, seed, rate, tuning):
        assert arm not in self.under_way
        if not self.under_way:
            self.together.append(set())
        self.under_way.add(arm)
        self.together[-1].add(arm)

        def outcome():
            self.under_way.remove(arm)
            if (arm, seed) == self.failing and not tuning:
                raise failed(arm, "quality", "raised", "")
            score = None if (arm, seed) == self.diverging else seed - len(arm) * rate
            return {"score": score} | ({} if tuning else {"cost": rate})

        return outcome


def failed(arm, stage, what, message):
    return ArmFailed(Failure(trial="t", arm=arm, stage=stage, what=what, message=message))


@dataclass
class Pupil:
    arm: str
    others: Pupils

    def training(self, seed, learning_rate, *, tuning):
        return self.others.training(self.arm, seed, learning_rate, tuning)

    def failed(self, *why):
        return failed(self.arm, *why)


QUALITY = replace(LESSONS.quality, learning_rates=(0.1, 0.2, 0.3), tuning_seeds=(100, 101, 102))


def lines_of(arms, cores, failing=None, diverging=None):
    pupils = Pupils(failing, diverging)
    lines = list(learn(QUALITY, "t", {arm: Pupil(arm, pupils) for arm in arms}, cores))
    learned = [line for line in lines if not isinstance(line, ArmFailed)]
    return pupils, learned, [line.record for line in lines if isinstance(line, ArmFailed)]


@pytest.mark.parametrize(
    ("arms", "cores", "times"), [(3, 2, 22), (5, 2, 36), (3, 8, 14), (3, 1, 42)]
)
def test_no_core_is_idle_while_there_is_something_to_train(arms, cores, times):
    """Three arms on two cores: nine trainings of each for tuning and five to be judged."""
    pupils, learned, failures = lines_of("abcdefgh"[:arms], cores)
    assert len(pupils.together) == times
    assert len(learned) == 14
    assert not failures


@pytest.mark.parametrize("cores", [2, 3, 4])
@pytest.mark.parametrize("failing", [None, ("b", 0), ("b", 1), ("c", 2)])
def test_what_is_learnt_is_the_same_on_any_number_of_cores(cores, failing):
    _, one_at_a_time, their_failures = lines_of("abc", 1, failing)
    _, learned, failures = lines_of("abc", cores, failing)
    assert learned == one_at_a_time
    assert failures == their_failures
    assert len(failures) == bool(failing)
    if failing:
        assert [failing[0] in line.values for line in learned[9:]] == [
            seed < failing[1] for seed in QUALITY.seeds
        ]


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_what_diverges_has_no_outcome_while_tuning_and_fails_when_it_is_judged(cores):
    _, learned, failures = lines_of("abc", cores, diverging=("b", 101))
    assert not failures
    assert ["b" in line.values for line in learned[:9]] == [True, False, True] * 3
    _, learned, (failure,) = lines_of("abc", cores, diverging=("b", 3))
    assert (failure.arm, failure.what) == ("b", "not finite")
    assert failure.message == "the outcome of seed 3 is NaN"
    assert ["b" in line.values for line in learned[9:]] == [True, True, True, False, False]
    assert all(line.values.keys() >= {"a", "c"} for line in learned)
