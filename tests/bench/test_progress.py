"""How long it takes: said before anything is measured, and while it is."""

import os
from dataclasses import replace

import pytest

from keras_ab.bench import progress
from keras_ab.bench.lab.judge.text import WIDTH
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.measure import PROCESSES
from keras_ab.bench.lab.words.declare import Arm, Case, Experiment, Prepared, Quality, Source
from keras_ab.bench.lab.words.metrics import Metric
from keras_ab.bench.lab.words.plan import LOOKS, Plan
from keras_ab.bench.progress import (
    COUNTED,
    PROCESS_S,
    TRAINING_S,
    Expected,
    Progress,
    Sparingly,
    altogether,
    announced,
    beyond,
    expected,
    one_alone,
    roughly,
    trainings,
)
from keras_ab.bench.telling import listed, side_by_side
from tests.bench.invocation import TINY, benchmark

ARMS = tuple(Arm(name, lambda _case: Prepared(lambda: None), name) for name in "abc")
EXPERIMENT = Experiment(
    name="some",
    question="?",
    method=".",
    sources=(Source("A", "T", 2024, "https://example.org"),),
    arms=ARMS,
    cases=(Case({}),),
)
CASE = EXPERIMENT.cases[0]
QUICK, THOROUGH = (Plan.looking(look, {}) for look in ("quick", "thorough"))


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_the_looks_differ_in_what_they_cost():
    plans = [Plan.looking(look, {}) for look in LOOKS]
    assert [plan.asks_for_precision for plan in plans] == [False, True, True]
    costs = [expected(EXPERIMENT, CASE, plan, "tensorflow").most_s for plan in plans]
    assert costs == sorted(costs)
    assert costs[-1] > 10 * costs[0]
    assert (QUICK.min_blocks, QUICK.budget_s) == (5, 5.0)
    assert Plan() == THOROUGH


def test_what_is_told_changes_one_part_of_a_look():
    told = Plan.looking("quick", {"rounds": 7, "budget_s": None, "ceilings": None})
    assert told == replace(QUICK, rounds=7)
    assert Plan.looking("quick", {"min_blocks": 200}).max_blocks == 200


def test_a_trial_takes_as_long_as_its_processes():
    found = expected(EXPERIMENT, CASE, QUICK, "tensorflow")
    # three arms and the control, in five blocks and before; 50 rounds of 10 ms
    assert found.least_s == pytest.approx(4 * (6 * PROCESS_S + 5 * 0.5))
    assert found.least_s == found.most_s
    fewer = replace(EXPERIMENT, arms=ARMS[:2])
    three_quarters = found.least_s * 3 / 4
    assert expected(fewer, CASE, QUICK, "tensorflow").least_s == pytest.approx(three_quarters)


def learning(**told):
    """Return the experiment with something to learn."""
    metric = Metric("accuracy", "accuracy", "1", "more", "difference")
    asked = {"seeds": (0, 1, 2, 3, 4), "learning_rates": (0.1,), "tuning_seeds": ()} | told
    scored = lambda *_: 0.0  # noqa: E731
    return replace(EXPERIMENT, quality=Quality(metric, scored, **asked, tune=scored))


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ({}, 3 * 5),
        ({"arms": ("a", "b")}, 2 * 5),
        ({"learning_rates": (0.1, 0.2), "tuning_seeds": (7, 8, 9)}, 3 * (2 * 3 + 5)),
        ({"quick": False}, 0),
    ],
)
def test_what_is_learnt_takes_its_trainings(told, number):
    assert trainings(learning(**told), CASE) == number
    for plan in (QUICK, THOROUGH):
        plain = expected(EXPERIMENT, CASE, plan, "tensorflow")
        found = expected(learning(**told), CASE, plan, "tensorflow")
        assert found.least_s - plain.least_s == pytest.approx(number * TRAINING_S)
        assert found.most_s - plain.most_s == pytest.approx(number * TRAINING_S)


@pytest.mark.parametrize(("cores", "share"), [(1, 2.0), (2, 1.0), (3, 2 / 3), (16, 2 / 3)])
def test_as_many_arms_train_at_a_time_as_there_are_cores(cores, share):
    assert len(EXPERIMENT.arms) == 3
    plain = expected(EXPERIMENT, CASE, QUICK, "tensorflow", cores=cores)
    found = expected(learning(), CASE, QUICK, "tensorflow", cores=cores)
    wanted = share * TRAINING_S * trainings(learning(), CASE)
    assert found.least_s - plain.least_s == pytest.approx(wanted)


def test_memory_that_is_counted_beside_takes_its_processes():
    plain = expected(EXPERIMENT, CASE, QUICK, "tensorflow")
    found = expected(EXPERIMENT, CASE, QUICK, "tensorflow", counted_beside=True)
    processes = PROCESSES * 3  # of three arms, the control not
    assert found.least_s - plain.least_s == pytest.approx(processes * COUNTED * PROCESS_S)


@pytest.mark.parametrize(
    ("flags", "told", "gpu", "beside"),
    [
        ({"avx2"}, None, False, True),
        ({"avx2", "avx_vnni"}, None, False, False),
        ({"avx2", "avx_vnni"}, "0", False, True),
        ({"avx2"}, "1", False, False),
        ({"avx2"}, "True", False, False),
        ({"avx2"}, None, True, False),
    ],
)
def test_memory_is_counted_beside_where_no_timed_process_counts(
    monkeypatch, flags, told, gpu, beside
):
    monkeypatch.setattr(progress, "cpu_flags", lambda: flags)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if told:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", told)
    device = Device("a GPU" if gpu else None)
    assert progress.counts_beside("tensorflow", device) is beside
    assert not progress.counts_beside("jax", device)


