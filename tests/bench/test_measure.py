"""The measuring loop on a fake clock and fake processes, with the exact order of calls."""

import math
from collections import Counter

import numpy as np
import pytest

from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.loop.guards import checks, relative_error
from keras_ab.bench.lab.loop.quality import best_rate
from keras_ab.bench.lab.record.records import Block, End, Round
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Guard
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import protocol
from tests.bench.fake_lab import NO_PROGRAM, FakeLab, FakeWorker


def test_each_block_starts_measures_and_stops_fresh_processes_in_this_order():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=3, ceilings=True))
    calls = iter(lab.calls)

    def take(count):
        return [next(calls) for _ in range(count)]

    assert take(4) == ["start", "start", "Open", "Open"]
    for does in (("Build", "Imports"), ("WatchMemory", "Finish")):  # side by side
        for arm in ("once", "twice"):
            assert take(2) == [f"{do} {arm}" for do in does]
    assert take(2) == ["stop twice", "stop once"]
    for block in range(2):
        assert take(6) == [*["start"] * 3, *["Open"] * 3]
        arms = [call.removeprefix("Build ") for call in take(3)]
        assert sorted(arms) == ["control", "once", "twice"]
        assert block or take(1) == ["Calibrate once"]
        assert take(3) == [f"Sample {arm}" for arm in arms]  # the warm-up
        for _ in range(3):
            assert sorted(take(3)) == ["Sample control", "Sample once", "Sample twice"]
        wanted = [
            f"{do} {arm}"
            for arm in arms
            for do in ("Memory", "Work", "Finish")
            if do != "Work" or (block == 0 and arm != "control")
        ]
        assert take(len(wanted)) == wanted
        assert take(2) == [f"Imports {arm}" for arm in arms if arm != "control"]
        assert sorted(take(3)) == ["stop control", "stop once", "stop twice"]
    assert next(calls, None) is None


@pytest.mark.parametrize(
    ("steps", "twice_s", "warm"), [(1, 0.02, True), (1, 0.2, False), (7, 0.2, True)]
)
def test_steps_that_are_not_timed_come_first_in_all_arms_alike(steps, twice_s, warm):
    lab = FakeLab(twice_s=twice_s)
    lab.calibrated = steps
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=3))
    once_a_block = 3  # what is sampled first is no sample
    first, later = lab.warm[:once_a_block], lab.warm[once_a_block : once_a_block * 4]
    assert first == [True] * once_a_block
    assert later == [warm] * len(later)
    assert lab.warm[once_a_block * 4 :] == [warm] * once_a_block + later


def test_what_a_cold_step_takes_longer_hides_nothing_of_a_difference():
    lab = FakeLab(noise=0.01)
    lab.calibrated, lab.cold_s = 1, 0.005
    plan = Plan(min_blocks=10, max_blocks=10, rounds=10)
    (data,) = group(lab.run(plan)).values()
    found = assess(data, data.metric("step_time_s"), "twice", plan)
    assert found
    assert math.exp(found.estimate.point) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("profile", [False, True])
def test_while_an_arm_is_sampled_all_others_rest(profile):
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=3, profile=profile, profile_time_s=0.1))
    assert len(lab.awake_in_samples) >= 2 * 3 * 4
    assert not any(lab.awake_in_samples)


def test_the_orders_within_a_block_are_balanced():
    lines = FakeLab().run(Plan(min_blocks=2, max_blocks=2, rounds=12, sample_time_s=0.1))
    rounds = [line for line in lines if isinstance(line, Round)]
    for block in (0, 1):
        firsts = Counter(line.order[0] for line in rounds if line.block == block)
        assert set(firsts.values()) == {4}
    assert [r.order for r in rounds[:12]] != [r.order for r in rounds[12:]]


def rounds_of(lines):
    return Counter(line.block for line in lines if isinstance(line, Round))


def chosen_in(lines):
    return {line.block: line.chosen for line in lines if isinstance(line, Block)}


