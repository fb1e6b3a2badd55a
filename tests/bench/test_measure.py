"""The measuring loop on a fake clock and fake processes, with the exact order of calls."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import pytest

from keras_ab.bench.lab.judge.findings import assess
from keras_ab.bench.lab.loop.device import CONTEXT_BYTES, Device
from keras_ab.bench.lab.loop.gauges import Gauges
from keras_ab.bench.lab.loop.guards import checks, relative_error
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.loop.quality import best_rate
from keras_ab.bench.lab.record.records import Block, End, Round
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.declare import Guard
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.words.steps import MemoryShare, OperationShare, StepProfile, StepWork
from keras_ab.bench.lab.worker import protocol, wire
from tests.bench.answers import METHODS

NO_PROGRAM = wire.encode_trouble(protocol.Trouble("raised", "no program"))
NO_ROOM = wire.encode_trouble(protocol.Trouble("raised", "no room"))
TINY = str(Path(__file__).parent / "experiments" / "bench_tiny.py")


class FakeClock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds


class NoLoad:
    def begin(self):
        pass

    def others(self, own_cpu_s):
        return own_cpu_s


class FakeWorker:
    """Answers at once; a sample of `n` steps advances the fake clock by what its arm takes."""

    pid = -1

    def __init__(self, lab):
        self.lab = lab
        self.arm = None
        lab.calls.append("start")

    def send(self, data):
        self.request = wire.decode(data)

    def answered(self, _timeout_s):
        return True

    def receive(self, timeout_s):
        kind = type(self.request)
        self.lab.limits_s[kind] = timeout_s
        self.arm = self.request.arm.arm if kind is protocol.Build else self.arm
        self.lab.calls.append("Open" if kind is protocol.Open else f"{kind.__name__} {self.arm}")
        return wire.encode_answer(getattr(self, METHODS[kind])(self.request))

    def open(self, asked):
        self.lab.opened.append(asked)

    def build(self, asked):
        self.lab.clock.seconds += self.lab.build_s
        if asked.observe_to:
            np.savez(asked.observe_to, answer=np.ones(2))
        notes = {"op on cpu": "native: built and loaded"}
        on_gpu = asked.arm.arm in self.lab.on_gpu
        return protocol.Built(1.0, 2.0, {"weights_bytes": 8.0}, notes, on_gpu)

    def calibrate(self, _asked):
        return 7

    def sample(self, asked):
        self.lab.awake_in_samples.append(self.lab.awake - {self})
        lasts = asked.steps * self.lab.step_time_s(self.arm)
        self.lab.clock.seconds += lasts
        return protocol.Sampled(lasts, lasts, 0.75 * lasts)

    def memory(self, _asked):
        return protocol.Peaks(10**6, None)

    def watch_memory(self, _asked):
        return protocol.Curve([0.0, 1.0], [3, 4], None)

    def work(self, _asked):
        return StepWork({"float32": 4e6 * len(self.arm)}, 100.0)

    def trace(self, _asked):
        return None

    def traced(self, asked):
        return self.sample(asked).duration_s

    def end_trace(self, asked):
        self.lab.paces.append(asked.paces)
        operations = (OperationShare("MatMul", 2.0, 8e-3),)
        return protocol.Profiled(StepProfile(7, 0.01, 0.009, 2e-3, 1e-3, operations), None)

    def imports(self, _asked):
        return {}

    def finish(self, _asked):
        return True

    def rest(self):
        self.lab.awake.discard(self)

    def wake(self):
        self.lab.awake.add(self)

    def output(self):
        return ""

    def stop(self):
        self.lab.calls.append(f"stop {self.arm}")


class FakeLab:
    folder = None

    def __init__(self, noise=0.0, build_s=0.0, twice_s=0.02):
        self.clock = FakeClock()
        self.calls = []
        self.awake, self.awake_in_samples = set(), []
        self._rng = np.random.default_rng(0)
        self._noise = noise
        self._twice_s = twice_s
        self.build_s = build_s
        self.watts = None
        self.on_gpu = ()
        self.opened = []
        self.slowed_s = []
        self.limits_s = {}
        self.paces = []

    def energy_j(self):
        """A counter that follows the clock, if the GPU has one."""
        return None if self.watts is None else self.clock.seconds * self.watts

    def gpu_state(self):
        """What NVML says of a GPU that is idle again whenever somebody looks."""
        if not self.on_gpu:
            return None
        slowed = {"power cap": self.slowed_s.pop(0) if self.slowed_s else 9.0}
        return {"sm_clock_hz": 1.5e9, "throttled": [], "slowed_s": slowed}

    def start(self):
        return FakeWorker(self)

    def step_time_s(self, arm):
        return {"twice": self._twice_s}.get(arm, 0.01) * float(
            np.exp(self._rng.normal(0, self._noise))
        )

    def run(self, plan, previous=(), device=None):
        task = Task(TINY, "tiny", "scale:1", "plain", plan)
        gauges = Gauges(self.clock.now, NoLoad(), self.gpu_state, self.energy_j, cores=2)
        return list(measure_trial(task, self, previous, gauges, device=device))


def test_each_block_starts_measures_and_stops_fresh_processes_in_this_order():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=3, ceilings=True))
    calls = iter(lab.calls)

    def take(count):
        return [next(calls) for _ in range(count)]

    assert take(4) == ["start", "start", "Open", "Open"]
    looks = ["WatchMemory", *["Memory"] * 5, "Finish"]
    for arm in ("once", "twice"):
        assert take(9) == [f"{do} {arm}" for do in ("Build", "Imports", *looks)]
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
        assert sorted(take(3)) == ["stop control", "stop once", "stop twice"]
    assert next(calls, None) is None


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


def test_energy_is_a_metric_like_any_other():
    lab = FakeLab()
    lab.watts, lab.on_gpu = 250.0, ("once", "twice", "control")
    plan = Plan(min_blocks=5, max_blocks=5, rounds=2)
    data = group(lab.run(plan))["tiny[scale:1]"]
    found = assess(data, data.metric("step_energy_j"), "twice", plan)
    assert found.baseline_value == pytest.approx(250.0 * 0.01)
    assert found.shown(found.estimate.point) == pytest.approx(2.0)
    assert found.verdict == "worse"


def test_without_a_counter_no_arm_runs_for_its_energy():
    lab = FakeLab()
    plan = Plan(min_blocks=2, max_blocks=2, rounds=2)
    data = group(lab.run(plan))["tiny[scale:1]"]
    assert "step_energy_j" not in data.blocks[0].values["once"]
    assert lab.calls.count("Sample once") == 2 * (1 + 2)  # the warm-up and two rounds


def test_a_counter_that_is_reset_meanwhile_tells_nothing():
    lab = FakeLab()
    lab.watts, lab.on_gpu = -1.0, ("once", "twice", "control")
    data = group(lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2)))["tiny[scale:1]"]
    assert "step_energy_j" not in data.blocks[0].values["once"]


def test_an_arm_on_the_cpu_gets_no_energy_of_the_gpu_beside_it():
    lab = FakeLab()
    lab.watts, lab.on_gpu = 250.0, ("twice",)
    data = group(lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2)))["tiny[scale:1]"]
    assert "step_energy_j" in data.blocks[0].values["twice"]
    assert "step_energy_j" not in data.blocks[0].values["once"]


def test_guards_are_rehearsed_at_full_precision_and_what_is_timed_is_not():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    assert [asked.products for asked in lab.opened] == ["float32"] * 2 + ["tf32"] * 6
    assert [asked.counted for asked in lab.opened] == [True] * 2 + [False] * 6


def test_every_process_of_a_gpu_has_an_equal_share_of_its_memory():
    lab = FakeLab()
    gpu = SimpleNamespace(memory_bytes=80 * 2**30, state=dict, energy_j=lambda: None)
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2), device=Device(gpu))
    shares = {asked.memory for asked in lab.opened}
    assert shares == {MemoryShare(80 * 2**30 // 3 - CONTEXT_BYTES, 80 * 2**30)}


def test_tuning_on_a_gpu_has_the_time_to_try_kernels_out():
    lab = FakeLab()
    lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    assert lab.limits_s[protocol.Build] >= 5 * lab.limits_s[protocol.Sample]


def test_the_hand_over_to_a_gpu_is_kept_with_every_sample():
    lab = FakeLab()
    lab.on_gpu = ("twice",)
    lines = lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    for line in (line for line in lines if isinstance(line, Round)):
        assert line.hand_over_s == pytest.approx({"twice": 0.75 * line.step_time_s["twice"]})


def test_a_gpu_that_was_held_down_while_nobody_looked_is_seen_by_its_counter():
    lab = FakeLab()
    lab.on_gpu = ("twice",)
    lab.slowed_s = [7.0, 7.0, 7.0, 7.5]  # as the round begins, then after each of its samples
    lines = lab.run(Plan(min_blocks=2, max_blocks=2, rounds=2))
    first, second, *_ = (line for line in lines if isinstance(line, Round))
    assert first.gpu["throttled"] == ["power cap"]
    assert second.gpu["throttled"] == []


PROFILED = Plan(min_blocks=2, max_blocks=2, rounds=3, profile=True, profile_time_s=6.0)


def test_arms_are_traced_in_turn_and_only_when_all_is_timed():
    lab = FakeLab()
    lines = lab.run(PROFILED)
    kinds = [line.kind for line in lines]
    assert kinds[-3:] == ["profile", "profile", "end"]
    traces = lab.calls.index("Trace once"), lab.calls.index("Trace twice")
    timed = max(n for n, call in enumerate(lab.calls) if call.startswith("stop control"))
    assert timed < min(traces)
    count = int(PROFILED.profile_time_s / 0.105)  # seven steps of 10 and of 20 ms
    rounds = lab.calls[1 + max(traces) :][: 2 * count]
    assert in_turn(rounds) == {"Traced"}
    after = lab.calls[1 + max(traces) + len(rounds) :]
    assert in_turn(after[:2]) == {"EndTrace"}
    assert in_turn(after[2:][: 2 * (count // 2)]) == {"Sample"}
    assert not [call for call in after[2:][2 * (count // 2) :] if not call.startswith("stop")]
    before = lab.calls[min(traces) - 2 * (count // 2) : min(traces)]
    assert in_turn(before) == {"Sample"}


def in_turn(calls):
    """Return what was asked for, of the two arms in turn."""
    pairs = [calls[n : n + 2] for n in range(0, len(calls), 2)]
    assert all({call.split()[1] for call in pair} == {"once", "twice"} for pair in pairs)
    return {call.split()[0] for call in calls}


def test_a_profile_says_how_long_a_step_took_without_the_profiler():
    profiles = group(FakeLab().run(PROFILED))["tiny[scale:1]"].profiles
    plain = {arm: profile.untraced_step_time_s for arm, profile in profiles.items()}
    assert plain == {"once": pytest.approx(0.01), "twice": pytest.approx(0.02)}


def test_arms_are_profiled_at_one_pace_of_the_machine():
    class Wandering(FakeLab):
        asked = 0

        def step_time_s(self, arm):
            self.asked += "Trace once" in self.calls
            wave = 1.0 + ((self.asked - 1) // 2 * 7) % 10 if self.asked else 1.0
            return super().step_time_s(arm) * wave

    lab = Wandering()
    profiles = group(lab.run(PROFILED))["tiny[scale:1]"].profiles
    plain = {arm: profile.untraced_step_time_s for arm, profile in profiles.items()}
    assert plain["twice"] / plain["once"] == pytest.approx(2.0)
    count = int(PROFILED.profile_time_s / 0.105)
    waves = [1.0 + n * 7 % 10 for n in range(count)]
    assert lab.paces == [pytest.approx([wave / median(waves) for wave in waves])] * 2


def test_a_profiled_trial_is_timed_like_any_other():
    plain = FakeLab(noise=0.1).run(replace(PROFILED, profile=False))
    profiled = FakeLab(noise=0.1).run(PROFILED)
    assert plain == [line for line in profiled if line.kind != "profile"]


@pytest.mark.parametrize("at", [protocol.Trace, protocol.Traced, protocol.EndTrace])
def test_an_arm_that_cannot_be_traced_stays_in_the_trial(at):
    class Untraceable(FakeWorker):
        def receive(self, timeout_s):
            answer = super().receive(timeout_s)
            broken = isinstance(self.request, at) and self.arm == "twice"
            return NO_ROOM if broken else answer

    lab = FakeLab()
    lab.start = lambda: Untraceable(lab)
    data = group(lab.run(PROFILED))["tiny[scale:1]"]
    assert data.profiles["twice"].reason == "no room"
    assert data.profiles["once"].step.step_time_s == 0.01
    assert data.failures == []
    assert data.why_not("twice") is None


def test_where_a_trace_lies_is_named_from_the_run_file():
    data = group(FakeLab().run(PROFILED))["tiny[scale:1]"]
    assert data.profiles["once"].files == "traces/tiny_scale_1_/once"
