"""Tracing after timing, on a fake clock and fake processes."""

from dataclasses import replace
from statistics import median

import pytest

from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker import protocol
from tests.bench.fake_lab import NO_ROOM, FakeLab, FakeWorker

PROFILED = Plan(min_blocks=2, max_blocks=2, rounds=3, profile=True, profile_time_s=6.2)


def test_arms_are_traced_in_turn_and_only_when_all_is_timed():
    lab = FakeLab()
    lines = lab.run(PROFILED)
    kinds = [line.kind for line in lines]
    assert kinds[-3:] == ["profile", "profile", "end"]
    traces = lab.calls.index("Trace once"), lab.calls.index("Trace twice")
    timed = max(n for n, call in enumerate(lab.calls) if call.startswith("stop control"))
    assert timed < min(traces)
    count = int(PROFILED.profile_time_s / 0.15)  # three steps and seven, of 10 and of 20 ms
    rounds = lab.calls[1 + max(traces) :][: 2 * count]
    assert in_turn(rounds) == {"Traced"}
    after = lab.calls[1 + max(traces) + len(rounds) :]
    assert in_turn(after[:2]) == {"EndTrace"}
    assert in_turn(after[2:][: 2 * (count // 2)]) == {"Sample"}
    assert not [call for call in after[2:][2 * (count // 2) :] if not call.startswith("stop")]
    before = lab.calls[min(traces) - 2 * (count // 2) : min(traces)]
    assert in_turn(before) == {"Sample"}


@pytest.mark.parametrize(("twice_s", "warm"), [(0.02, True), (0.2, False)])
def test_what_is_traced_begins_as_warm_as_what_was_timed(twice_s, warm):
    lab = FakeLab(twice_s=twice_s)
    lab.calibrated = 1
    lab.run(PROFILED)
    samples = lab.calls.index("Trace once") + 2
    traced = sum(call.startswith("Traced") for call in lab.calls[samples:])
    assert traced >= 16
    timed = 2 * (3 + 3 * 3)  # two blocks of three processes: a first sample and three rounds
    assert lab.warm[timed : timed + 2] == [True, True]
    assert set(lab.warm[timed + 2 :]) == {warm}


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
    count = int(PROFILED.profile_time_s / 0.15)
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