@pytest.mark.parametrize(("sample_time_s", "most"), [(0.07, 100), (0.03, 64), (0.001, 10)])
def test_slow_steps_get_fewer_rounds(sample_time_s, most):
    """Seven steps of 10 ms, in one arm of three of 20 ms, make samples of 93 ms."""
    plan = Plan(min_blocks=2, max_blocks=2, rounds=100, sample_time_s=sample_time_s)
    lines = FakeLab(noise=1e-6, build_s=1e12).run(plan)  # a block that costs as much is full
    assert rounds_of(lines) == {0: most, 1: most}


def test_rounds_are_chosen_in_the_first_block_and_recorded():
    plan = Plan(min_blocks=5, max_blocks=5, rounds=1000, sample_time_s=0.07)
    lines = FakeLab(noise=0.02, build_s=100.0).run(plan)
    first, *later = chosen_in(lines).values()
    assert later == [None] * 4
    assert rounds_of(lines) == dict.fromkeys(range(5), first.rounds)
    assert first.start_s == pytest.approx(300, rel=0.01)  # three processes are built
    assert first.round_s == pytest.approx(7 * (0.01 + 0.01 + 0.02), rel=0.1)
    wanted = math.sqrt(first.start_s / first.round_s * first.round_variance / first.luck_variance)
    assert first.rounds == round(wanted)
    assert 20 < first.rounds < 200


@pytest.mark.parametrize(("noise", "rounds"), [(0.0, 12), (0.5, 40)])
def test_rounds_are_chosen_within_bounds(noise, rounds):
    lines = FakeLab(noise, build_s=10.0).run(
        Plan(min_blocks=2, max_blocks=2, rounds=40, sample_time_s=0.07)
    )
    assert rounds_of(lines) == {0: rounds, 1: rounds}


def test_the_choice_does_not_look_at_what_differs():
    """A trial in which one arm takes twice as long chooses as one of identical arms."""
    plan = Plan(min_blocks=2, max_blocks=2, rounds=1000, sample_time_s=0.07)
    found = [FakeLab(0.02, 100.0, twice).run(plan) for twice in (0.01, 0.02)]
    same, other = (chosen_in(lines)[0] for lines in found)
    assert same.round_variance == pytest.approx(other.round_variance)


def test_a_trial_that_goes_on_keeps_its_rounds():
    plan = Plan(min_blocks=3, max_blocks=3, rounds=1000, sample_time_s=0.07)
    whole = FakeLab(0.02, 100.0).run(plan)
    cut = next(i for i, line in enumerate(whole) if isinstance(line, Block)) + 1
    rest = FakeLab(0.5, 1.0).run(plan, previous=whole[:cut])
    assert rounds_of(rest) == dict.fromkeys((1, 2), chosen_in(whole)[0].rounds)
    assert chosen_in(rest) == {1: None, 2: None}


def test_every_arm_takes_the_same_number_of_steps():
    lines = FakeLab().run(Plan(min_blocks=2, max_blocks=2, rounds=3))
    rounds = [line for line in lines if isinstance(line, Round)]
    assert {line.steps for line in rounds} == {7}
    assert all(abs(line.step_time_s["twice"] / 0.02 - 1) < 1e-9 for line in rounds)


def test_every_block_records_what_its_arms_found_in_place():
    lines = FakeLab().run(Plan(min_blocks=2, max_blocks=2, rounds=3))
    found = {"op on cpu": "native: built and loaded"}
    blocks = [line for line in lines if isinstance(line, Block)]
    assert [line.notes for line in blocks] == [
        dict.fromkeys(("once", "twice", "control"), found)
    ] * 2


def test_without_noise_the_first_stage_is_enough():
    lines = FakeLab().run(Plan(min_blocks=5, rounds=2))
    assert lines[-1] == End(trial="tiny[scale:1]", reason="precise", blocks_wanted=5)
    assert sum(isinstance(line, Block) for line in lines) == 5


def test_blocks_are_added_until_steins_number_is_reached():
    lines = FakeLab(noise=0.1).run(Plan(rounds=4, budget_s=1e9, max_blocks=500))
    blocks = sum(isinstance(line, Block) for line in lines)
    assert lines[-1].reason == "precise"
    assert blocks == lines[-1].blocks_wanted > Plan().min_blocks


def test_a_spent_budget_ends_a_trial_after_its_first_stage():
    lines = FakeLab(noise=0.3).run(Plan(min_blocks=5, rounds=4, budget_s=0.001))
    assert lines[-1].reason == "budget"
    assert sum(isinstance(line, Block) for line in lines) == 5