def test_the_rule_is_tensorflows_own():
    from keras_ab.bench.lab.worker.backends import tensorflow

    if "TF_ENABLE_ONEDNN_OPTS" in os.environ:
        pytest.skip("it was told otherwise")
    assert progress.counts_beside("tensorflow", Device()) is not tensorflow.one_dnn()


def test_what_a_backend_does_not_run_takes_no_time():
    assert expected(EXPERIMENT, CASE, QUICK, "jax") == Expected(0.0, 0.0)


def test_what_is_not_timed_has_no_blocks():
    tried = expected(replace(EXPERIMENT, timed=False), CASE, THOROUGH, "tensorflow")
    assert tried.most_s < expected(EXPERIMENT, CASE, QUICK, "tensorflow").least_s


def test_a_range_is_given_where_precision_decides():
    assert str(Expected(40.0, 41.0)) == "about 40 s"
    assert str(Expected(60.0, 300.0)) == "60 s to 5 min"
    assert str(Expected(1.0, 9.0)) == "about 10 s"  # no range of two equal words
    assert str(Expected(100.0, 151.0)) == "2 min to 3 min"
    assert altogether([Expected(1.0, 2.0)] * 3) == Expected(3.0, 6.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.1, "10 s"), (42, "40 s"), (89, "90 s"), (1433, "24 min"), (12_600, "3.5 h")],
)
def test_lengths_of_time_are_said_roughly(seconds, said):
    assert roughly(seconds) == said


def test_one_experiment_alone_is_offered_where_there_are_several():
    trials = {"a[1]": Expected(20.0, 20.0), "a[2]": Expected(20.0, 20.0), "b[1]": Expected(9, 9)}
    names = {trial: trial[0] for trial in trials}
    assert announced(trials) == "3 trials, about 50 s"
    assert one_alone(names, trials) == ["-k a: 2 trials, about 40 s"]
    alone = {trial: trials[trial] for trial in ("a[1]", "a[2]")}
    assert one_alone(dict.fromkeys(alone, "a"), alone) == []


def test_a_budget_that_cannot_be_kept_says_so():
    trials = {"a[1]": Expected(20.0, 20.0), "b[1]": Expected(97.0, 97.0)}
    (line,) = beyond(trials, replace(QUICK, budget_s=60.0))
    assert line.startswith("--ab-budget 60 cannot be kept by every trial: the first 5 blocks")
    assert "up to 2 min" in line
    assert beyond(trials, replace(QUICK, budget_s=100.0)) == []


def test_it_counts_and_corrects_itself():
    clock = Clock()
    trials = {name: Expected(30.0, 30.0) for name in "abc"}
    progress = Progress(trials, clock, lambda seconds: f"+{seconds:.0f}")
    assert progress.begin("A") == "trial 1 of 3: A  (about 90 s left)"
    clock.now_s = 60.0
    assert progress.elapsed_s == 60.0
    progress.end("a")
    assert progress.begin("B") == "trial 2 of 3: B  (about 2 min left, until +120)"
    assert progress.done == "1 of 3 trials"
    progress.end("b", measured=False)  # read from a run file, in no time
    assert progress.begin("C") == "trial 3 of 3: C  (about 60 s left, until +60)"


def test_parts_stand_side_by_side_as_far_as_there_is_room():
    shown = side_by_side("  block  1", [f"arm_{n} 1.00× [0.99, 1.01]" for n in range(5)])
    lines = shown.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) > 1
    assert all(line.endswith("]") for line in lines)
    assert all(f"arm_{n} 1.00× [0.99, 1.01]" in shown for n in range(5))


def test_it_is_said_before_anything_is_measured(tmp_path):
    shown = benchmark(tmp_path, "--collect-only", TINY).stdout
    assert "--ab-look quick: 2 trials, about 10 s" in shown
    assert "--ab-budget 0.1 cannot be kept by every trial" in shown
    harder = benchmark(tmp_path, "--collect-only", TINY, "--ab-look", "long", "-k", "scale:1")
    assert "--ab-look long: 1 trial, about 10 s" in harder.stdout


def test_what_is_done_sparingly_takes_no_more_than_its_share():
    clock, done = Clock(), []

    def work():
        done.append(clock.now_s)
        clock.now_s += 3

    pages = Sparingly(0.1, clock)
    for _ in range(40):
        pages.do(work)
        clock.now_s += 10
    assert done[0] == 0
    spent = 3 * len(done)
    assert spent <= 0.1 * clock.now_s + 3
    assert spent >= 0.1 * clock.now_s - 6


def test_names_stand_in_a_column_before_what_is_said_of_them():
    told = {"xla": "compiled", "without_one_dnn": "what is said of it is long " * 5}
    first, second, *further = listed(told).splitlines()
    assert first == "  xla              compiled"
    assert second.startswith("  without_one_dnn  what is said")
    assert further
    assert all(line[:19].isspace() and not line[19].isspace() for line in further)
    assert max(map(len, (first, second, *further))) <= WIDTH