def test_a_noisy_machine_ends_a_trial_at_max_blocks():
    lines = FakeLab(noise=0.5).run(Plan(min_blocks=5, rounds=2, budget_s=1e9, max_blocks=6))
    assert lines[-1].reason == "max_blocks"


def test_a_trial_that_was_cut_off_goes_on_after_its_last_line():
    plan = Plan(min_blocks=5, max_blocks=5, rounds=3)
    whole = FakeLab().run(plan)
    cut = next(i for i, line in enumerate(whole) if isinstance(line, Block) and line.block == 2) + 2
    rest = FakeLab().run(plan, previous=whole[:cut])
    blocks = [line.block for line in rest if isinstance(line, Block)]
    assert blocks == [4, 5]  # the block that was cut off in its first round is left as it is
    assert not any(line.kind in ("trial", "guard") for line in rest)
    assert {line.steps for line in rest if isinstance(line, Round)} == {7}


def test_a_trial_that_ended_is_not_measured_again():
    plan = Plan(min_blocks=2, max_blocks=2, rounds=3)
    lab = FakeLab()
    assert lab.run(plan, previous=FakeLab().run(plan)) == []
    assert lab.calls == []


def test_a_small_variable_that_is_twice_as_large_is_not_hidden_by_a_large_one():
    guard = Guard("statistics", 1e-5, "each by itself")
    kept = {"statistics/0": np.array([4e9]), "statistics/1": np.array([0.5]), "other": np.ones(1)}
    moved = kept | {"statistics/1": np.array([1.0])}
    (held,) = checks((guard,), "t", {"two": kept}, kept)
    (broken,) = checks((guard,), "t", {"two": moved}, kept)
    assert (held.relative_error, broken.relative_error) == (0.0, 1.0)


def test_parts_that_are_missing_have_no_error_and_so_break_a_guard():
    guard = Guard("seeds", 0.0, "all of them")
    kept = {"seeds/0": np.ones(2), "seeds/1": np.ones(2)}
    (check,) = checks((guard,), "t", {"two": {"seeds/0": np.ones(2)}}, kept)
    assert check.finite
    assert check.relative_error is None


def test_relative_error():
    assert relative_error([1.0, 2.2], [1.0, 2.0]) == abs(2.2 - 2.0) / 2.0
    assert relative_error([0.0], [0.0]) == 0.0
    assert relative_error([1.0], [1.0, 1.0]) is None


def test_a_learning_rate_that_diverged_once_is_not_the_best():
    scores = {0.1: [0.9], 0.01: [0.8, 0.82], 0.001: [0.7, 0.7]}
    assert best_rate(scores, sign=1) == 0.01
    assert best_rate(scores, sign=-1) == 0.001


def test_the_work_of_a_step_is_counted_once_and_is_a_metric_of_every_block():
    plan = Plan(min_blocks=5, max_blocks=5, rounds=2, ceilings=True)
    lines = FakeLab().run(plan)
    assert sorted(line.arm for line in lines if line.kind == "work") == ["once", "twice"]
    data = group(lines)["tiny[scale:1]"]
    found = assess(data, data.metric("step_flop"), "twice", plan)
    assert (found.baseline_value, found.arm_value) == pytest.approx((16e6, 20e6))
    assert found.shown(found.estimate.point) == pytest.approx(1.25)
    assert assess(data, data.metric("least_moved_bytes"), "twice", plan).shown(0) == 1


def test_work_that_cannot_be_counted_says_why_and_the_trial_goes_on():
    class Uncounted(FakeWorker):
        def receive(self, timeout_s):
            answer = super().receive(timeout_s)
            asked = isinstance(self.request, protocol.Work)
            return NO_PROGRAM if asked else answer

    lab = FakeLab()
    lab.start = lambda: Uncounted(lab)
    plan = Plan(min_blocks=5, max_blocks=5, rounds=2, ceilings=True)
    data = group(lab.run(plan))["tiny[scale:1]"]
    assert {work.reason for work in data.work.values()} == {"no program"}
    assert len(data.blocks) == 5
    assert assess(data, data.metric("step_flop"), "twice", plan) is None
